"""Failover, processor and memory against the number of groups, addresses and nodes."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from statistics import median
from typing import Literal

from bench.crowd import Crowd, simulate
from bench.engine import Engine, Settings, write_config
from bench.scale_report import body, plot
from bench.section import Section
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from tests.support.tap import Tap, mac_of

Axis = Literal["groups", "addresses", "IPv6 addresses", "nodes"]
SIZES: dict[Axis, tuple[int, ...]] = {
    "groups": (1, 32, 64, 128, 255),
    "addresses": (1, 64, 255, 500, 1000),
    "IPv6 addresses": (1, 255, 1000),
    "nodes": (2, 4, 8, 16),
}
QUICK: dict[Axis, tuple[int, ...]] = {"groups": (1, 255), "addresses": (1, 255, 1000), "nodes": (2, 8)}
CROWDS = (2, 20, 50, 100, 200)
_PATIENCE_S = 3.0
_SETTLES_WITHIN_S = 60.0
_GLANCE_S = 0.05
_ANNOUNCED_S = 0.4
"""Within this a successor has announced everything; else it is looked again."""
_AFTERMATH_S = 6.0
"""What a takeover leaves to do: the last repeated announcement comes after three seconds."""
_HEARD_S = 1.5
"""Within this a node that was started has heard the master."""


@dataclass(frozen=True)
class Size:
    """One size and what it costs. Pairs are of the master and a backup."""

    axis: Axis
    size: int
    handover_s: float
    """From the first bow-out of a master that is stopped to its successor's announcement of the last address."""
    takeover_s: float
    """After a kill -9: from the successor's first advertisement to its announcement of the last address; with many
    groups, which advertise at different times, the longest of theirs."""
    silence_s: float
    """After a kill -9: from the dead master's last advertisement to its successor's first."""
    patience_s: float
    """What `silence_s` should be."""
    processor_percent: tuple[float, float]
    memory_mb: tuple[float, float]


@dataclass(frozen=True)
class Scale:
    sizes: list[Size]
    crowds: list[Crowd]


def measure(seconds: float = 10, sizes: dict[Axis, tuple[int, ...]] | None = None, rounds: int = 3) -> Scale:
    """Args: seconds: for how long processor time is watched at each size. rounds: of which times are the median."""
    measured = []
    for axis, some in (sizes or SIZES).items():
        for size in some:
            begun = time.monotonic()
            measured.append(_measure(axis, size, seconds, rounds))
            print(f"{size} {axis}: measured in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return Scale(measured, [simulate(nodes) for nodes in CROWDS])


def _measure(axis: Axis, size: int, seconds: float, rounds_count: int) -> Size:
    with Lab() as lab, ExitStack() as stack:
        nodes = [lab.node(f"n{number}") for number in range(size if axis == "nodes" else 2)]
        witness = lab.node("witness")
        stage = _Stage(lab, stack, nodes, stack.enter_context(Tap(witness, nodes)))
        stage.groups = size if axis == "groups" else 1
        stage.addresses = size if "addresses" in axis else 1
        stage.family = 6 if axis.startswith("IPv6") else 4
        engines = [stage.start(node) for node in nodes]
        stage.wait_for_master(engines[:1])
        pair = engines[:2]
        time.sleep(_AFTERMATH_S)
        started, before = time.monotonic(), [engine.cpu_s for engine in pair]
        time.sleep(seconds)
        took_s = time.monotonic() - started
        percent = [100 * (engine.cpu_s - was) / took_s for engine, was in zip(pair, before, strict=True)]
        memory = [engine.pss_kb / 1024 for engine in pair]
        rounds = [stage.round(engines) for _ in range(rounds_count)]
        handover_s, silence_s, takeover_s = (median(times) for times in zip(*rounds, strict=True))
        return Size(
            axis,
            size,
            handover_s,
            takeover_s,
            silence_s,
            _PATIENCE_S,
            (percent[0], percent[1]),
            (memory[0], memory[1]),
        )


def section(quick: bool) -> Section:
    return render(measure(3, QUICK, rounds=1) if quick else measure())


def render(scale: Scale) -> Section:
    return Section("Scale", body(scale), asdict(scale), {"scale": plot(scale)})


class _Stage:
    """All nodes have the same groups; a node's place among them is its preference."""

    groups = addresses = 1
    family: Literal[4, 6] = 4

    def __init__(self, lab: Lab, stack: ExitStack, nodes: Sequence[Node], tap: Tap) -> None:
        self._directory = lab.directory
        self._stack = stack
        self._nodes = nodes
        self._tap = tap

    def start(self, node: Node) -> Engine:
        file = write_config(self._directory / f"{node.name}.yaml", self._settings(10 * self._nodes.index(node)))
        return self._stack.enter_context(Engine(node, ["--config", str(file)]))

    def wait_for_master(self, engines: Sequence[Engine]) -> Engine:
        """Of many, the most preferred is not always the first to get a processor."""
        deadline = time.monotonic() + _SETTLES_WITHIN_S
        while time.monotonic() < deadline:
            for engine in engines:
                if engine.is_master_of_all:
                    return engine
            # Not by the tap: to read it meanwhile takes processor time from those that are watched.
            time.sleep(_GLANCE_S)
        raise TimeoutError("nobody took over")

    def round(self, engines: list[Engine]) -> tuple[float, float, float]:
        """Stop the master, then kill its successor; each is started again. The first of `engines` is master."""
        master = engines[0]
        successor, handover_s = self.hand_over(master, engines[1:])
        engines[0] = self.start(master.node)
        time.sleep(_HEARD_S)
        others = [engine for engine in engines if engine is not successor]
        coming, silence_s, takeover_s = self.take_over(successor, others)
        others.remove(coming)
        engines[:] = [coming, *others, self.start(successor.node)]
        time.sleep(_HEARD_S)
        return handover_s, silence_s, takeover_s

    def hand_over(self, leaving: Engine, others: Sequence[Engine]) -> tuple[Engine, float]:
        """Who took over, and how long it took."""
        begun_s = time.time()
        leaving.stop()
        coming = self.wait_for_master(others)
        announced = self._announced(coming, begun_s)
        mac = mac_of(leaving.node)
        bow_outs = [
            frame.at_s
            for frame in self._tap.advertisements
            if frame.at_s > begun_s and frame.mac == mac and frame.is_bow_out
        ]
        return coming, max(announced.values()) - bow_outs[0]

    def take_over(self, killed: Engine, others: Sequence[Engine]) -> tuple[Engine, float, float]:
        """Who took over, how long it was silent, and how long the rest took."""
        begun_s = time.time()
        killed.process.kill()
        coming = self.wait_for_master(others)
        announced = self._announced(coming, begun_s)
        heard: dict[tuple[bytes, int], list[float]] = {}
        for frame in self._tap.advertisements:
            heard.setdefault((frame.mac, frame.vhid), []).append(frame.at_s)
        silence_s, rest_s = [], []
        for group in self._settings(0):
            last_s = heard[mac_of(killed.node), group.vhid][-1]
            first_s = next(at for at in heard[mac_of(coming.node), group.vhid] if at > last_s)
            silence_s.append(first_s - last_s)
            rest_s.append(max(announced[ip_address(vip).packed] for vip in group.vips) - first_s)
        return coming, max(silence_s), max(rest_s)

    def _announced(self, engine: Engine, since_s: float) -> dict[bytes, float]:
        """When each address was announced for the first time."""
        wanted = {ip_address(vip).packed for group in self._settings(0) for vip in group.vips}
        mac = mac_of(engine.node)
        deadline = time.monotonic() + _SETTLES_WITHIN_S
        while time.monotonic() < deadline:
            time.sleep(_ANNOUNCED_S)
            first: dict[bytes, float] = {}
            for frame in self._tap.heard:
                if frame.at_s > since_s and frame.mac == mac and frame.announced in wanted:
                    first.setdefault(frame.announced, frame.at_s)
            if len(first) == len(wanted):
                return first
        raise TimeoutError(f"{len(wanted) - len(first)} addresses were not announced")

    def _settings(self, advskew: int) -> list[Settings]:
        return [
            Settings(vhid=1 + number, addresses=self.addresses, family=self.family, advskew=advskew)
            for number in range(self.groups)
        ]
