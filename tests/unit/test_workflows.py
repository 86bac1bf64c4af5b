"""The workflows, as far as it shows without running them: what they may do, and that what they call is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

SOURCE = Path(__file__).parents[2]
WORKFLOWS = sorted((SOURCE / ".github" / "workflows").glob("*.yml"))


def jobs(workflow: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(workflow.read_text())["jobs"]
    return found


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    used = re.findall(r"uses: (.+)", workflow.read_text())
    assert used
    assert not [one for one in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", one)]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_only_what_publishes_may_write(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}
    writers = {name for name, job in jobs(workflow).items() if "write" in str(job.get("permissions"))}
    assert writers <= {"publish"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_what_they_call_is_there(workflow: Path) -> None:
    commands = " ".join(step.get("run", "") for job in jobs(workflow).values() for step in job["steps"])
    makefile = (SOURCE / "Makefile").read_text()
    assert not [one for one in re.findall(r"\bmake ([a-z-]+)", commands) if f"\n{one}:" not in makefile]
    scripts = re.findall(r"(?:packaging/|\.ci/)[\w./-]+", commands)
    assert not [one for one in scripts if not (SOURCE / one).exists()]


def test_a_release_is_published_when_it_was_tested_by_another_job_than_the_one_that_built_it() -> None:
    release = jobs(SOURCE / ".github/workflows/release.yml")
    tests = {name for name, job in release.items() if re.search(r"make (release-)?test\b", str(job["steps"]))}
    assert tests == {"test", "test-of-what-was-built"}
    assert set(release["publish"]["needs"]) == tests | {"build"}
    assert "build" in release["test-of-what-was-built"]["needs"]
