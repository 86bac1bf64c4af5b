"""Ports of the node itself are out of reach at addresses of Services; what kube-proxy translates is not touched."""

import errno
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv6Address

import pytest

from carpsidecar.linux.fence import PREFIX, Fence
from carpsidecar.linux.netlink import IPAddress
from tests.network.linux.helpers import DEADLINE_S, Node, run, two_nodes

pytestmark = pytest.mark.network

VIP, VIP6 = IPv4Address("10.0.0.100"), IPv6Address("fd00::100")
OWN, OWN6 = IPv4Address("10.0.0.1"), IPv6Address("fd00::1")
POD, POD6 = IPv4Address("10.244.0.2"), IPv6Address("fd44::2")
BOTH = [pytest.param(VIP, OWN, id="IPv4"), pytest.param(VIP6, OWN6, id="IPv6")]
SSH, SERVICE, POD_PORT = 22, 80, 8080

KUBE_PROXY = f"""
table inet kube-proxy {{
  chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
  chain nat-output {{ type nat hook output priority -100; jump services; }}
  chain nat-postrouting {{ type nat hook postrouting priority srcnat; mark and 0x4000 == 0x4000 masquerade; }}
  chain services {{
    ip daddr {VIP} tcp dport {SERVICE} mark set mark or 0x4000 dnat ip to {POD}:{POD_PORT}
    ip6 daddr {VIP6} tcp dport {SERVICE} mark set mark or 0x4000 dnat ip6 to [{POD6}]:{POD_PORT}
    ip daddr {VIP} tcp dport 81 dnat ip to {OWN}:{POD_PORT}
    ip6 daddr {VIP6} tcp dport 81 dnat ip6 to [{OWN6}]:{POD_PORT}
  }}
}}
"""
"""As kube-proxy does in its nftables mode: to a pod of its own network, and to one in that of the node."""


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    """One with the addresses, a pod behind it, and a server like ssh's; and a client."""
    with two_nodes() as (node, client), a_pod(node) as pod, ExitStack() as stack:
        for address, prefix in ((VIP, 32), (VIP6, 128)):
            node.ip("addr", "add", f"{address}/{prefix}", "dev", "net0", "nodad")
        for of, port in ((node, SSH), (node, POD_PORT), (pod, POD_PORT)):
            stack.enter_context(listening(of, port))
        node.sysctl("ipv4/ip_forward", "1")
        node.sysctl("ipv6/conf/all/forwarding", "1")
        with node.inside():
            subprocess.run(["nft", "-f", "-"], input=KUBE_PROXY, text=True, check=True)
        yield node, client


@contextmanager
def a_pod(node: Node) -> Iterator[Node]:
    pod = Node(9)
    try:
        node.ip("link", "add", "pod0", "type", "veth", "peer", "name", "eth0", "netns", pod.name)
        for one, link, number in ((node, "pod0", 1), (pod, "eth0", 2)):
            one.ip("link", "set", link, "up")
            one.ip("addr", "add", f"10.244.0.{number}/24", "dev", link)
            one.ip("addr", "add", f"fd44::{number}/64", "dev", link, "nodad")
        pod.ip("route", "add", "default", "via", "10.244.0.1")
        pod.ip("route", "add", "default", "via", "fd44::1")
        yield pod
    finally:
        run("ip", "netns", "del", pod.name)


@contextmanager
def listening(node: Node, port: int) -> Iterator[None]:
    with node.inside():
        server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    with server:
        yield


def connect(client: Node, address: IPAddress, port: int) -> int:
    """The error number of a connection; 0 where it was made."""
    with client.inside():
        sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
    with sock:
        sock.settimeout(DEADLINE_S)
        return sock.connect_ex((str(address), port))


def datagram(client: Node, address: IPAddress, port: int) -> int:
    """The error that comes back for it."""
    with client.inside():
        sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(DEADLINE_S)
        sock.connect((str(address), port))
        sock.send(b"x")
        try:
            sock.recv(1)
        except OSError as error:
            return error.errno or -1
    return 0


def pings(client: Node, address: IPAddress) -> bool:
    with client.inside():
        return (
            subprocess.run(["ping", "-c1", "-W5", str(address)], capture_output=True, check=False).returncode == 0
        )


@pytest.fixture
def fence(nodes: tuple[Node, Node]) -> Iterator[Fence]:
    with nodes[0].inside():
        fence = Fence()
    yield fence
    fence.close()


@pytest.mark.parametrize(("vip", "own"), BOTH)
def test_nothing_of_the_node_is_reached_there_and_all_that_is_of_the_service(
    nodes: tuple[Node, Node], fence: Fence, vip: IPAddress, own: IPAddress
) -> None:
    node, client = nodes
    assert connect(client, vip, SSH) == 0, "or the test would show nothing"
    fence.close_ports([VIP, VIP6])
    assert connect(client, vip, SSH) == errno.ECONNREFUSED
    assert connect(client, vip, 4321) == errno.ECONNREFUSED
    assert datagram(client, vip, 5353) == errno.ECONNREFUSED
    assert pings(client, vip)
    assert connect(client, own, SSH) == 0
    assert [connect(client, vip, port) for port in (SERVICE, 81)] == [0, 0]
    assert [connect(node, vip, port) for port in (SERVICE, 81)] == [0, 0], "the node itself asks the Service"
    assert connect(node, vip, SSH) == errno.ECONNREFUSED
    fence.open_ports([VIP, VIP6])
    assert connect(client, vip, SSH) == 0


@pytest.mark.parametrize(("vip", "own"), BOTH)
def test_what_is_connected_stays_so_and_what_the_node_asks_from_there_is_answered(
    nodes: tuple[Node, Node], fence: Fence, vip: IPAddress, own: IPAddress
) -> None:
    node, client = nodes
    family = socket.AF_INET if vip.version == 4 else socket.AF_INET6
    with node.inside():
        server = socket.create_server(("::", 2222), family=socket.AF_INET6, dualstack_ipv6=True)
    with client.inside():
        there = socket.create_server(("::", 4444), family=socket.AF_INET6, dualstack_ipv6=True)
        before = socket.create_connection((str(vip), 2222), timeout=DEADLINE_S)
    with server, there, before, node.inside(), socket.socket(family) as asks:
        fence.close_ports([vip])
        accepted, _ = server.accept()
        with accepted:
            before.sendall(b"still there")
            accepted.settimeout(DEADLINE_S)
            assert accepted.recv(20) == b"still there"
        asks.settimeout(DEADLINE_S)
        asks.bind((str(vip), 0))
        asks.connect(("10.0.0.2" if vip.version == 4 else "fd00::2", 4444))


def test_it_does_not_take_the_fence_to_close_ports_nor_the_other_way_round(
    nodes: tuple[Node, Node], fence: Fence
) -> None:
    client = nodes[1]
    fence.close_ports([VIP])
    assert (pings(client, VIP), pings(client, VIP6)) == (True, True)
    fence.add([VIP6])
    assert (pings(client, VIP), pings(client, VIP6)) == (True, False)
    assert connect(client, VIP, SSH) == errno.ECONNREFUSED


def test_a_flushed_ruleset_is_put_back(nodes: tuple[Node, Node], fence: Fence) -> None:
    node, client = nodes
    fence.close_ports([VIP, VIP6])
    with node.inside():
        run("nft", "flush", "ruleset")
    assert connect(client, VIP, SSH) == 0
    fence.receive()
    assert fence.restored == 1
    assert [connect(client, vip, SSH) for vip in (VIP, VIP6)] == [errno.ECONNREFUSED] * 2


def test_it_is_gone_with_its_owner(nodes: tuple[Node, Node]) -> None:
    node, client = nodes
    with node.inside():
        fence = Fence()
    fence.close_ports([VIP])
    fence.close()
    with node.inside():
        assert PREFIX not in run("nft", "list", "tables")
    assert connect(client, VIP, SSH) == 0


def test_what_nobody_keeps_is_open_again_before_long(nodes: tuple[Node, Node], fence: Fence) -> None:
    node, _ = nodes
    fence.close_ports([VIP])
    with node.inside():
        listed = run("nft", "list", "set", "inet", *_table(), "closed4")
    assert f"{VIP} timeout 1m expires" in listed


def _table() -> list[str]:
    return [line.split()[2] for line in run("nft", "list", "tables", "inet").splitlines() if PREFIX in line]
