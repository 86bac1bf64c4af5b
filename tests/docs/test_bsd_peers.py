"""The page on the BSDs: its Linux side is run, and what it says for the BSDs is held against that."""

import re
import shlex
from ipaddress import ip_interface
from itertools import pairwise
from typing import Any

import pytest
import yaml

from carpsidecar.lab.network import Lab
from tests.support.manual.machine import Machine
from tests.support.manual.page import SOURCE, Block, claim, not_run
from tests.support.manual.runner import Runner

PAGE = "docs/recipes/bsd.md"
BLOCKS = claim(PAGE)
SYSTEMS = {"OpenBSD": "cat >/etc/hostname.carp0", "FreeBSD": "kldload carp", "NetBSD": "ifconfig carp0 create"}
BSD = {system: not_run(PAGE, beginning) for system, beginning in SYSTEMS.items()}
WITH_A_VALUE = ("vhid", "carpdev", "pass", "advbase", "advskew")


@pytest.fixture
def linux() -> dict[str, Any]:
    files = {block.title.split()[0]: block.text for block in BLOCKS if block.title.startswith("/")}
    settings: dict[str, Any] = yaml.safe_load(files["/etc/carpsidecar/carpsidecar.yaml"])
    return settings | {"pass": files[settings["passphrase_file"]].strip()}


def given(block: Block) -> dict[str, str]:
    """What `ifconfig` is told of the group, wherever in the block."""
    words = shlex.split(block.text)
    return {name: value for name, value in pairwise(words) if name in WITH_A_VALUE}


def addresses(block: Block) -> set[str]:
    """With their prefixes, in whichever form."""
    pairs = re.findall(r"inet6? ([\d.:a-f]+) (?:netmask )?([\d.]+)\b", block.text) + re.findall(
        r"alias ([\d.:a-f]+)/(\d+)", block.text
    )
    return {str(ip_interface(f"{address}/{prefix}")) for address, prefix in pairs}


def test_the_linux_side_is_run(lab: Lab) -> None:
    host = Machine(lab, "linux", [["192.0.2.11/24", "2001:db8::11/64"]])
    Runner([host]).run(BLOCKS)


@pytest.mark.parametrize("system", BSD)
def test_each_side_is_told_the_same(system: str, linux: dict[str, Any]) -> None:
    theirs = given(BSD[system])
    assert theirs["vhid"] == str(linux["vhid"])
    assert theirs["pass"] == linux["pass"]
    assert len(theirs["pass"]) <= 19
    assert theirs["advbase"] == str(linux["advbase"])
    assert theirs["advskew"] != str(linux["advskew"])
    taken = [vip for vip in linux["vip"] if system != "NetBSD" or ip_interface(vip).version == 4]
    assert addresses(BSD[system]) == set(taken)
    assert (linux["auth"], linux["dead_ratio"]) == ("carp", 3)


def test_the_virtual_mac_address_is_that_of_the_vhid(linux: dict[str, Any]) -> None:
    assert f"00:00:5e:00:01:{linux['vhid']:02x}" in (SOURCE / PAGE).read_text()
