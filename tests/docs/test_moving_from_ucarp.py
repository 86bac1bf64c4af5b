"""The page on moving from ucarp: its commands, against Debian's own ucarp, and its tables, against the options."""

import re
import shutil
from pathlib import Path

import pytest

from carpsidecar.cli.ucarp_options import OPTIONS
from carpsidecar.config.schema import GROUP_FIELDS, PROCESS_FIELDS
from carpsidecar.lab.commands import environment
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.network import Lab
from tests.support.manual.machine import Machine
from tests.support.manual.page import claim
from tests.support.manual.runner import Runner
from tests.support.manual.tables import names, rows

PAGE = "docs/moving/ucarp.md"
BLOCKS = [block for block in claim(PAGE) if block.title != "where the packages are"]
DEBIAN = [
    block
    for block in BLOCKS
    if "on third" in block.title or (block.follows_at_once and "192.0.2.13/" in block.text)
]
HOOK = Path("/etc/network/if-up.d/ucarp")
NO_GAP_S = 0.2
"""Waiting for ucarp in vain takes three seconds."""

PATH = environment()["PATH"]
needs_ucarp = pytest.mark.skipif(shutil.which("ucarp", path=PATH) is None, reason="ucarp is not installed")
needs_hook = pytest.mark.skipif(
    not HOOK.exists() or shutil.which("ifup", path=PATH) is None,
    reason="ucarp's hook, or ifupdown, is not installed",
)


@needs_ucarp
def test_one_host_after_the_other(lab: Lab) -> None:
    hosts = [Machine(lab, name, [[f"192.0.2.{number}/24"]]) for number, name in ((11, "first"), (12, "second"))]
    with HolderWatch([host.node for host in hosts], "192.0.2.100") as watch:
        Runner(hosts).run([block for block in BLOCKS if block not in DEBIAN])
        [taken] = [change.at for change in watch.changes if change.node == "first" and change.held]
        [given_up] = [change.at for change in watch.changes if not change.held and change.at > taken]
        [taken_over] = [change.at for change in watch.changes if change.node == "second" and change.held]
        assert watch.holders_now() == {"second"}
    assert taken < taken_over < given_up + NO_GAP_S


@needs_ucarp
@needs_hook
def test_debians_hook_starts_the_drop_in(lab: Lab) -> None:
    host = Machine(lab, "third", [[]])
    host.run("mkdir -p /run/network /run/own/upper/usr/sbin /run/own/work/usr/sbin")
    own = "lowerdir=/usr/sbin,upperdir=/run/own/upper/usr/sbin,workdir=/run/own/work/usr/sbin"
    host.run(f"mount -t overlay overlay -o {own} /usr/sbin")
    Runner([host]).run(DEBIAN)
    assert "carpsidecar" in host.run("readlink -f /usr/sbin/ucarp")
    assert re.search(r"^ucarp$", host.run("ps -A -o comm="), re.MULTILINE)


def test_every_option_has_its_row_and_its_setting() -> None:
    listed = {
        frozenset(names(row["ucarp"])): names(row["`run`"]) for row in rows("moving/ucarp.md", "ucarp", "`run`")
    }
    assert listed.keys() == {frozenset({f"-{option.short}", f"--{option.long}"}) for option in OPTIONS}
    assert {name for found in listed.values() for name in found} <= GROUP_FIELDS.keys() | PROCESS_FIELDS.keys()


@needs_hook
def test_every_line_of_debians_interfaces_has_its_setting() -> None:
    table = rows("moving/ucarp.md", "interfaces", "setting")
    listed = {name for row in table for name in names(row["interfaces"]) if name.startswith("ucarp-")}
    there = re.findall(r"\$IF_(UCARP_[A-Z]+)", HOOK.read_text())
    assert listed == {name.lower().replace("_", "-") for name in there}
    assert {name for row in table for name in names(row["setting"]) if "/" not in name} <= GROUP_FIELDS.keys()
