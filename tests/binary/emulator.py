"""Programs of arm64 on this machine: the kernel hands them to QEMU's user emulation (binfmt_misc)."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.binary.machine import ROOTS, bootstrap

BINFMT = Path("/proc/sys/fs/binfmt_misc")
KNOWS_MULTICAST_FROM = 10
"""Debian 12's version, 7.2, refuses the socket option IP_MULTICAST_IF."""


def needs_arm64() -> None:
    tester = shutil.which("arch-test")
    if tester is None or subprocess.run([tester, "arm64"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not run arm64: needs qemu-user-static, binfmt-support and arch-test")


@contextmanager
def new_enough() -> Iterator[None]:
    """With an emulator that knows multicast: where this machine's is too old, Debian 13's for that long."""
    if _version() >= KNOWS_MULTICAST_FROM:
        yield
        return
    interpreter = ROOTS / "qemu-aarch64"
    if not interpreter.exists():
        archive = ROOTS / "qemu.tar"
        bootstrap(archive, "trixie", "--variant=extract", "--include=qemu-user")
        flags = ["--strip-components=3", "-xf", str(archive), "./usr/bin/qemu-aarch64"]
        subprocess.run(["tar", "-C", str(ROOTS), *flags], check=True)
        archive.unlink()
    entry = BINFMT / "qemu-aarch64"
    words = dict(line.partition(" ")[::2] for line in entry.read_text().splitlines())
    magic, mask = (re.sub("(..)", r"\\x\1", words[name]) for name in ("magic", "mask"))
    own = f":qemu-aarch64:M::{magic}:{mask}:{interpreter}:F"
    former = f":qemu-aarch64:M::{magic}:{mask}:{words['interpreter']}:{words['flags:']}"
    _register(entry, own)
    try:
        yield
    finally:
        _register(entry, former)


def _register(entry: Path, line: str) -> None:
    entry.write_text("-1")
    (BINFMT / "register").write_text(line)


def _version() -> int:
    name = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64") or "true"
    told = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r" version (\d+)", told)
    return int(version[1]) if version else 0
