"""How many nodes become master when one hands over or is lost: with many backups, and with many groups at once.

A node becomes master when it takes an address, or reports that it is master, which in Kubernetes is a label.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from bench.engine import Engine, Settings, write_config
from bench.load import Load, loaded
from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from tests.support.tap import Frame, Tap

Advskews = Literal["different", "equal"]

_HAND_OVERS, _HAND_OVERS_QUICK = 200, 5
_CROWDS: tuple[tuple[int, Advskews, Load], ...] = (
    (3, "different", "idle"),
    (3, "equal", "idle"),
    (16, "different", "idle"),
    (16, "equal", "idle"),
    (16, "equal", "busy"),
)
_STEP = 10
_SETTLES_WITHIN_S = 60.0
_WATCHED_AFTERWARDS_S = 0.12
"""Many times what a second successor would be late by."""
_NODES, _GROUPS, _STOPS, _LOSSES = 3, 255, 3, 8
_AFTER_MANY_S = 1.0
_POLLED_EVERY_S = 0.005
_HEARD_S = 3.5
"""Within this a master of many groups has been heard, and has answered, in all of them."""


@dataclass(frozen=True)
class HandOvers:
    """`exactly_one` of `number` had one new master, `most` is the most that one had; `longest_s` from the signal
    to the successor's address."""

    nodes: int
    groups: int
    advskews: Advskews
    load: Load
    number: int
    exactly_one: int
    most: int
    longest_s: float


@dataclass(frozen=True)
class Losses:
    """A machine that is master of many groups is lost, each time at another moment between two advertisements:
    from there to the successor's announcement, of each group in each round, in seconds; and in how many exactly one
    node became master."""

    groups: int
    times_s: list[float]
    exactly_one: int


@dataclass(frozen=True)
class Succession:
    hand_overs: list[HandOvers]
    losses: Losses


def measure(quick: bool = False) -> Succession:
    number = _HAND_OVERS_QUICK if quick else _HAND_OVERS
    crowds = [_hand_over(*crowd, number) for crowd in _CROWDS]
    many = [_hand_over_many(advskews, 1 if quick else _STOPS) for advskews in ("different", "equal")]
    return Succession([*crowds, *many], _lose_many(1 if quick else _LOSSES))


class _Stage:
    """Nodes with the same groups each; engines without a reporter, which is not what is measured."""

    def __init__(self, stack: ExitStack, lab: Lab, nodes: int, groups: int, advskews: Advskews) -> None:
        self._stack, self._lab = stack, lab
        self._groups, self._advskews = groups, advskews
        self.nodes = [lab.node(f"n{number}") for number in range(nodes)]
        self.engines: dict[str, Engine] = {}

    def settings(self, node: Node) -> list[Settings]:
        advskew = _STEP * self.nodes.index(node) if self._advskews == "different" else 0
        return [Settings(1 + number, advskew=advskew) for number in range(self._groups)]

    def start(self, node: Node) -> None:
        file = write_config(self._lab.directory / f"{node.name}.yaml", self.settings(node))
        self.engines[node.name] = self._stack.enter_context(Engine(node, ["--config", str(file)]))

    def start_all(self) -> None:
        """The first so much earlier that it is master of all."""
        first, *others = self.nodes
        self.start(first)
        self.await_masters()
        for node in others:
            self.start(node)
        time.sleep(_HEARD_S)

    def held(self, node: Node) -> set[str]:
        """The groups that it reports to be master of."""
        engine = self.engines.get(node.name)
        return {group for group, role in engine.roles.items() if role == "master"} if engine else set()

    def await_masters(self) -> Node:
        """Until each group has a master; the node that is master of most."""
        deadline = time.monotonic() + _SETTLES_WITHIN_S
        while time.monotonic() < deadline:
            held = [self.held(node) for node in self.nodes]
            if len(set().union(*held)) == self._groups:
                return max(self.nodes, key=lambda node: len(self.held(node)))
            time.sleep(_POLLED_EVERY_S)
        raise TimeoutError("not every group has a master")

    def marks(self) -> dict[str, int]:
        """How much each engine has reported up to now, for `masters`."""
        return {name: len(engine.changes) for name, engine in self.engines.items()}

    def masters(self, marks: dict[str, int]) -> dict[str, set[str]]:
        """Who has reported since then to be master, by group."""
        found: dict[str, set[str]] = {}
        for name, engine in self.engines.items():
            for message in engine.changes[marks.get(name, 0) :]:
                if isinstance(message, GroupSnapshot) and message.role == "master":
                    found.setdefault(message.group, set()).add(name)
        return found


def _hand_over(nodes: int, advskews: Advskews, load: Load, number: int) -> HandOvers:
    counts, times = [], []
    with ExitStack() as stack:
        stage = _Stage(stack, stack.enter_context(Lab()), nodes, 1, advskews)
        [group] = stage.settings(stage.nodes[0])
        watch = stack.enter_context(HolderWatch(stage.nodes, group.vips[0]))
        stage.start_all()
        stack.enter_context(loaded(load))
        for _ in range(number):
            master = watch.wait_for_exactly_one(_SETTLES_WITHIN_S)
            marks, since = stage.marks(), time.monotonic()
            os.kill(stage.engines[master].process.pid, signal.SIGUSR2)
            watch.wait_until(lambda holders: bool(holders - {master}), _SETTLES_WITHIN_S, "a successor")  # noqa: B023
            time.sleep(_WATCHED_AFTERWARDS_S)
            taken = [change for change in watch.changes if change.at > since and change.held]
            times.append(taken[0].at - since)
            counts.append(len({change.node for change in taken} | stage.masters(marks).get(group.name, set())))
    print(f"{nodes} nodes, {advskews} advskews, {load}: {sorted(set(counts))} successors", file=sys.stderr)
    return HandOvers(nodes, 1, advskews, load, number, counts.count(1), max(counts), max(times))


def _hand_over_many(advskews: Advskews, rounds: int) -> HandOvers:
    """The master of all groups, or of most, is stopped, and started again as a backup."""
    counts, times = [], []
    with ExitStack() as stack:
        stage = _Stage(stack, stack.enter_context(Lab()), _NODES, _GROUPS, advskews)
        stage.start_all()
        for _ in range(rounds):
            leaving = stage.await_masters()
            moving, marks, since = stage.held(leaving), stage.marks(), time.monotonic()
            stage.engines.pop(leaving.name).stop()
            stage.await_masters()
            times.append(time.monotonic() - since)
            time.sleep(_AFTER_MANY_S)
            found = stage.masters(marks)
            counts += [len(found.get(group, ())) for group in moving]
            stage.start(leaving)
            time.sleep(_HEARD_S)
    print(f"{_GROUPS} groups, {advskews} advskews: {sorted(set(counts))} successors", file=sys.stderr)
    return HandOvers(_NODES, _GROUPS, advskews, "idle", len(counts), counts.count(1), max(counts), max(times))


def _advertised_by(mac: bytes) -> Callable[[Frame], bool]:
    return lambda frame: frame.is_advertisement and frame.mac == mac


def _lose_many(rounds: int) -> Losses:
    """The master's machine is lost, and booted again."""
    times: list[float] = []
    counts: list[int] = []
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        stage = _Stage(stack, lab, _NODES, _GROUPS, "different")
        tap = stack.enter_context(Tap(lab.node("witness"), stage.nodes))
        stage.start_all()
        for round_ in range(rounds):
            losing = stage.await_masters()
            moving, marks = stage.held(losing), stage.marks()
            engine = stage.engines.pop(losing.name)
            mac = losing.links[0].mac
            tap.wait_for(_advertised_by(mac), _HEARD_S, tap.mark())
            time.sleep((round_ + 0.5) / rounds)
            losing.cut_off()
            since_s = time.time()
            losing.power_off()
            engine.stop()
            stage.await_masters()
            time.sleep(_AFTER_MANY_S)
            found = stage.masters(marks)
            counts += [len(found.get(group, ())) for group in moving]
            announced = {
                frame.announced: frame.at_s
                for frame in reversed(tap.heard)
                if frame.at_s > since_s and frame.mac != mac and frame.announced
            }
            vips = [ip_address(s.vips[0]).packed for s in stage.settings(losing) if s.name in moving]
            times += [announced[vip] - since_s for vip in vips if vip in announced]
            losing.power_on()
            stage.start(losing)
            time.sleep(_HEARD_S)
    print(f"{_GROUPS} groups lost: {max(times):.3f} s at most, {sorted(set(counts))} successors", file=sys.stderr)
    return Losses(_GROUPS, sorted(times), counts.count(1))


if __name__ == "__main__":
    print(measure(quick=True))
