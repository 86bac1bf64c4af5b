"""Commands that can't be run, each with the word for it."""

from pathlib import Path

import pytest

from carpsidecar.doctor.findings import Status
from carpsidecar.doctor.hooks import _problem_of


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_bytes(text.encode())
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("text", "mode", "status", "message"),
    [
        ("#!/bin/sh\n", 0o755, Status.OK, ""),
        ("#!/usr/bin/env -S sh -e\n", 0o755, Status.OK, ""),
        ("\x7fELF", 0o755, Status.OK, ""),
        ("#!/bin/sh\n", 0o644, Status.PROBLEM, "is not executable"),
        ("#!/bin/sh\r\n", 0o755, Status.PROBLEM, "its first line names /bin/sh\r, which can't be run"),
        ("#!/opt/none/bash\n", 0o755, Status.PROBLEM, "its first line names /opt/none/bash"),
    ],
)
def test_a_script(tmp_path: Path, text: str, mode: int, status: Status, message: str) -> None:
    found = _problem_of(script(tmp_path / "hook", text, mode))
    assert found[0] is status
    assert message in found[1]
    assert bool(found[2]) == (status is not Status.OK)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("/nonexistent/x", "does not exist"),
        ("/", "is no file"),
        ("no-such-command-here", "is in no folder of PATH"),
    ],
)
def test_no_script_at_all(command: str, message: str) -> None:
    status, found, remedy = _problem_of(command)
    assert (status, bool(remedy)) == (Status.PROBLEM, True)
    assert message in found


def test_a_name_in_path() -> None:
    assert _problem_of("sh")[0] is Status.OK
