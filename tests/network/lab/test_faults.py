"""Each fault of the lab, seen by another node, and undone."""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from carpsidecar.lab.commands import LabError, run
from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

PORT = 5005


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        for name in ("struck", "witness", "other"):
            lab.node(name, links=2)
        yield lab


@pytest.fixture
def struck(lab: Lab) -> Node:
    return lab.nodes["struck"]


@pytest.fixture
def witness(lab: Lab) -> Node:
    return lab.nodes["witness"]


def answers(client: Node, address: IPv4Address | IPv6Address, within_s: float = SOON_S) -> bool:
    try:
        # Without the flush a ping that finds no answer keeps the next one waiting for ARP's second try.
        client.shell(f"ip neigh flush nud all; ping -c1 -W{within_s} {address}")
    except LabError:
        return False
    return True


def frames_heard(sender: Node, receiver: Node, count: int = 1) -> int:
    """How many of these broadcasts arrive: no ARP is needed, so one direction is enough."""
    udp = lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # noqa: E731
    with run_in(sender.ns, udp) as source, run_in(receiver.ns, udp) as sink:
        sink.bind(("", PORT))
        sink.settimeout(0.5)
        source.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        heard = 0
        for _ in range(count):
            source.sendto(b"hello", ("10.99.0.255", PORT))
        try:
            while heard < count:
                sink.recv(16)
                heard += 1
        except TimeoutError:
            pass
        return heard


def carrier(node: Node, interface: str = "eth0") -> str:
    return node.run(["cat", f"/sys/class/net/{interface}/carrier"]).strip()


def test_a_pulled_cable_takes_the_carrier_and_a_plugged_one_brings_it_back(struck: Node, witness: Node) -> None:
    struck.pull_cable()
    assert carrier(struck) == "0"
    assert not answers(witness, struck.address, 0.3)
    struck.plug_cable()
    assert carrier(struck) == "1"
    assert answers(witness, struck.address)


def test_the_other_nodes_and_the_other_interface_do_not_notice_a_pulled_cable(
    lab: Lab, struck: Node, witness: Node
) -> None:
    struck.pull_cable()
    assert answers(witness, lab.nodes["other"].address)
    assert carrier(struck, "eth1") == "1"
    assert answers(witness, struck.links[1].address)
    assert answers(witness, struck.links[1].address6)


def test_a_node_that_is_cut_off_keeps_its_carrier_but_nothing_passes(lab: Lab, struck: Node, witness: Node) -> None:
    struck.cut_off()
    assert carrier(struck) == "1"
    assert frames_heard(struck, witness) == 0
    assert frames_heard(witness, struck) == 0
    assert answers(witness, lab.nodes["other"].address)
    struck.rejoin()
    assert answers(witness, struck.address)


def test_one_segment_can_be_cut_off_alone(struck: Node, witness: Node) -> None:
    struck.cut_off(link=1)
    assert not answers(witness, struck.links[1].address, 0.3)
    assert answers(witness, struck.address)


def test_a_node_that_drops_incoming_frames_is_heard_but_hears_nothing(struck: Node, witness: Node) -> None:
    struck.drop_incoming()
    assert frames_heard(struck, witness) == 1
    assert frames_heard(witness, struck) == 0
    struck.rejoin()
    assert frames_heard(witness, struck) == 1


def test_a_node_that_drops_outgoing_frames_hears_but_is_not_heard(struck: Node, witness: Node) -> None:
    struck.drop_outgoing()
    assert frames_heard(struck, witness) == 0
    assert frames_heard(witness, struck) == 1
    struck.rejoin()
    assert frames_heard(struck, witness) == 1


@pytest.mark.parametrize("direction", ["from the node", "to the node"])
def test_a_fraction_of_the_frames_is_lost_in_each_direction(direction: str, struck: Node, witness: Node) -> None:
    pair = (struck, witness) if direction == "from the node" else (witness, struck)
    struck.lose_fraction(30)
    assert 100 < frames_heard(*pair, count=200) < 180
    struck.rejoin()
    assert frames_heard(*pair, count=200) == 200


def test_two_nodes_losses_do_not_disturb_each_other(lab: Lab, struck: Node, witness: Node) -> None:
    struck.cut_off()
    lab.nodes["other"].cut_off()
    lab.nodes["other"].rejoin()
    assert answers(witness, lab.nodes["other"].address)
    assert not answers(witness, struck.address, 0.3)


def test_a_deleted_interface_is_gone_and_comes_back_as_it_was(struck: Node, witness: Node) -> None:
    addresses_before = struck.run(["ip", "-o", "addr", "show", "eth0"]).count("inet")
    struck.run(["ip", "addr", "add", "10.99.0.100/32", "dev", "eth0"])
    struck.delete_interface()
    assert "eth0" not in struck.run(["ip", "link"])
    assert not answers(witness, struck.address, 0.3)
    struck.create_interface()
    assert answers(witness, struck.address)
    assert answers(witness, struck.address6)
    assert struck.run(["ip", "-o", "addr", "show", "eth0"]).count("inet") == addresses_before


def test_a_machine_without_power_runs_nothing_holds_nothing_and_says_nothing(struck: Node, witness: Node) -> None:
    daemon = struck.start(["sh", "-c", "setsid sleep 1000 & echo ready; sleep 1000"])
    daemon.wait_for("ready", SOON_S)
    struck.run(["ip", "addr", "add", "10.99.0.100/24", "dev", "eth0"])
    struck.power_off()
    assert daemon.returncode == -9
    assert run(["ip", "netns", "pids", struck.ns]) == ""
    assert "10.99.0.100" not in struck.run(["ip", "addr"])
    assert not answers(witness, struck.address, 0.3)
    struck.power_on()
    assert answers(witness, struck.address)
    assert answers(witness, struck.links[1].address6)
    assert "10.99.0.100" not in struck.run(["ip", "addr"])


def test_each_machine_has_folders_of_its_own_and_what_runs_is_forgotten_without_power(
    struck: Node, witness: Node
) -> None:
    command = 'mkdir -p "$RUNTIME_DIRECTORY" "$STATE_DIRECTORY"; touch "$RUNTIME_DIRECTORY/a" "$STATE_DIRECTORY/a"'
    listing = 'cd "$RUNTIME_DIRECTORY/.." && ls "$RUNTIME_DIRECTORY" "$STATE_DIRECTORY" 2>/dev/null || true'
    struck.shell(command)
    assert witness.shell(listing) == ""
    struck.power_off()
    struck.power_on()
    assert [line for line in struck.shell(listing).splitlines() if line] == [
        f"{struck.environment['STATE_DIRECTORY']}:",
        "a",
    ]


def test_each_fault_leaves_a_mark_with_its_time(lab: Lab, struck: Node) -> None:
    struck.cut_off()
    struck.rejoin()
    struck.lose_fraction(2.5)
    assert [(mark.node, mark.fault) for mark in lab.marks] == [
        ("struck", "cut_off"),
        ("struck", "rejoin"),
        ("struck", "lose_fraction 2.5 %"),
    ]
    assert [mark.at for mark in lab.marks] == sorted(mark.at for mark in lab.marks)
