"""What is not ours, or not well, changes nothing, and is logged with what to check."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, VHID, VIP6, Cluster, cluster_of
from tests.support.frames import altered, ipv4, ipv6
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

_VRRP2 = bytes.fromhex("212a640100010000" + "0a630064" + "0000000000000000")
_VRRP3 = bytes.fromhex("312a640100640000" + "0a630064")


class Bad(NamedTuple):
    """Sent from `source`. Every one would win over the master if it were taken."""

    name: str
    source: str
    message: str

    def frame(self, mac: bytes, good: bytes) -> bytes:
        better = altered(good, b2=0)
        payload = {
            "a forged digest": altered(better, b35=good[35] ^ 1),
            "an altered counter": altered(better, b15=good[15] ^ 1),
            "a wrong checksum": better[:6] + bytes([better[6] ^ 1]) + better[7:],
            "another version": altered(better, b0=0x41),
            "another authlen": altered(better, b3=6),
            "cut short": better[:20],
            "too long": better + b"\0",
            "next to nothing": better[:1],
            "a foreign vhid": altered(better, b1=99),
            "vrrp 2": _VRRP2,
            "vrrp 3": _VRRP3,
        }.get(self.name, better)
        packet = ipv6 if ":" in self.source else ipv4
        return packet(mac, self.source, payload, 254 if "hops" in self.name else 255)


CHECK = "on eth0, vhid 42: "
BAD = [
    Bad("a forged digest", "10.99.0.71", f"bad digest from 10.99.0.71 {CHECK}do passphrase and addresses agree?"),
    Bad("an altered counter", "10.99.0.72", f"bad digest from 10.99.0.72 {CHECK}"),
    Bad("a wrong checksum", "10.99.0.73", f"bad checksum from 10.99.0.73 {CHECK}it is damaged"),
    Bad("fewer hops", "fd99::74", f"bad ttl from fd99::74 {CHECK}its TTL is not 255: did a router pass it on?"),
    Bad("fewer hops", "10.99.0.74", f"bad ttl from 10.99.0.74 {CHECK}its TTL is not 255"),
    Bad("another version", "10.99.0.75", f"bad version from 10.99.0.75 {CHECK}its version differs"),
    Bad("another authlen", "10.99.0.76", f"bad authlen from 10.99.0.76 {CHECK}"),
    Bad("cut short", "10.99.0.77", f"bad length from 10.99.0.77 {CHECK}it is not as long as CARP is"),
    Bad("too long", "10.99.0.78", f"bad length from 10.99.0.78 {CHECK}"),
    Bad("next to nothing", "10.99.0.79", "bad length from 10.99.0.79 on eth0"),
    Bad("a foreign vhid", "10.99.0.80", ""),
    Bad("vrrp 2", "10.99.0.81", "10.99.0.81 on eth0 speaks VRRP 2, virtual router 42"),
    Bad("vrrp 3", "10.99.0.82", "10.99.0.82 on eth0 speaks VRRP 3, virtual router 42"),
]


class Victims:
    def __init__(self, cluster: Cluster, tap: Tap) -> None:
        self.cluster = cluster
        self.tap = tap
        both = (*FAST, "--vip", VIP6, "--advskew")
        self.daemons = cluster.start_one_by_one(("a", (*both, "40")), ("b", (*both, "80")))
        self.good = tap.wait_for(advertises(cluster["a"].address), SOON_S, after=tap.mark()).payload
        self.before = [process.log_size for process in self.daemons]
        for bad in BAD:
            tap.send(bad.frame(tap.mac, self.good))

    def news(self) -> list[str]:
        return [process.log[size:] for process, size in zip(self.daemons, self.before, strict=True)]


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with cluster_of("a", "b") as cluster, Tap(cluster.lab.node("stranger")) as tap:
        yield Victims(cluster, tap)


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.message], ids=lambda bad: f"{bad.name}-{bad.source}")
def test_master_and_backup_say_what_they_heard(victims: Victims, bad: Bad) -> None:
    for process in victims.daemons:
        process.wait_for(bad.message, SOON_S)


def test_a_foreign_vhid_is_nothing_to_speak_of(victims: Victims) -> None:
    assert all("10.99.0.80" not in news for news in victims.news())


def test_none_of_them_changed_anything(victims: Victims) -> None:
    assert all("became" not in news and "Traceback" not in news for news in victims.news())
    victims.cluster.watch.wait_until_quiet(0.5, SOON_S)
    assert victims.cluster.watch.holders_now() == {"a"}


def test_its_own_words_sent_back_are_no_rival_to_the_master(victims: Victims) -> None:
    """Over IPv6, since Linux itself refuses IPv4 packets that carry its own address."""
    link_local = "fe80::ca:ff:fe00:b"
    victims.tap.send(ipv6(victims.tap.mac, link_local, altered(victims.good, b2=0)))
    victims.daemons[0].wait_for(f"bad own from {link_local} {CHECK}it carries our own address", SOON_S)
    assert all("became" not in news for news in victims.news())


def test_a_flood_is_said_once(victims: Victims) -> None:
    forged = Bad("a forged digest", "10.99.0.90", "bad digest from 10.99.0.90")
    for _ in range(2000):
        victims.tap.send(forged.frame(victims.tap.mac, victims.good))
    last = Bad("a forged digest", "10.99.0.91", "bad digest from 10.99.0.91")
    for process in victims.daemons:
        # A flood leaves no room for others at times: once in an interval, until one gets through.
        while last.message not in process.log:
            victims.tap.send(last.frame(victims.tap.mac, victims.good))
            victims.tap.wait_for_more(1, VHID, SOON_S)
        assert process.log.count(forged.message) == 1
    assert all("became" not in news for news in victims.news())


def test_the_same_better_packet_without_a_fault_would_have_won(victims: Victims) -> None:
    """Or else this file proves nothing: the compatible mode believes whatever has a good digest."""
    master: Process = victims.daemons[0]
    victims.tap.send(ipv4(victims.tap.mac, "10.99.0.92", altered(victims.good, b2=1)))
    master.wait_for("became backup: a better master advertises (10.99.0.92)", SOON_S)
