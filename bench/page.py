"""Writes what was measured: docs/bench/*.json and *.svg, docs/benchmark.md, and what other pages show of it.

The page is made of all JSON files there, so that one benchmark can be run anew without the others.
"""

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.section import Section, Summary
from carpsidecar import __version__

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def write(name: str, section: Section, command: str, load_before: float, took_s: float, to: Path) -> None:
    """Keep this benchmark's numbers and pictures under `to`/bench."""
    folder = to / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        **_about(),
        "command": command,
        "took_s": round(took_s),
        "load before and after": [round(load_before, 2), round(load(), 2)],
    }
    document = {"title": section.title, "about": about, "body": section.body.splitlines(), "data": section.data}
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    for plot, picture in section.plots.items():
        (folder / f"{plot}.svg").write_text(str(picture))


def write_page(names: Sequence[str], to: Path) -> None:
    """The page of all benchmarks that have been run, in this order."""
    files = [file for name in names if (file := to / "bench" / f"{name}.json").exists()]
    documents = [json.loads(file.read_text()) for file in files]
    parts = [
        "# Benchmark\n",
        "Written by `make bench`, never by hand; the numbers, round by round, are in the JSON files of"
        " `docs/bench/`.",
        "Every benchmark runs in virtual machines on one machine: network namespaces on a bridge.\n",
    ]
    for document in documents:
        parts += [f"## {document['title']}\n", *document["body"], "", _measured(document["about"]), ""]
    (to / "benchmark.md").write_text("\n".join(parts).rstrip() + "\n")


def write_summary(summary: Summary) -> None:
    """Put it at its place there."""
    file = ROOT / summary.page
    begin, end = f"<!-- bench: {summary.place} -->\n", "<!-- /bench -->\n"
    before, found, rest = file.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise SystemExit(f"{file}: no lines {begin.strip()} and {end.strip()} to put the numbers between")
    file.write_text(f"{before}{begin}{summary.text}\n{end}{after}")


def load() -> float:
    return os.getloadavg()[0]


def _measured(about: dict[str, Any]) -> str:
    before, after = about["load before and after"]
    took = f", {about['took_s'] / 60:.0f} minutes" if about.get("took_s", 0) > 90 else ""
    versions = ", ".join(f"{what} {number}" for what, number in about["versions"].items())
    return (
        f"<sub>{about['date']}, `{about['command']}`{took}: {about['machine']}; {versions};"
        f" load {before} before, {after} after.</sub>"
    )


def _about() -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{os.cpu_count()} x {_processor()}, {_memory_gb():.0f} GB",
        "versions": {
            "carpsidecar": f"{__version__} ({_commit()})",
            "ucarp": _debian_version("ucarp"),
            "keepalived": _debian_version("keepalived"),
            "Linux": platform.release(),
            "Python": platform.python_version(),
            "cryptography": version("cryptography"),
        },
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "processor")


def _memory_gb() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def _commit() -> str:
    """With a mark where what is measured is not what was committed; this page itself may have changed."""
    git = ("git", "-C", str(ROOT))
    changed = _said(*git, "status", "--porcelain", "--", "bench", "carpsidecar")
    commit = _said(*git, "describe", "--always")
    return f"{commit}{'-dirty' if changed else ''}" or "no git"


def _debian_version(package: str) -> str:
    return _said("dpkg-query", "--showformat=${Version}", "--show", package) or "not installed"


def _said(*argv: str) -> str:
    if shutil.which(argv[0]) is None:
        return ""
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
