"""The fence, against a real kernel: silent at the very moment, whatever became of its owner, and nobody else."""

import math
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from carpsidecar.linux.claims import ClaimWatch
from carpsidecar.linux.fence import PREFIX, Fence
from carpsidecar.linux.netlink import IPAddress
from carpsidecar.linux.nftables import INET, Nftables, rule, table
from carpsidecar.linux.probe import Prober
from tests.network.linux.helpers import DEADLINE_S, Node, readable, run, two_nodes

pytestmark = pytest.mark.network

VIP, VIP6 = IPv4Address("10.0.0.100"), IPv6Address("fd00::100")
OWN, OWN6 = IPv4Address("10.0.0.1"), IPv6Address("fd00::1")
LINK_LOCAL = IPv6Address("fe80::ff:fe00:2")
TICK_S = 0.02
"""The kernel's clock for timeouts, in the coarsest configuration, and one to spare."""

OWNER = """
import sys, time
from ipaddress import ip_address
from carpsidecar.linux.fence import PREFIX, Fence
fence = Fence()
addresses = [ip_address(text) for text in sys.argv[2:]]
fence.add(addresses)
while True:
    fence.renew(dict.fromkeys(addresses, time.monotonic() + 0.3))
    print("renewed", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    with two_nodes() as pair:
        for address, prefix in ((VIP, 32), (VIP6, 128)):
            pair[0].ip("addr", "add", f"{address}/{prefix}", "dev", "net0", "nodad")
        pair[1].ip("addr", "flush", "dev", "net0", "scope", "link")
        pair[1].ip("addr", "add", f"{LINK_LOCAL}/64", "dev", "net0", "nodad")
        yield pair


class Client:
    """Asks the node for addresses by ARP and neighbour solicitation, and by ping."""

    def __init__(self, node: Node) -> None:
        self._node = node
        with node.inside():
            self._prober, self._watch = Prober("net0", node.mac), ClaimWatch(node.index, node.mac)
            self._watch.watch([VIP, VIP6, OWN, OWN6])

    def close(self) -> None:
        self._prober.close()
        self._watch.close()

    def answers_for(self, *addresses: IPAddress, within_s: float = 0.05) -> set[IPAddress]:
        self._watch.receive(1000)
        self._prober.ask(addresses, LINK_LOCAL)
        answered: set[IPAddress] = set()
        deadline = time.monotonic() + within_s
        while answered < set(addresses) and readable(self._watch, max(0.0, deadline - time.monotonic())):
            answered |= {claim.address for claim in self._watch.receive(1000)}
            if time.monotonic() > deadline:
                break
        return answered

    def wait_for(self, *addresses: IPAddress) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while self.answers_for(*addresses) != set(addresses):
            assert time.monotonic() < deadline

    def last_answer(self, *addresses: IPAddress) -> float:
        """When the last question was asked that somebody answered; all stay unanswered for half a second."""
        last, quiet_since = -math.inf, time.monotonic()
        while (asked := time.monotonic()) < quiet_since + 0.5:
            if self.answers_for(*addresses, within_s=0.005):
                last = quiet_since = asked
        return last

    def pings(self, address: IPAddress) -> bool:
        with self._node.inside():
            ping = ["ping", "-c1", "-W1", str(address)]
            return subprocess.run(ping, capture_output=True, check=False).returncode == 0


@pytest.fixture
def client(nodes: tuple[Node, Node]) -> Iterator[Client]:
    client = Client(nodes[1])
    client.wait_for(VIP, VIP6, OWN, OWN6)
    yield client
    client.close()


@pytest.fixture
def fence(nodes: tuple[Node, Node]) -> Iterator[Fence]:
    with nodes[0].inside():
        fence = Fence()
    yield fence
    fence.close()


def owner_of(node: Node, every_s: float = 0.05) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", OWNER, str(every_s), str(VIP), str(VIP6)]
    with node.inside():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "renewed\n"
    return process


def renew(fence: Fence, addresses: Collection[IPAddress], for_s: float) -> None:
    fence.renew(dict.fromkeys(addresses, time.monotonic() + for_s))


def ours(node: Node) -> list[str]:
    with node.inside():
        return [line for line in run("nft", "list", "tables").splitlines() if PREFIX in line]


def test_an_address_is_silent_until_it_is_renewed_and_neighbours_never(client: Client, fence: Fence) -> None:
    fence.add([VIP, VIP6])
    assert client.answers_for(VIP, VIP6, OWN, OWN6) == {OWN, OWN6}
    assert not client.pings(VIP)
    assert not client.pings(VIP6)
    assert client.pings(OWN)
    assert client.pings(OWN6)
    renew(fence, [VIP, VIP6], 30)
    assert client.answers_for(VIP, VIP6, OWN, OWN6, within_s=1) == {VIP, VIP6, OWN, OWN6}
    assert client.pings(VIP)
    assert client.pings(VIP6)
    fence.expire([VIP])
    assert client.answers_for(VIP, VIP6) == {VIP6}
    fence.remove([VIP, VIP6])
    client.wait_for(VIP, VIP6)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGSTOP])
def test_silent_in_time_after_its_owner(nodes: tuple[Node, Node], client: Client, ending: signal.Signals) -> None:
    owner = owner_of(nodes[0])
    try:
        client.wait_for(VIP, VIP6)
        owner.send_signal(ending)
        ended = time.monotonic()
        assert client.last_answer(VIP, VIP6) <= ended + 0.3 + TICK_S
        assert client.answers_for(OWN, OWN6) == {OWN, OWN6}
        assert len(ours(nodes[0])) == 2
    finally:
        owner.kill()
        owner.wait()


def test_nothing_leaves_from_an_address_that_ran_out(nodes: tuple[Node, Node], fence: Fence) -> None:
    fence.add([VIP, VIP6])
    sources: list[tuple[IPAddress, str]] = [(VIP, "10.0.0.2"), (VIP6, "fd00::2")]
    with nodes[0].inside():
        for source, destination in sources:
            ping = ["ping", "-c1", "-W1", "-I", str(source), destination]
            assert subprocess.run(ping, capture_output=True, check=False).returncode != 0
            renew(fence, [source], 30)
            assert subprocess.run(ping, capture_output=True, check=False).returncode == 0


def test_the_next_owner_takes_over_whoever_it_is(nodes: tuple[Node, Node], client: Client) -> None:
    owner = owner_of(nodes[0])
    owner.kill()
    owner.wait()
    left_over = ours(nodes[0])
    with nodes[0].inside():
        fence = Fence()
    try:
        assert len(ours(nodes[0])) == 2
        assert not set(left_over) & set(ours(nodes[0]))
        fence.add([VIP, VIP6])
        renew(fence, [VIP, VIP6], 30)
        client.wait_for(VIP, VIP6)
    finally:
        fence.close()
    assert ours(nodes[0]) == []
    client.wait_for(VIP, VIP6)


def test_two_owners_do_not_disturb_each_other(nodes: tuple[Node, Node], client: Client, fence: Fence) -> None:
    fence.add([VIP])
    with nodes[0].inside():
        other = Fence()
    other.add([VIP6])
    assert len(ours(nodes[0])) == 4
    assert client.answers_for(VIP, VIP6) == set()
    renew(fence, [VIP], 30)
    renew(other, [VIP6], 30)
    client.wait_for(VIP, VIP6)
    other.close()
    fence.expire([VIP])
    assert client.answers_for(VIP, VIP6) == {VIP6}


def test_flushed_and_put_back_with_what_was_live(nodes: tuple[Node, Node], client: Client, fence: Fence) -> None:
    fence.add([VIP, VIP6])
    renew(fence, [VIP6], 30)
    with nodes[0].inside():
        run("nft", "add", "table", "ip", "another")
        run("nft", "flush", "ruleset")
    assert readable(fence)
    fence.receive()
    assert fence.restored == 1
    assert client.answers_for(VIP, VIP6) == {VIP6}
    with nodes[0].inside():
        run("nft", "flush", "ruleset")
    renew(fence, [VIP], 30)  # notices by itself
    assert fence.restored == 2
    fence.receive()
    assert fence.restored == 2
    client.wait_for(VIP, VIP6)


def test_one_rule_deleted_and_put_back(nodes: tuple[Node, Node], client: Client, fence: Fence) -> None:
    fence.add([VIP, VIP6])
    name = ours(nodes[0])[0].split()[-1]
    with nodes[0].inside():
        run("nft", "flush", "chain", "arp", name, "input")
        run("nft", "flush", "chain", "arp", name, "output")
    client.wait_for(VIP)
    assert readable(fence)
    fence.receive()
    assert client.answers_for(VIP, VIP6) == set()


def test_other_peoples_rules_wake_nobody(nodes: tuple[Node, Node], fence: Fence) -> None:
    fence.add([VIP])
    renew(fence, [VIP], 30)
    with nodes[0].inside():
        for command in ("add table ip x", "add set ip x s { type ipv4_addr; }", "add element ip x s { 10.0.0.9 }"):
            run("nft", *command.split())
        assert not readable(fence, 0.1)
        run("nft", "delete", "table", "ip", "x")
    assert readable(fence)
    fence.receive()
    assert fence.restored == 0


def test_an_older_kernel_renews_by_deleting_and_adding(client: Client, fence: Fence) -> None:
    fence._updates = False
    fence.add([VIP, VIP6])
    for _ in range(3):
        renew(fence, [VIP, VIP6], 30)
    renew(fence, [VIP, VIP6], 0.3)
    ended = time.monotonic()
    client.wait_for(VIP, VIP6)
    assert client.last_answer(VIP, VIP6) <= ended + 0.3 + TICK_S


def test_a_thousand_addresses_in_one_go(nodes: tuple[Node, Node], fence: Fence) -> None:
    many: list[IPAddress] = [IPv4Address(int(IPv4Address("10.7.0.0")) + n) for n in range(1000)]
    many += [IPv6Address(int(IPv6Address("fd07::")) + n) for n in range(1000)]
    fence.add(many)
    renew(fence, many, 30)
    name = ours(nodes[0])[0].split()[-1]
    with nodes[0].inside():
        nftables = Nftables()
    for kind, length in (("live4", 4), ("live6", 16)):
        left = nftables.elements(INET, name, kind)
        assert {len(key) for key in left} == {length}
        assert len(left) == 1000
        assert all(20_000 < (ms or 0) <= 30_000 for ms in left.values())
    nftables.close()


def test_what_the_kernel_lacks_is_named(nodes: tuple[Node, Node]) -> None:
    with nodes[0].inside():
        nftables = Nftables()
    unknown = rule(INET, "x", "y", b"")
    with pytest.raises(OSError, match=r"nftables refused a rule in family inet: .*this kernel may lack it"):
        nftables.commit([unknown])
    with pytest.raises(OSError, match=r"a table of family 77"):
        nftables.commit(table(77, "x"))
    nftables.close()


def test_without_the_capability_it_says_so(nodes: tuple[Node, Node]) -> None:
    program = "from carpsidecar.linux.fence import Fence\ntry: Fence()\nexcept OSError as e: print(e)"
    with nodes[0].inside():
        without = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
        assert "nftables needs CAP_NET_ADMIN" in run(*without, sys.executable, "-c", program)
