"""The command on a wire: what it sees, how it ends, and what rights it keeps."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.command import COMMAND
from tests.support.daemon import send
from tests.support.frames import ipv4, ipv6
from tests.support.tap import Tap
from tests.support.waits import SOON_S
from tests.unit.capture.packets import carp

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.node("here")
        lab.node("there")
        yield lab


@pytest.fixture
def here(lab: Lab) -> Node:
    return lab.nodes["here"]


@pytest.fixture
def there(lab: Lab) -> Iterator[Tap]:
    with Tap(lab.nodes["there"]) as tap:
        yield tap


def listening(node: Node, *flags: str) -> Process:
    process = node.start([*COMMAND, "capture", *flags])
    process.wait_for("listening on", SOON_S)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_a_signal_ends_it_with_a_summary(here: Node, there: Tap, tmp_path: Path, number: signal.Signals) -> None:
    process = listening(here, "-i", "eth0", "-w", str(tmp_path / "it.pcap"))
    there.send(ipv4(there.mac, "10.99.0.12", carp()))
    process.wait_for("10.99.0.12 > 224.0.0.18 CARP 2 vhid 42", SOON_S)
    send(process, number)
    assert process.wait(SOON_S) == 0
    assert process.log.splitlines()[-2:] == [
        "1 packets: 1 CARP",
        "  1 from 10.99.0.12 CARP 2 vhid 42 digest unverified",
    ]
    again = here.run([*COMMAND, "capture", "-r", str(tmp_path / "it.pcap")])
    assert "CARP 2 vhid 42" in again


def test_what_is_wrong_is_reported_and_what_is_something_else_is_not(here: Node, there: Tap) -> None:
    process = listening(here, "-i", "eth0")
    udp = bytearray(ipv4(there.mac, "10.99.0.12", carp()))
    udp[23] = 17
    there.send(bytes(udp))
    there.send(ipv4(there.mac, "10.99.0.12", carp()[:30], ttl=3))
    there.send(ipv6(there.mac, "fe80::9", carp()[:-1] + b"!"))
    process.wait_for("fe80::9 > ff02::12 CARP 2 vhid 42", SOON_S)
    lines = [line for line in process.log.splitlines() if " > " in line]
    assert len(lines) == 2
    assert "BAD: ttl 3, not 255" in lines[0]
    assert "BAD: checksum 0x" in lines[1]
    process.kill()


@pytest.mark.parametrize(
    ("flags", "tags", "vlans"),
    [
        (["-i", "eth0"], "81000005", [5]),
        (["-i", "eth0"], "88a8000681000005", [6, 5]),
        ([], "81000005", [5]),
    ],
    ids=["ethernet", "two tags", "all, cooked"],
)
def test_a_vlan_tag_that_the_kernel_took_off_is_there_again(
    here: Node, there: Tap, tmp_path: Path, flags: list[str], tags: str, vlans: list[int]
) -> None:
    file = str(tmp_path / "tagged.pcap")
    process = listening(here, *flags, "--json", "--count", "1", "-w", file)
    frame = ipv4(there.mac, "10.99.0.12", carp())
    there.send(frame[:12] + bytes.fromhex(tags) + frame[12:])
    assert process.wait(SOON_S) == 0, process.log
    again = here.run([*COMMAND, "capture", "-r", file, "--json"])
    for text in (process.log, again):
        [record] = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert (record["vlans"], record["vhid"]) == (vlans, 42)


def test_what_this_machine_sends_is_seen_as_such(here: Node) -> None:
    process = listening(here, "-i", "eth0", "--json", "--count", "1")
    with Tap(here) as tap:
        tap.send(ipv4(tap.mac, "10.99.0.11", carp()))
    assert process.wait(SOON_S) == 0
    assert json.loads(next(line for line in process.log.splitlines() if line.startswith("{")))["outgoing"] is True


def test_a_firewall_does_not_hide_anything(here: Node, there: Tap) -> None:
    here.shell(
        "nft add table inet f && nft 'add chain inet f i { type filter hook input priority 0; policy drop; }'"
        " && nft 'add chain inet f p { type filter hook prerouting priority -400; policy drop; }'"
    )
    try:
        process = listening(here, "-i", "eth0", "--count", "1")
        there.send(ipv4(there.mac, "10.99.0.12", carp()))
        assert process.wait(SOON_S) == 0
    finally:
        here.run(["nft", "delete", "table", "inet", "f"])


def test_it_keeps_no_privilege(here: Node) -> None:
    process = listening(here, "-i", "eth0")
    pid = here.shell(f"pgrep -P {process.pid} || echo {process.pid}").split()[0]
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert {status[name].strip("0") for name in ("CapEff", "CapPrm", "CapInh", "CapBnd")} == {""}
    assert status["NoNewPrivs"] == "1"
    process.kill()


def test_the_lower_right_is_enough(here: Node, there: Tap) -> None:
    only = ["setpriv", "--bounding-set", "-all,+net_raw", "--inh-caps", "-all"]
    process = here.start([*only, *COMMAND, "capture", "-i", "eth0", "--count", "1"])
    process.wait_for("listening on", SOON_S)
    there.send(ipv4(there.mac, "10.99.0.12", carp()))
    assert process.wait(SOON_S) == 0


def test_without_the_right_it_is_one_line(here: Node) -> None:
    process = here.start(["setpriv", "--bounding-set", "-all", *COMMAND, "capture", "-i", "eth0"])
    assert process.wait(SOON_S) == 1
    assert process.log == "carpsidecar capture: no right to listen: CAP_NET_RAW is needed: run it as root\n"


def test_an_interface_that_goes_and_one_that_only_goes_down(lab: Lab, there: Tap) -> None:
    node = lab.node("fragile")
    process = listening(node, "-i", "eth0")
    node.run(["ip", "link", "set", "eth0", "down"])
    node.run(["ip", "link", "set", "eth0", "up"])
    there.send(ipv4(there.mac, "10.99.0.12", carp()))
    process.wait_for("10.99.0.12 > 224.0.0.18 CARP 2", SOON_S)
    node.delete_interface()
    assert process.wait(SOON_S) == 1
    assert process.log.splitlines()[-1] == (
        "carpsidecar capture: can't listen any more: there is no interface 'eth0': see `ip link`"
    )
