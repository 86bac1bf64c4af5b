"""The fence of a running engine: where the kernel's lifetimes are too coarse, nobody answers for an address after
its owner any longer than its backups wait."""

import json
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address, ip_address

import pytest

from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from carpsidecar.linux.claims import ClaimWatch
from carpsidecar.linux.netlink import IPAddress
from carpsidecar.linux.probe import Prober
from tests.support.cluster import FAST, VIP, VIP6, Cluster, cluster_of, holds, inside, mac_of
from tests.support.waits import SOON_S, Delay, wait_until

pytestmark = pytest.mark.network

PATIENCE_S = 3 * 48 / 256
TICK_S = 0.02
MASTER = (*FAST, "--advskew", "48", "--vip", VIP6)
BOTH: list[IPAddress] = [ip_address(VIP), ip_address(VIP6)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "c") as cluster:
        yield cluster


class Client:
    """Asks the segment who answers for the addresses."""

    def __init__(self, node: Node) -> None:
        mac = bytes.fromhex(mac_of(node).replace(":", ""))
        index = json.loads(node.run(["ip", "-j", "link", "show", "dev", "eth0"]))[0]["ifindex"]
        self._prober: Prober = inside(node, lambda: Prober("eth0", mac))
        self._watch: ClaimWatch = inside(node, lambda: ClaimWatch(index, mac))
        inside(node, lambda: self._watch.watch(BOTH))
        self._source: IPv6Address = node.address6

    def last_answer(self, quiet_s: float) -> float:
        """When the last question was asked that somebody answered before it was quiet for so long."""
        last = time.monotonic()
        while (asked := time.monotonic()) < last + quiet_s:
            self._watch.receive(1000)
            self._prober.ask(BOTH, self._source)
            time.sleep(0.002)
            if self._watch.receive(1000):
                last = asked
        return last

    def is_answered(self) -> bool:
        self._watch.receive(1000)
        self._prober.ask(BOTH, self._source)
        time.sleep(0.02)
        return {claim.address for claim in self._watch.receive(1000)} == set(BOTH)


def tables(node: Node) -> list[str]:
    return [line for line in node.run(["nft", "list", "tables"]).splitlines() if "carpsidecar-" in line]


def started(cluster: Cluster, *flags: str) -> Process:
    process = cluster.start("a", *MASTER, *flags)
    process.wait_for("became master", SOON_S)
    return process


@pytest.mark.parametrize("ending", [Process.kill, Process.hang])
def test_silent_before_a_backup_would_take_over(cluster: Cluster, ending: Callable[[Process], None]) -> None:
    process, client = started(cluster), Client(cluster["c"])
    wait_until(client.is_answered)
    delay = Delay()
    ending(process)
    ended = time.monotonic()
    last = client.last_answer(quiet_s=0.6)
    assert last - ended < PATIENCE_S + TICK_S + delay.s


def test_what_a_killed_engine_left_is_taken_over_by_the_next(cluster: Cluster) -> None:
    process = started(cluster)
    left_over = tables(cluster["a"])
    assert len(left_over) == 2
    process.kill()
    assert tables(cluster["a"]) == left_over
    process, client = started(cluster), Client(cluster["c"])
    assert len(tables(cluster["a"])) == 2
    assert not set(left_over) & set(tables(cluster["a"]))
    wait_until(client.is_answered)
    assert process.stop() == 0
    assert tables(cluster["a"]) == []


def test_a_ruleset_that_is_flushed_is_put_back_and_said(cluster: Cluster) -> None:
    process, client = started(cluster), Client(cluster["c"])
    cluster["a"].run(["nft", "flush", "ruleset"])
    process.wait_for("somebody deleted rules of ours from nftables: they are back", SOON_S)
    assert len(tables(cluster["a"])) == 2
    wait_until(client.is_answered)


def test_an_address_that_somebody_adds_on_a_backup_is_silent(cluster: Cluster) -> None:
    node = cluster.lab.node("b")
    master = started(cluster)
    backup = cluster.start("b", *FAST, "--advskew", "96", "--vip", VIP6)
    backup.wait_for("became backup", SOON_S)
    assert master.stop() == 0
    backup.wait_for("became master", SOON_S)
    again = cluster.start("a", *FAST, "--advskew", "160", "--vip", VIP6)
    again.wait_for("became backup", SOON_S)
    cluster["a"].run(["ip", "address", "add", f"{VIP}/32", "dev", "eth0"])
    client = Client(cluster["c"])
    wait_until(client.is_answered)
    mine = bytes.fromhex(mac_of(cluster["a"]).replace(":", ""))
    client._prober.ask(BOTH, client._source)
    wait_until(lambda: bool(claims := client._watch.receive(100)) and all(claim.mac != mine for claim in claims))
    assert holds(node, VIP)


def test_at_a_second_and_where_it_is_off_there_is_none(cluster: Cluster) -> None:
    slow = cluster.start("a", "--vip", VIP6)
    slow.wait_for("became master", SOON_S)
    assert tables(cluster["a"]) == []
    assert slow.stop() == 0
    started(cluster, "--fence", "off")
    assert tables(cluster["a"]) == []
