"""Without arguments, doctor and capture take the configuration of the engine that runs here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.command import COMMAND
from tests.support.daemon import PASSPHRASE, Configuration, group, script, start_master
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Lab() as lab:
        yield lab.node("here")


def ask(node: Node, *command: str, env: dict[str, str] | None = None) -> Process:
    process = node.start([*COMMAND, *command], env=env)
    process.wait(SOON_S)
    return process


def findings(doctor: Process, check: str) -> list[dict[str, Any]]:
    document = json.loads(doctor.log[doctor.log.index("\n{") :])
    return [found for found in document["findings"] if found["check"] == check]


def test_the_doctor_examines_what_runs(node: Node, tmp_path: Path) -> None:
    hook = script(tmp_path, "hook", "true")
    engine = start_master(node, Configuration(tmp_path, group(on_master=f"{hook} a-token"), group(101)))
    doctor = ask(node, "doctor", "--listen", "0.5", "--json")
    assert doctor.returncode == 0, doctor.log
    assert {found["about"] for found in findings(doctor, "daemon")} == {"vhid-100", "vhid-101"}
    assert [found["status"] for found in findings(doctor, "digest")] == ["ok", "ok"]
    assert f"{hook} can be run" in [found["found"] for found in findings(doctor, "hooks")]
    assert engine.stop() == 0


def test_a_passphrase_that_is_in_no_file_is_not_checked_and_that_is_reported(node: Node, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group())
    del configuration.beside["passphrase_file"]
    configuration.write()
    engine = start_master(node, configuration, env={"CARP_PASSPHRASE": PASSPHRASE})
    doctor = ask(node, "doctor", "--listen", "0.5", "--json")
    assert doctor.returncode == 0, doctor.log
    [found] = findings(doctor, "configuration")
    assert (found["status"], found["remedy"]) == ("warning", "give --passphrase-file")
    [found] = findings(doctor, "digest")
    assert (found["status"], found["found"]) == ("skipped", "the passphrase is not known here: see configuration")
    # What is given is used beside the rest.
    doctor = ask(node, "doctor", "--listen", "0.5", "--json", env={"CARP_PASSPHRASE": PASSPHRASE})
    [found] = findings(doctor, "digest")
    assert found["status"] == "ok"
    assert engine.stop() == 0


def test_the_engine_keeps_the_arguments_of_commands_to_itself(node: Node, tmp_path: Path) -> None:
    hook = script(tmp_path, "hook", "true")
    engine = start_master(node, Configuration(tmp_path, group(on_master=f"{hook} a-token")))
    [socket] = Path(node.environment["RUNTIME_DIRECTORY"]).glob(f"**/{engine.pid}.sock")
    document = node.run(["python3", "-c", READ, str(socket)])
    assert hook in document
    assert "a-token" not in document
    assert PASSPHRASE not in document
    assert engine.stop() == 0


READ = """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'{"type":"configuration"}\\n')
print(s.makefile().readline())
"""


def test_a_capture_verifies_with_what_the_engine_has(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    capture = ask(node, "capture", "--count", "2")
    assert "listening on eth0" in capture.log or "listening on all interfaces" in capture.log
    assert capture.log.count("digest ok") >= 2
    assert engine.stop() == 0


def test_without_an_engine_the_doctor_says_what_it_needs(node: Node) -> None:
    doctor = ask(node, "doctor")
    assert doctor.returncode == 2
    assert "vip: none is given, and no engine answers in" in doctor.log
    assert "or give --config FILE, or --vip ADDRESS" in doctor.log
