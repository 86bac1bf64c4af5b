"""The fence beside kube-proxy, firewalld and Docker, who load rules of their own: neither disturbs the other."""

import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import pytest

from carpsidecar.linux.claims import ClaimWatch
from carpsidecar.linux.fence import Fence
from carpsidecar.linux.probe import Prober
from tests.network.linux.helpers import Node, readable, run, two_nodes

pytestmark = pytest.mark.network

VIP = IPv4Address("10.0.0.100")

KUBE_PROXY = """
table ip kube-proxy
delete table ip kube-proxy
table ip kube-proxy {
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
  chain filter-prerouting { type filter hook prerouting priority dstnat - 10; ct state new jump firewall; }
  chain firewall { }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
}
"""
FIREWALLD = """
table inet firewalld
delete table inet firewalld
table inet firewalld {
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_INPUT_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_INPUT_ZONES { iifname "net0" goto filter_IN_public; goto filter_IN_public; }
  chain filter_IN_public { meta l4proto { icmp, ipv6-icmp } accept; tcp dport 22 accept; }
  chain filter_OUTPUT { type filter hook output priority filter + 10; policy accept; oifname "lo" accept; }
}
"""
DOCKER = (
    "-t nat -N DOCKER",
    "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-t nat -A DOCKER -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
    "-t filter -N DOCKER-USER",
    "-t filter -A FORWARD -j DOCKER-USER",
)


def load(rules: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def kube_proxy() -> None:
    load(KUBE_PROXY)


def firewalld() -> None:
    load(FIREWALLD)


def docker() -> None:
    for table in ("nat", "filter"):
        subprocess.run(["iptables-nft", "-t", table, "-F"], check=True)
        subprocess.run(["iptables-nft", "-t", table, "-X"], check=True)
    for rule in DOCKER:
        subprocess.run(["iptables-nft", *rule.split()], check=True)


class Client:
    def __init__(self, node: Node) -> None:
        self._node = node
        with node.inside():
            self._prober, self._watch = Prober("net0", node.mac), ClaimWatch(node.index, node.mac)
            self._watch.watch([VIP])

    def close(self) -> None:
        self._prober.close()
        self._watch.close()

    def hears_it(self, within_s: float = 0.1) -> bool:
        self._watch.receive(100)  # what its kernel was answered for a ping
        self._prober.ask([VIP])
        return readable(self._watch, within_s)

    def pings_it(self) -> bool:
        with self._node.inside():
            ping = ["ping", "-c1", "-W1", str(VIP)]
            return subprocess.run(ping, capture_output=True, check=False).returncode == 0


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Client]]:
    with two_nodes() as (node, other):
        node.ip("addr", "add", f"{VIP}/32", "dev", "net0")
        client = Client(other)
        yield node, client
        client.close()


@pytest.mark.parametrize("neighbour", [kube_proxy, firewalld, docker])
def test_neither_disturbs_the_other(nodes: tuple[Node, Client], neighbour: Callable[[], None]) -> None:
    node, client = nodes
    with node.inside():
        neighbour()
        theirs = run("nft", "-s", "list", "ruleset")
        fence = Fence()
        fence.add([VIP])
        assert not client.hears_it()
        fence.renew({VIP: time.monotonic() + 30})
        assert client.hears_it(within_s=1)
        assert client.pings_it()
        # They load all their rules anew, as at a reload; ours are not among them.
        neighbour()
        fence.receive()
        assert fence.restored == 0
        assert client.pings_it()
        fence.expire([VIP])
        assert not client.hears_it()
        assert not client.pings_it()
        fence.close()
        assert run("nft", "-s", "list", "ruleset") == theirs
    assert client.pings_it()
