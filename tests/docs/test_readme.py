"""README.md: its commands, on two hosts. Its blocks have no titles, so it stands here where each one runs."""

import re
import subprocess

import pytest

from carpsidecar.lab.network import Lab
from tests.support.manual.machine import Machine
from tests.support.manual.page import SOURCE, claim
from tests.support.waits import SOON_S

[MAKE] = claim("README.md", "make demo")
[TWO_HOSTS] = claim("README.md", "apt install ./carpsidecar_*.deb")
[UCARP] = claim("README.md", "carpsidecar ucarp")
[FILE] = claim("README.md", "# /etc/carpsidecar.yaml")


def test_the_map_names_every_folder() -> None:
    tracked = subprocess.run(["git", "-C", SOURCE, "ls-files"], capture_output=True, text=True, check=False).stdout
    if not tracked:
        pytest.skip("not a git checkout")
    paths = [path.split("/") for path in tracked.splitlines()]
    top = {path[0] for path in paths if len(path) > 1 and not path[0].startswith(".")}
    package = {"/".join(path[:2]) for path in paths if path[0] == "carpsidecar" and len(path) > 2}
    tests = {path[1] for path in paths if path[0] == "tests" and len(path) > 2} - {"fixtures"}
    [table] = re.findall(r"\| folder \|.*?\n\n", (SOURCE / "README.md").read_text(), re.DOTALL)
    named = {name.rstrip("/") for name in re.findall(r"`([\w/]+/)`", table)}
    assert named == (top - {"carpsidecar"}) | package | tests


def hosts(lab: Lab) -> tuple[Machine, Machine]:
    return (
        Machine(lab, "first", [["192.0.2.11/24"], ["10.0.0.2/24"]]),
        Machine(lab, "second", [["192.0.2.12/24"], ["10.0.0.3/24"]]),
    )


def test_the_targets_are_there() -> None:
    """tests/network/lab/test_demo.py runs the demo, and this is run by the other one."""
    wanted = re.findall(r"^make (\w+)", MAKE.text, re.MULTILINE)
    assert wanted == ["demo", "test"]
    makefile = (SOURCE / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in wanted)


def test_two_hosts(lab: Lab) -> None:
    install, *commands = TWO_HOSTS.text.splitlines()
    # tests/binary/test_manual.py does this, on a Debian of its own.
    assert install.split("#")[0].strip() == "apt install ./carpsidecar_*.deb"
    first, second = hosts(lab)
    processes = [machine.start("\n".join(commands)) for machine in (first, second)]
    processes[0].wait_for(re.compile("became (master|backup)"), SOON_S)
    first.run("timeout 20 sh -c 'until ping -c 1 -W 1 192.0.2.100; do sleep 0.2; done'")
    masters = ["MASTER" in machine.run("carpsidecar status") for machine in (first, second)]
    assert sorted(masters) == [False, True]


def test_instead_of_ucarp(lab: Lab) -> None:
    first, _ = hosts(lab)
    first.run("echo 'up to 19 bytes' >/etc/carp.pass")
    first.write("/etc/vip-up.sh", '#!/bin/sh\nip address add "$2/32" dev "$1" && echo "UP $*"\n')
    first.write("/etc/vip-down.sh", '#!/bin/sh\nip address del "$2/32" dev "$1"\n')
    first.run("chmod 755 /etc/vip-up.sh /etc/vip-down.sh")
    ucarp = first.start(UCARP.text)
    ucarp.wait_for("UP eth0 192.0.2.100", SOON_S)


def test_a_file(lab: Lab) -> None:
    first, _ = hosts(lab)
    first.run("(umask 077; echo 'up to 19 bytes' >/etc/carp.pass); mkdir -p /usr/local/sbin")
    first.write("/usr/local/sbin/flush-conntrack", "#!/bin/sh\necho FLUSHED\n")
    first.run("chmod 755 /usr/local/sbin/flush-conntrack; ip address add 2001:db8::11/64 dev eth0 nodad")
    # To Markdown it is one block.
    text, _, commands = FILE.text.partition("\n\n")
    first.write(text.splitlines()[0].removeprefix("# "), text)
    check, run = commands.splitlines()
    assert "sync_group: firewall" in first.run(check)
    engine = first.start(run)
    engine.wait_for("FLUSHED", SOON_S)
    engine.wait_for("outside: became master", SOON_S)
    shown = first.run("carpsidecar status")
    assert re.search(r"outside +master .* 192.0.2.100 \+2", shown), shown
