"""Other addresses or another passphrase, on one of three nodes after the other, under the eyes of a client.

By a reload the master stays master; where each node is restarted, as the pods of a chart are, it hands over. The
client asks every 2 ms and a third machine asks each node by itself: no question stays unanswered for longer than a
clean hand-over takes, and never do two nodes answer. `CARP_ROLLING=all` tries every order of the nodes.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.lab.probe import EchoServer, Probe
from tests.support.answers import AnswerWatch
from tests.support.cluster import Cluster, cluster_of
from tests.support.daemon import PASSPHRASE, Configuration, group, reload, start
from tests.support.waits import SOON_S, Delay, wait_until

pytestmark = pytest.mark.network

NAMES = ("a", "b", "c")
ONE = ["10.99.0.100"]
THIRTEEN = [*ONE, *(f"10.99.0.{number}" for number in range(130, 142))]
ALL = os.environ.get("CARP_ROLLING") == "all"
ORDERS = list(itertools.permutations(NAMES))[:: 1 if ALL else 5]
CLEAN_HANDOVER_S = 0.1
"""Some milliseconds; a question that stays unanswered for less is an answer that was late."""


class Machines:
    """Three nodes of a hardened group, each with a configuration of its own."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.cluster = cluster
        self.configurations = {}
        for number, name in enumerate(NAMES):
            (directory / name).mkdir()
            settings = group(auth="hardened", vip=ONE, advskew=40 + 20 * number)
            self.configurations[name] = Configuration(directory / name, settings)
        self.engines = {name: start(cluster[name], self.configurations[name]) for name in NAMES}
        for engine in self.engines.values():
            engine.wait_for("became backup", SOON_S)
        wait_until(lambda: len(cluster.watch.holders_now()) == 1)
        self.engines[self.master].wait_for("became master", SOON_S)

    @property
    def master(self) -> str:
        (name,) = self.cluster.watch.holders_now()
        return name

    def reload(self, name: str) -> None:
        self.configurations[name].write()
        assert "became" not in reload(self.engines[name])

    def restart(self, name: str) -> None:
        self.configurations[name].write()
        assert self.engines[name].stop() == 0
        self.engines[name] = start(self.cluster[name], self.configurations[name])
        self.engines[name].wait_for("became backup", SOON_S)
        wait_until(lambda: len(self.cluster.watch.holders_now()) == 1)

    def use(self, name: str, **settings: Any) -> None:
        self.configurations[name].groups[0].update(settings)

    def passphrases(self, name: str, *lines: str) -> None:
        self.configurations[name].path.with_name("passphrase").write_text("\n".join(lines))


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with cluster_of(*NAMES) as cluster, ExitStack() as stack:
        for name in NAMES:
            stack.callback(EchoServer(cluster[name]).stop)
        cluster.lab.node("client")
        cluster.lab.node("asker")
        yield Machines(cluster, tmp_path)


@contextmanager
def under_watch(machines: Machines, addresses: Sequence[str] = ONE) -> Iterator[None]:
    """What is done meanwhile leaves nobody without an answer, and makes no second holder of these addresses."""
    lab = machines.cluster.lab
    nodes = [machines.cluster[name] for name in NAMES]
    delay = Delay(*machines.engines.values())
    with ExitStack() as stack:
        probe = stack.enter_context(Probe(lab.nodes["client"], ONE[0]))
        watches = [stack.enter_context(AnswerWatch(lab.nodes["asker"], nodes, ip)) for ip in addresses]
        probe.wait_until_answered(SOON_S)
        yield
        probe.wait_until_answered(SOON_S)
        two_s = [watch.two_holders_s() for watch in watches]
        assert max(two_s) <= delay.s, two_s
        assert probe.longest_outage_s() < CLEAN_HANDOVER_S + delay.s


@pytest.mark.parametrize("order", ORDERS[: None if ALL else 1], ids="".join)
def test_the_second_to_thirteenth_address_by_reloads(machines: Machines, order: Sequence[str]) -> None:
    master, since = machines.master, {name: engine.log_size for name, engine in machines.engines.items()}
    with under_watch(machines, [ONE[0], THIRTEEN[-1]]):
        for count in range(2, 14):
            for name in order:
                machines.use(name, vip=THIRTEEN[:count])
                machines.reload(name)
    assert machines.master == master
    for name, engine in machines.engines.items():
        assert "became" not in engine.log[since[name] :]
        assert "bad digest" not in engine.log[since[name] :]
    held = machines.cluster[master].run(["ip", "-4", "addr", "show", "dev", "eth0"])
    assert all(f" {ip}/" in held for ip in THIRTEEN)


@pytest.mark.parametrize("order", ORDERS[0 if ALL else 1 :], ids="".join)
def test_the_second_to_thirteenth_address_by_restarts(machines: Machines, order: Sequence[str]) -> None:
    with under_watch(machines, [ONE[0], THIRTEEN[-1]]):
        for name in order:
            machines.use(name, vip=THIRTEEN)
            machines.restart(name)
    held = machines.cluster[machines.master].run(["ip", "-4", "addr", "show", "dev", "eth0"])
    assert all(f" {ip}/" in held for ip in THIRTEEN)


@pytest.mark.parametrize("how", ["reload", "restart"] if ALL else ["reload"])
def test_another_passphrase_in_three_rolls(machines: Machines, how: str) -> None:
    rolls = ((PASSPHRASE, "new"), ("new", PASSPHRASE), ("new",))
    with under_watch(machines):
        for lines, order in zip(rolls, itertools.cycle(ORDERS), strict=False):
            for name in order:
                machines.passphrases(name, *lines)
                getattr(machines, how)(name)
    for engine in machines.engines.values():
        assert "bad digest" not in engine.log
