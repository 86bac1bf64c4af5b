"""A database that follows the address: the page's commands and units, on stand-ins for DRBD and systemd."""

import time
from pathlib import Path

import pytest

from carpsidecar.lab.network import Lab
from tests.docs.stand_ins import install
from tests.support.manual.machine import Machine
from tests.support.manual.page import claim
from tests.support.manual.runner import Runner
from tests.support.waits import SOON_S

BLOCKS = claim("docs/recipes/database.md")
UP = ["drbdadm primary r0", "mount /dev/drbd/by-res/r0/0 /srv/database", "systemctl start postgresql"]
DOWN = ["systemctl stop postgresql", "umount /srv/database", "drbdadm secondary r0"]
TRIED = ["drbdadm primary r0", "systemctl stop postgresql", "drbdadm secondary r0"]


def on(host: str, *steps: str) -> list[str]:
    return [f"{host}: {step}" for step in steps]


@pytest.fixture
def machines(lab: Lab, tmp_path: Path) -> list[Machine]:
    made = [Machine(lab, "first", [["192.0.2.11/24"]]), Machine(lab, "second", [["192.0.2.12/24"]])]
    for machine in made:
        install(machine, tmp_path)
    return made


def test_it_moves_in_the_order_that_the_page_says(machines: list[Machine], tmp_path: Path) -> None:
    log = tmp_path / "log"
    Runner(machines).run(BLOCKS)
    moved = [*on("first", *UP, *DOWN), *on("second", *UP)]
    assert log.read_text().splitlines() == moved

    # Where the database can't be started, the host takes itself out, and the other one serves again.
    (tmp_path / "mount-fails-on-first").touch()
    machines[1].run("carpsidecar step-down")
    wanted = [*moved, *on("second", *DOWN), *on("first", *TRIED), *on("second", *UP)]
    deadline = time.monotonic() + SOON_S
    while log.read_text().splitlines() != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert log.read_text().splitlines() == wanted
    assert "operator: the database does not start: first" in machines[0].run("carpsidecar status")


def test_a_copy_that_is_not_complete_demotes(machines: list[Machine], tmp_path: Path) -> None:
    [script] = [block.text for block in BLOCKS if block.title.startswith("/usr/local/sbin/disk-is-good")]
    first = machines[0]
    first.run(script)
    (tmp_path / "dstate-first").write_text("Inconsistent/UpToDate\n")
    with pytest.raises(AssertionError, match="exit status 1"):
        first.run(script)
