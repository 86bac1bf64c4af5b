"""The demo with the original ucarp in the daemon's place: it plays to its end, and tells what ucarp does wrong."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from carpsidecar.lab import demo
from carpsidecar.lab.namespace import NAMESPACES
from carpsidecar.lab.node import Node

UCARP = shutil.which("ucarp", path=f"{os.environ['PATH']}:/usr/sbin")

pytestmark = [pytest.mark.network, pytest.mark.skipif(UCARP is None, reason="ucarp is not installed")]


@pytest.fixture
def ucarp(tmp_path: Path) -> demo.DaemonCommand:
    scripts = {}
    for name, verb in (("up", "add"), ("down", "del")):
        scripts[name] = tmp_path / name
        scripts[name].write_text(f'#!/bin/sh\nexec ip addr {verb} "$2/32" dev "$1"\n')
        scripts[name].chmod(0o755)

    def command(node: Node, advskew: int, passphrase_file: Path) -> Sequence[str]:
        return [
            *(str(UCARP), "-i", "eth0", "-s", str(node.address), "-v", "42", "-a", demo.VIRTUAL_ADDRESS),
            *("-o", str(passphrase_file), "-k", str(advskew)),
            *("-u", str(scripts["up"]), "-d", str(scripts["down"]), "-z"),
        ]

    return command


def test_each_fault_is_survived_and_honestly_reported(
    ucarp: demo.DaemonCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    status = demo.main([], ucarp)
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert printed.count("✓ ") == 4
    summary = printed[printed.index("what happened") :].splitlines()[1:]
    cells = [re.split(r" {2,}", line.strip()) for line in summary]
    assert [row[0] for row in cells] == [step.title for step in demo.STEPS]
    assert 2.5 < float(cells[0][3].split()[0]) < 8, "a lost machine is noticed by ucarp after three seconds"
    assert cells[3][4] != "never", "a ucarp that hangs keeps the address while another has it"
    assert "\x1b" not in printed


def test_a_daemon_that_does_not_start_is_shown_and_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_TAKEOVER_WITHIN_S", 0.5)
    assert demo.main([], lambda node, advskew, file: ["sh", "-c", "echo no such flag; exit 2"]) == 1
    assert "exit status 2" in (err := capsys.readouterr().err)
    assert "no such flag" in err


def test_ctrl_c_cleans_up() -> None:
    program = """
        import sys
        from carpsidecar.lab import demo
        sys.exit(demo.main([], lambda node, advskew, file: ["sleep", "1000"]))
    """
    process = subprocess.Popen(
        [sys.executable, "-uc", textwrap.dedent(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while "node3" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not [path for path in NAMESPACES.iterdir() if path.name.startswith(f"carp{process.pid}")]
