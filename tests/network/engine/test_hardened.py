"""The hardened mode: what was recorded or changed on the wire counts for nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from carpsidecar.lab.process import Process
from tests.network.control.client import ask
from tests.support.cluster import FAST, Cluster, cluster_of
from tests.support.frames import ipv4
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S, Delay, wait_until

pytestmark = pytest.mark.network

LONG = {"CARP_PASSPHRASE": "a passphrase much longer than CARP's nineteen bytes"}
HARDENED = (*FAST, "--auth", "hardened")
A, B, STRANGER = "10.99.0.11", "10.99.0.12", "10.99.0.77"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "b", "c") as cluster:
        yield cluster


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
    assert recorded_bow_out[0] >> 4 == 3, "no CARP to ucarp and the BSDs"
    assert len(recorded_bow_out) == 92


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


@pytest.mark.parametrize("byte", [1, 4, 5, 15, 39, 91], ids=["role", "advbase", "advskew", "age", "time", "digest"])
def test_an_altered_byte_spoils_the_digest(cluster: Cluster, a: Process, b: Process, tap: Tap, byte: int) -> None:
    since = a.log_size, b.log_size
    altered = bytearray(tap.wait_for(advertises(A), SOON_S, after=tap.mark()).payload)
    altered[byte] ^= 1
    stranger = f"10.99.0.{100 + byte}"
    tap.send(ipv4(tap.mac, stranger, bytes(altered)))
    b.wait_for(
        f"bad digest from {stranger} on eth0, vhid 42: do passphrase and addresses agree?", SOON_S, after=since[1]
    )
    nothing_happens(cluster, a, b, since)


def test_a_node_that_has_just_started_believes_no_recording_of_the_dead(cluster: Cluster, tap: Tap) -> None:
    """It forgot all that its former self knew, and the one who could say that this is old is gone."""
    arguments = (*HARDENED, "--advskew", "40")
    lost = cluster.start("a", *arguments, vip="10.99.0.103", vhid=43, env=LONG)
    recording = [tap.wait_for(advertises(A, vhid=43), SOON_S).payload]
    while len(recording) < 10:
        recording.append(tap.wait_for(advertises(A, vhid=43), SOON_S, after=tap.mark()).payload)
    lost.kill()
    fresh = cluster.start("b", *HARDENED, "--advskew", "250", vip="10.99.0.103", vhid=43, env=LONG)
    fresh.wait_for("became backup", SOON_S)
    for payload in recording:
        tap.send(ipv4(tap.mac, A, payload))
    # Its own time to wait is over at most 3 s after its start, whatever it hears.
    fresh.wait_for("became master: no advertisement from the master", SOON_S)
    for payload in recording:
        tap.send(ipv4(tap.mac, A, payload))
    with pytest.raises(TimeoutError):
        fresh.wait_for("became backup: a better master", 0.5)
    fresh.kill()


def test_a_backup_knows_master_and_members_within_a_round_trip(cluster: Cluster, a: Process, b: Process) -> None:
    since = b.log_size
    assert cluster.watch.holders_now() == {"a"}
    c = cluster.start("c", *HARDENED, "--advskew", "120", env=LONG)
    c.wait_for("became backup", SOON_S)
    wait_until(lambda: {A, B} <= members(cluster, "c").keys())
    shown = members(cluster, "c")
    assert (shown[A]["role"], shown[B]["role"]) == ("master", "backup")
    assert shown[A]["addresses"] == ["10.99.0.100"]
    assert shown[A]["agrees"]
    assert shown[A]["key"] == 1
    assert "became" not in b.log[since:]
    # Though nothing changes that would be reported.
    wait_until(lambda: members(cluster, "c")[A]["heard_s"] > shown[A]["heard_s"] + 1)
    assert c.stop() == 0
    wait_until(lambda: set(members(cluster, "b")) == {A})


def members(cluster: Cluster, name: str) -> dict[str, dict[str, Any]]:
    """Of the group whose vhid is 42, by source address, as `status` has them."""
    shown = json.loads(ask(cluster[name], "status", "--json").stdout)
    groups = [group for engine in shown["engines"] for group in engine["groups"] if group["vhid"] == 42]
    return {member["sources"][0]: member for group in groups for member in group["members"]}


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
