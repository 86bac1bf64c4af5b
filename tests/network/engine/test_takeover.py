"""What a backup asks and says before it takes an address: the probe, the claim guard and the claim."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from carpsidecar.lab.node import Node
from carpsidecar.member.claim_guard import CONFIRM_MIN_S, CONFIRM_SPREAD_S, CONFIRMATIONS
from carpsidecar.member.probe import QUESTIONS
from tests.support.cluster import VHID, VIP, VIP6, Cluster, cluster_of, holds, inside, mac_of
from tests.support.tap import Tap, advertises, bows_out
from tests.support.waits import SOON_S, Delay, wait_until

pytestmark = pytest.mark.network

GONE = "became master: the master is silent, and nobody answers for the address"
SILENT = "became master: no advertisement from the master"
LOST_WITHIN_S = 1.5
"""With the defaults: an interval, until the next advertisement is overdue, and the questions."""
PATIENCE_S = 3 + 20 / 256
ASKS_EVERY_S = 2.0
SLACK_S = 0.5
OTHER = ("--advskew", "20")
BOTH_FAMILIES = pytest.mark.parametrize("vip", [VIP, VIP6])


class Stranger:
    """A machine that has the address on its interface by hand, and has never heard of CARP."""

    def __init__(self, node: Node, vip: str) -> None:
        self.node = node
        self.mac = mac_of(node)
        self._address = ["address", "{}", f"{vip}/{128 if ':' in vip else 24}", "dev", "eth0"]

    def configure(self) -> None:
        self._ip("add")

    def remove(self) -> None:
        self._ip("del")

    def _ip(self, verb: str) -> None:
        self.node.run(["ip", *(word.format(verb) for word in self._address)])


def stranger_of(cluster: Cluster) -> Stranger:
    stranger = Stranger(cluster.lab.node("stranger"), cluster.vip)
    stranger.configure()
    return stranger


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "b") as cluster:
        yield cluster


@BOTH_FAMILIES
def test_a_lost_machine_is_replaced_as_soon_as_nobody_answers_for_its_address(vip: str) -> None:
    with cluster_of("a", "b", vip=vip) as cluster, Tap(cluster.lab.node("ear")) as tap:
        _, b = cluster.start_one_by_one(("a", ()), ("b", OTHER))
        # The first questions are asked within an interval: whether this master answers at all.
        tap.wait_for_more(3, VHID, SOON_S)
        since, delay = time.monotonic(), Delay(b)
        cluster["a"].power_off()
        b.wait_for(GONE, SOON_S)
        assert time.monotonic() - since < LOST_WITHIN_S + delay.s
        cluster.watch.wait_for_holder("b", SOON_S)


def test_the_metrics_tell_a_lost_machine_from_a_silent_one(cluster: Cluster) -> None:
    _, b = cluster.start_one_by_one(("a", ()), ("b", (*OTHER, "--http", "127.0.0.1:9112")))
    with Tap(cluster.lab.node("ear")) as tap:
        tap.wait_for_more(3, VHID, SOON_S)
    cluster["a"].power_off()
    b.wait_for(GONE, SOON_S)
    wait_until(lambda: ("master", "master_gone") in inside(cluster["b"], transitions))
    assert value_of("carp_questions_total", inside(cluster["b"], samples)) >= 1 + QUESTIONS


def samples() -> list[Sample]:
    with urlopen("http://127.0.0.1:9112/metrics", timeout=SOON_S) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return [sample for family in families for sample in family.samples]


def value_of(name: str, among: list[Sample]) -> float:
    return next(sample.value for sample in among if sample.name == name)


def transitions() -> set[tuple[str, str]]:
    """Roles and reasons that the metrics count."""
    return {(s.labels["role"], s.labels["reason"]) for s in samples() if s.name == "carp_transitions_total"}


def test_without_the_probe_a_backup_waits_out_its_patience(cluster: Cluster) -> None:
    with Tap(cluster.lab.node("ear")) as tap:
        _, b = cluster.start_one_by_one(("a", ()), ("b", (*OTHER, "--no-probe")))
        tap.wait_for_more(3, VHID, SOON_S)
        cluster["a"].power_off()
        b.wait_for(SILENT, SOON_S)
        first = tap.wait_for(advertises(cluster["b"].address), SOON_S)
        *_, last = filter(advertises(cluster["a"].address), tap.heard)
        assert first.at_s - last.at_s >= PATIENCE_S - 0.01


@BOTH_FAMILIES
def test_what_a_stranger_has_is_not_taken_until_it_lets_it_go(vip: str) -> None:
    with cluster_of("a", vip=vip) as cluster:
        stranger = stranger_of(cluster)
        a = cluster.start("a")
        a.wait_for(f"became fault: {vip} is in use by {stranger.mac}", SOON_S)
        with Tap(stranger.node) as tap:
            # It asks again and again, and says and takes nothing.
            with pytest.raises(TimeoutError):
                tap.wait_for(advertises(vhid=VHID), 2 * ASKS_EVERY_S + SLACK_S)
            assert a.log.count("is in use by") == 1
            since, delay = time.monotonic(), Delay(a)
            stranger.remove()
            a.wait_for(SILENT, SOON_S)
            assert time.monotonic() - since < ASKS_EVERY_S + SLACK_S + delay.s
        cluster.watch.wait_for_holder("a", SOON_S)
        assert [change.held for change in cluster.watch.changes] == [False, True]


def test_it_is_taken_all_the_same_where_that_is_configured(cluster: Cluster) -> None:
    stranger = stranger_of(cluster)
    a = cluster.start("a", "--in-use", "take")
    a.wait_for(SILENT, SOON_S)
    cluster.watch.wait_for_holder("a", SOON_S)
    assert holds(stranger.node, VIP)
    assert "is in use by" not in a.log


def test_a_reload_settles_whether_it_is_taken(cluster: Cluster, tmp_path: Path) -> None:
    stranger = stranger_of(cluster)
    file = tmp_path / "carp.yaml"
    file.write_text(f"groups: [{{vip: {VIP}, vhid: {VHID}, interface: eth0}}]")
    a = cluster.start("a", "--config", str(file), vip=None, vhid=None, interface=None)
    a.wait_for(f"became fault: {VIP} is in use by {stranger.mac}", SOON_S)
    file.write_text(f"groups: [{{vip: {VIP}, vhid: {VHID}, interface: eth0, in_use: take}}]")
    os.kill(a.pid, signal.SIGHUP)
    a.wait_for(SILENT, SOON_S)
    assert holds(stranger.node, VIP)


def test_of_four_equal_backups_one_takes_what_a_master_lets_go(cluster: Cluster) -> None:
    names = ("a", "b", "c", "d", "e")
    equal = ("--advskew", "100")
    with cluster_of(*names) as cluster, Tap(cluster.lab.node("ear")) as tap:
        first, *others = cluster.start_one_by_one(*((name, equal) for name in names))
        running = dict(zip(names, [first, *others], strict=True))
        master = "a"
        for _ in range(10):
            backups = {name: process for name, process in running.items() if name != master}
            before = {name: process.log_size for name, process in backups.items()}
            heard = tap.mark()
            assert running[master].stop() == 0
            farewell = tap.wait_for(bows_out(VHID), SOON_S, heard)
            successor = cluster.watch.wait_for_exactly_one(SOON_S)
            # Until its next one: whoever had claimed it as well would have taken it by then.
            running[successor].wait_for("became master: the master bowed out", SOON_S, before[successor])
            tap.wait_for(advertises(cluster[successor].address), SOON_S, farewell.number)
            tap.wait_for_more(1, VHID, SOON_S)
            became = {name: process.log[before[name] :].count("became master") for name, process in backups.items()}
            assert {name for name, count in became.items() if count} == {successor}
            assert became[successor] == 1
            running[master] = cluster.start(master, *equal)
            running[master].wait_for("became backup", SOON_S)
            master = successor


@BOTH_FAMILIES
def test_a_member_with_another_passphrase_takes_nothing_from_a_living_master(vip: str) -> None:
    with cluster_of("a", "b", vip=vip) as cluster, Tap(cluster.lab.node("ear")) as tap:
        cluster.start("a").wait_for("became master", SOON_S)
        b = cluster.start("b", env={"CARP_PASSPHRASE": "of another pond"})
        b.wait_for("became backup", SOON_S)
        tap.wait_for_more(6, VHID, SOON_S)
        assert "do passphrase and addresses agree?" in b.wait_for("bad digest from", SOON_S)
        b.wait_for(f"became fault: {vip} is in use by {mac_of(cluster['a'])}", SOON_S)
        assert "became master" not in b.log
        assert cluster.watch.two_holders_s() == 0
        assert cluster.watch.holders_now() == {"a"}


def test_another_interface_of_its_own_that_answers_for_the_address_is_no_stranger() -> None:
    with cluster_of("a") as cluster:
        node = cluster["a"]
        node.shell("ip link add va type veth peer name vb; ip link set va up; ip link set vb up")
        node.shell("ip address add 192.0.2.1/24 dev va")
        a = cluster.start("a", vip="192.0.2.100", interface="va")
        a.wait_for(SILENT, SOON_S)
        with pytest.raises(TimeoutError):
            a.wait_for("became fault", CONFIRMATIONS * (CONFIRM_MIN_S + CONFIRM_SPREAD_S) + SLACK_S)


@BOTH_FAMILIES
@pytest.mark.parametrize("differs", [{"vhid": VHID + 1}, {"env": {"CARP_PASSPHRASE": "of another pond"}}])
def test_of_two_that_do_not_hear_each_other_and_start_together_one_takes_it(
    vip: str, differs: dict[str, Any]
) -> None:
    with cluster_of("a", "b", vip=vip) as cluster:
        a, b = cluster.start("a"), cluster.start("b", **differs)
        for name, process in (("a", a), ("b", b)):
            process.wait_for("became backup", SOON_S)
            cluster[name].pull_cable()
            process.wait_for("became fault", SOON_S)
        since = {process: process.log_size for process in (a, b)}
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: cluster[name].plug_cable(), ("a", "b")))
        winner = cluster.watch.wait_for_exactly_one(SOON_S)
        loser = a if winner == "b" else b
        loser.wait_for(f"became fault: {vip} is in use by {mac_of(cluster[winner])}", SOON_S, since[loser])
        assert "became master" not in loser.log
        assert cluster.watch.two_holders_s() == 0
