"""The hardened mode: what was recorded or changed on the wire counts for nothing."""

from collections.abc import Iterator

import pytest

from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, Cluster, cluster_of
from tests.support.frames import altered, ipv4
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

LONG = {"CARP_PASSPHRASE": "a passphrase much longer than CARP's nineteen bytes"}
HARDENED = (*FAST, "--auth", "hardened")
A, B, STRANGER = "10.99.0.11", "10.99.0.12", "10.99.0.77"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "b") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def tap(cluster: Cluster) -> Iterator[Tap]:
    with Tap(cluster.lab.node("stranger")) as tap:
        yield tap


@pytest.fixture(scope="module")
def a(cluster: Cluster) -> Process:
    """The master, preferred and preempting."""
    process = cluster.start("a", *HARDENED, "--advskew", "40", "--preempt", env=LONG)
    process.wait_for("became master", SOON_S)
    return process


@pytest.fixture(scope="module")
def b(cluster: Cluster, a: Process) -> Process:
    process = cluster.start("b", *HARDENED, "--advskew", "80", env=LONG)
    process.wait_for("became backup", SOON_S)
    return process


@pytest.fixture(scope="module")
def delay(a: Process, b: Process) -> Delay:
    return Delay(a, b)


@pytest.fixture(scope="module")
def recorded_bow_out(cluster: Cluster, a: Process, b: Process, tap: Tap) -> bytes:
    """What a stranger records while `a` hands over for once, and takes the address back."""
    cluster["a"].run(["kill", "-USR2", str(a.pid)])
    b.wait_for("became master: the master bowed out", SOON_S)
    bow_out = tap.wait_for(lambda frame: frame.is_bow_out and str(frame.source) == A, SOON_S)
    # Whoever was asked to step down takes over only when the other one goes.
    heard = a.log_size
    cluster["b"].run(["kill", "-USR2", str(b.pid)])
    b.wait_for("became backup: asked to step down", SOON_S)
    a.wait_for("became master: the master bowed out", SOON_S, after=heard)
    cluster.watch.wait_until(lambda holders: holders == {"a"}, SOON_S, "a alone")
    return bow_out.payload


def nothing_happens(cluster: Cluster, a: Process, b: Process, since: tuple[int, int]) -> None:
    with pytest.raises(TimeoutError):
        b.wait_for("became", 0.5, after=since[1])
    assert "became" not in a.log[since[0] :]
    assert cluster.watch.holders_now() == {"a"}


def test_fail_over_works_with_a_long_passphrase(cluster: Cluster, delay: Delay, recorded_bow_out: bytes) -> None:
    assert cluster.watch.two_holders_s() < 0.1 + delay.s
    assert recorded_bow_out[0] == 0x31, "an advertisement of version 3 is no CARP to ucarp and the BSDs"
    assert (recorded_bow_out[5], recorded_bow_out[2]) == (255, 255)


def test_a_replayed_bow_out_makes_nobody_take_over(
    cluster: Cluster, a: Process, b: Process, tap: Tap, recorded_bow_out: bytes
) -> None:
    since = a.log_size, b.log_size
    tap.send(ipv4(tap.mac, A, recorded_bow_out))
    b.wait_for(f"bad replay from {A} on eth0, vhid 42: it was heard before", SOON_S, after=since[1])
    nothing_happens(cluster, a, b, since)


def test_a_replay_under_another_name_is_no_news_either(
    cluster: Cluster, a: Process, b: Process, tap: Tap, recorded_bow_out: bytes
) -> None:
    since = a.log_size, b.log_size
    tap.send(ipv4(tap.mac, STRANGER, recorded_bow_out))
    for process, start in zip((a, b), since, strict=True):
        process.wait_for(f"bad digest from {STRANGER} on eth0, vhid 42", SOON_S, after=start)
    # A better advertisement, which the master itself would yield to.
    tap.send(ipv4(tap.mac, B, tap.wait_for(advertises(A), SOON_S, after=tap.mark()).payload))
    a.wait_for(f"bad digest from {B} on eth0, vhid 42", SOON_S, after=since[0])
    nothing_happens(cluster, a, b, since)


@pytest.fixture(scope="module")
def never_heard(cluster: Cluster, tap: Tap) -> bytes:
    """An advertisement of another group, recorded when nobody else listened."""
    process = cluster.start("a", *HARDENED, "--advskew", "40", vip="10.99.0.103", vhid=43, env=LONG)
    advertisement = tap.wait_for(advertises(A, vhid=43), SOON_S)
    assert process.stop() == 0
    return advertisement.payload


@pytest.mark.parametrize("change", [{"b2": 0}, {"b4": 9}, {"b5": 255}], ids=["advskew", "demotion", "advbase"])
def test_an_altered_field_spoils_the_digest(
    cluster: Cluster, tap: Tap, never_heard: bytes, change: dict[str, int]
) -> None:
    fresh = cluster.start("b", *HARDENED, "--advskew", "250", vip="10.99.0.103", vhid=43, env=LONG)
    fresh.wait_for("became backup", SOON_S)
    tap.send(ipv4(tap.mac, A, altered(never_heard, **change)))
    fresh.wait_for(f"bad digest from {A} on eth0, vhid 43: do passphrase and addresses agree?", SOON_S)
    # As it was recorded it is good, for once.
    tap.send(ipv4(tap.mac, A, never_heard))
    tap.send(ipv4(tap.mac, A, never_heard))
    fresh.wait_for(f"bad replay from {A} on eth0, vhid 43", SOON_S)
    fresh.kill()


def test_a_compatible_node_beside_it_is_told_apart(cluster: Cluster, a: Process, b: Process) -> None:
    since = a.log_size, b.log_size
    node = cluster.lab.node("compatible")
    compatible = cluster.start("compatible", *FAST, "--advskew", "10", vip="10.99.0.101")
    compatible.wait_for(f"bad version from {A} on eth0, vhid 42: its version differs: is auth the same", SOON_S)
    compatible.wait_for("became master", SOON_S)
    for process, start in zip((a, b), since, strict=True):
        process.wait_for(f"bad version from {node.address} on eth0, vhid 42: its version", SOON_S, after=start)
    nothing_happens(cluster, a, b, since)
    assert compatible.stop() == 0
