"""carpsidecar-ucarp takes the place of Debian's ucarp, with the real ifupdown, on systems that systemd runs."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.lab.network import Lab
from tests.binary.conftest import NATIVE, built
from tests.binary.machine import Machine, booted, make_tree
from tests.support.manual.page import claim
from tests.support.waits import wait_until

[INSTALL] = claim("docs/moving/ucarp.md", "apt install ./carpsidecar_*.deb ./carpsidecar-ucarp_*.deb")
VIP = "192.0.2.101"
INTERFACES = f"""\
iface eth0 inet static
    address 192.0.2.13
    netmask 255.255.255.0
    ucarp-vid 43
    ucarp-vip {VIP}
    ucarp-password not-for-everybody
    ucarp-advskew 50
    ucarp-master yes

iface eth0:ucarp inet static
    address {VIP}
    netmask 255.255.255.255
"""


@pytest.fixture
def machine(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    packages = [built(f"carpsidecar_*_{NATIVE}.deb"), built("carpsidecar-ucarp_*_all.deb")]
    root = tmp_path / "debian"
    make_tree(root, *request.param)
    for package in packages:
        shutil.copy(package, root / "root")
    with booted(lab.node("debian"), root) as machine:
        (root / "etc/network/interfaces").write_text(INTERFACES)
        (root / "etc/apt/apt.conf.d/yes").write_text('APT::Get::Assume-Yes "true";\n')
        yield machine


def held(lab: Lab) -> bool:
    return f"{VIP}/" in lab.nodes["debian"].run(["ip", "-4", "address", "show", "dev", "eth0"])


def ucarps(machine: Machine) -> list[str]:
    lines = machine.run("ps -A -ww -o args=").splitlines()
    return [line for line in lines if line.startswith("/usr/sbin/ucarp ")]


@pytest.mark.parametrize(
    "machine",
    [
        pytest.param(("bookworm", "ucarp"), id="instead of ucarp on Debian 12"),
        pytest.param(("trixie",), id="on Debian 13"),
    ],
    indirect=True,
)
def test_the_lines_of_interfaces_go_on_working(lab: Lab, machine: Machine) -> None:
    machine.run(f"cd /root && {INSTALL.text}")
    assert machine.run("readlink -f /usr/sbin/ucarp").strip() == "/usr/lib/carpsidecar/carpsidecar"
    assert "ii " not in machine.run("dpkg-query -W -f '${db:Status-Abbrev}\\n' ucarp", check=False)
    for _ in range(2):
        machine.run("ifup eth0")
        wait_until(lambda: held(lab), "the address is there")
        [line] = ucarps(machine)
        assert re.search(r" -v 43 .* -a 192\.0\.2\.101 .* -P -k 50", line)
        assert "not-for-everybody" not in machine.run("ps -A -ww -o args=")
        machine.run("ifdown eth0")
        assert ucarps(machine) == []
        assert not held(lab)
    assert machine.run("ls -A /run/carpsidecar-ucarp") == ""
    machine.run("dpkg --purge carpsidecar-ucarp carpsidecar")
    assert machine.run("ls /usr/sbin/ucarp /etc/network/if-up.d/ucarp 2>/dev/null", check=False) == ""
