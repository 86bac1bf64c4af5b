"""Two network cards that move together: a firewall's inside and outside are useless on two machines."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.process import Process
from tests.support.cluster import VIP, Cluster, cluster_of
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

TAKEN_OVER_S = 3 * 80 / 256 + 0.1
"""What the backup waits for a silent master, which it does not probe: it may not have heard it once."""
OUTSIDE, INSIDE = VIP, "10.98.0.100"


class Firewalls:
    """`a`, preferred, and `b`, each with a card on either side."""

    def __init__(self, cluster: Cluster, inside: HolderWatch, directory: Path) -> None:
        self.cluster = cluster
        self.watches = (cluster.watch, inside)
        self._directory = directory
        self.a = self._start("a", 40)
        for name in ("outside", "inside"):
            self.a.wait_for(f"{name}: became master", SOON_S)
        self.b = self._start("b", 80)
        self.b.wait_for("inside: became backup", SOON_S)

    def both_sides_on(self, name: str) -> None:
        for watch in self.watches:
            watch.wait_until(lambda holders: holders == {name}, SOON_S, f"{name} alone")

    def _start(self, name: str, advskew: int) -> Process:
        groups = [
            {"name": "outside", "vip": OUTSIDE, "interface": "eth0", "vhid": 1},
            {"name": "inside", "vip": INSIDE, "interface": "eth1", "vhid": 2},
        ]
        together = {"sync_group": "firewall", "probe": False, "preempt": True}
        timing = {"advbase": 0, "advskew": advskew}
        file = self._directory / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**together, **timing, "groups": groups}))
        return self.cluster.start(name, "--config", str(file), vip=None, vhid=None, interface=None)


@pytest.fixture(scope="module")
def firewalls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firewalls]:
    with cluster_of("a", "b", links=2) as cluster:
        nodes = [cluster["a"], cluster["b"]]
        with HolderWatch(nodes, INSIDE) as inside:
            yield Firewalls(cluster, inside, tmp_path_factory.mktemp("firewalls"))


@pytest.mark.parametrize("link", [0, 1])
def test_one_cable_pulled_moves_both_and_plugged_in_again_both_come_back(firewalls: Firewalls, link: int) -> None:
    pulled, other = ("outside", "inside") if link == 0 else ("inside", "outside")
    heard_a, heard_b, since = firewalls.a.log_size, firewalls.b.log_size, time.monotonic()
    delay = Delay(firewalls.a, firewalls.b)
    firewalls.cluster["a"].pull_cable(link)
    pulled_at = time.monotonic()
    firewalls.both_sides_on("b")
    for watch in firewalls.watches:
        assert watch.changes[-1].at - pulled_at < TAKEN_OVER_S + delay.s
    firewalls.a.wait_for(f"{pulled}: became fault: the link of eth{link} is down", SOON_S, after=heard_a)
    firewalls.a.wait_for(f"{other}: demotion by sync:{pulled}: 240", SOON_S, after=heard_a)
    firewalls.a.wait_for(f"{other}: became backup: demoted", SOON_S, after=heard_a)
    firewalls.b.wait_for(f"{other}: became master: the master bowed out", SOON_S, after=heard_b)
    firewalls.b.wait_for(f"{pulled}: became master: no advertisement from the master", SOON_S, after=heard_b)
    for watch in firewalls.watches:
        assert watch.two_holders_s(since) < 0.05 + delay.s
        watch.wait_until_quiet(0.7, SOON_S)

    heard_a = firewalls.a.log_size
    firewalls.cluster["a"].plug_cable(link)
    firewalls.a.wait_for(f"{other}: demotion by sync:{pulled}: 0", SOON_S, after=heard_a)
    firewalls.both_sides_on("a")
    for watch in firewalls.watches:
        watch.wait_until_quiet(0.7, SOON_S)
    firewalls.both_sides_on("a")


def test_a_card_in_need_at_the_start_keeps_both_off(firewalls: Firewalls) -> None:
    assert firewalls.a.stop() == 0
    firewalls.both_sides_on("b")
    firewalls.cluster["a"].pull_cable(1)
    firewalls.a = firewalls._start("a", 40)
    firewalls.a.wait_for("inside: waiting: the link of eth1 is down", SOON_S)
    firewalls.a.wait_for("outside: demotion by sync:inside: 240", SOON_S)
    firewalls.watches[0].wait_until_quiet(1, SOON_S)
    firewalls.both_sides_on("b")
    firewalls.cluster["a"].plug_cable(1)
    firewalls.both_sides_on("a")


def test_asked_to_step_down_both_do(firewalls: Firewalls) -> None:
    firewalls.both_sides_on("a")
    firewalls.a.wait_for("inside: became master", SOON_S)
    firewalls.cluster["a"].run(["kill", "-USR2", str(firewalls.a.pid)])
    firewalls.both_sides_on("b")
    for watch in firewalls.watches:
        watch.wait_until_quiet(0.7, SOON_S)
    firewalls.both_sides_on("b")
