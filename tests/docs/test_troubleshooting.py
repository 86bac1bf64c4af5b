"""The page on troubleshooting: its commands are run on a pair of nodes, and what it names is there."""

import json
import re

import pytest

from carpsidecar.lab.network import Lab
from carpsidecar.lab.process import Process
from tests.support.manual.machine import Machine
from tests.support.manual.page import claim
from tests.support.manual.runner import Runner
from tests.support.manual.tables import names, rows
from tests.support.waits import SOON_S

PAGE = "troubleshooting.md"
BLOCKS = claim(f"docs/{PAGE}")
FILE = "/etc/carpsidecar/carpsidecar.yaml"


@pytest.fixture
def pair(lab: Lab) -> dict[str, tuple[Machine, Process]]:
    """A master, and its backup, with what runs on them."""
    made = {}
    for name, number, advskew, role in (("first", 11, 0, "master"), ("second", 12, 100, "backup")):
        host = Machine(lab, name, [[f"192.0.2.{number}/24"]])
        host.write("/etc/carpsidecar/passphrase", "up to 19 bytes\n")
        host.run("chmod 600 /etc/carpsidecar/passphrase")
        settings = ("name: web", "vip: 192.0.2.100", "vhid: 42", "passphrase_file: /etc/carpsidecar/passphrase")
        host.write(FILE, "\n".join((*settings, f"advskew: {advskew}", "log_format: json", "")))
        engine = host.start(f"carpsidecar run --config {FILE}")
        engine.wait_for(f"became {role}", SOON_S)
        made[name] = host, engine
    return made


def test_every_command_and_what_is_logged_meanwhile(pair: dict[str, tuple[Machine, Process]]) -> None:
    """All lines have the keys of their event, as the page of the log lists them."""
    Runner([host for host, _ in pair.values()]).run(BLOCKS)
    first, engine = pair["first"]
    assert "MASTER" in first.run("carpsidecar status")
    listed = {row["event"].strip("`"): names(row["keys"]) for row in rows("reference/logs.md", "event", "level")}
    lines = [json.loads(line) for line in engine.log.splitlines()]
    assert {"transition", "command", "demotion"} <= {line["event"] for line in lines}
    for line in lines:
        assert line.keys() == {"time", "level", "event", "message"} | listed[line["event"]]


def test_every_check_that_a_symptom_points_to_is_one() -> None:
    checks = {name for row in rows(PAGE, "check", "looks at") for name in names(row["check"])}
    column = "the check of `doctor` that tells"
    pointed_to = {name for row in rows(PAGE, "symptom") for name in names(row[column])}
    assert pointed_to <= checks


def test_the_exit_statuses_are_those_of_status() -> None:
    listed = {row["exit status"] for row in rows(PAGE, "exit status", "what it says")}
    reference = rows("reference/exit-status.md", "command", "status")
    assert listed | {"2"} == {row["status"] for row in reference if row["command"] == "`status`"}
    shown = {
        number for row in rows(PAGE, "symptom") for number in re.findall(r"exit status (\d)", row["`status` says"])
    }
    assert shown <= listed
