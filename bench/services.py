"""Addresses of Services of type LoadBalancer: hundreds of them over three nodes, each in a group of its own.

The nodes' reporters are in the benchmark's hand: it commands what theirs would, at the moment when they would.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from statistics import median

from bench.engine import Engine
from bench.result import Result
from bench.section import Section, of_results
from carpsidecar.ipc.messages import KeepServiceAddresses, SetServiceAddress
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from tests.support.tap import Tap, mac_of

NODES, ADDRESSES = 3, 250
FIRST, VHID = IPv4Address("10.99.8.1"), 1000
RANK_STEP = 4
_PATIENCE_S = 3.0
_BOUND_S = _PATIENCE_S + NODES * RANK_STEP / 256 + 0.1
_SETTLES_WITHIN_S = 60.0
_GLANCE_S = 0.02


@dataclass(frozen=True)
class Services:
    at_once_s: float
    """From the commands for all addresses at once to the last announcement."""
    one_s: list[float]
    """The same for one more, again and again."""
    processor_percent: list[float]
    memory_mb: list[float]
    memory_one_mb: float
    """Of a node with one address."""
    largest_share: float
    lost_s: list[float]
    """After one node was lost: from its last advertisement of each address to the announcement of its successor."""
    moved_others: int
    """Addresses of the other nodes that moved meanwhile."""
    gone_s: float
    """Until none is left."""


def measure(seconds: float = 20, rounds: int = 20) -> Services:
    with Lab() as lab, ExitStack() as stack:
        nodes = [lab.node(f"n{number}") for number in range(NODES)]
        tap = stack.enter_context(Tap(lab.node("witness"), nodes))
        engines = [stack.enter_context(_engine(lab, node)) for node in nodes]
        one_s = [_one_more(engines, tap, ADDRESSES + number) for number in range(rounds)]
        memory_one_mb = engines[0].pss_kb / 1024
        for engine in engines:
            engine.send(KeepServiceAddresses(addresses=[]))
        _wait(lambda: not any(_held(engine) for engine in engines))
        at_once_s = _all_at_once(engines, tap)
        time.sleep(6)
        begun, before = time.monotonic(), [engine.cpu_s for engine in engines]
        time.sleep(seconds)
        took_s = time.monotonic() - begun
        percent = [100 * (engine.cpu_s - was) / took_s for engine, was in zip(engines, before, strict=True)]
        memory = [engine.pss_kb / 1024 for engine in engines]
        shares = [len(_held(engine)) for engine in engines]
        lost_s, moved = _lose(engines, tap)
        begun = time.monotonic()
        for engine in engines[1:]:
            engine.send(KeepServiceAddresses(addresses=[]))
        _wait(lambda: not any(_held(engine) for engine in engines[1:]))
        gone_s = time.monotonic() - begun
        return Services(
            at_once_s,
            one_s,
            percent,
            memory,
            memory_one_mb,
            max(shares) / ADDRESSES,
            lost_s,
            moved,
            gone_s,
        )


def _engine(lab: Lab, node: Node) -> Engine:
    file = Path(lab.directory) / f"{node.name}.yaml"
    file.write_text(
        "interface: eth0\nkubernetes: true\npod_name: x\npod_namespace: x\npod_selector: app=x\n"
        f"node_name: {node.name}\nvip: 10.99.0.100\nvhid: 42\nauth: hardened\n"
        "load_balancer: {pools: [{name: a, addresses: [10.99.8.0/22]}]}\n"
    )
    return Engine(node, ["--config", str(file)])


def _command(engine: int, number: int) -> SetServiceAddress:
    return SetServiceAddress(
        id=number + 1,
        address=str(FIRST + number),
        vhid=VHID + number,
        advskew=(engine + number) % NODES * RANK_STEP,
        services=[f"default/web-{number}"],
    )


def _one_more(engines: Sequence[Engine], tap: Tap, number: int) -> float:
    begun, begun_s = time.monotonic(), time.time()
    for which, engine in enumerate(engines):
        engine.send(_command(which, number))
    return _announced(tap, [number], begun_s, begun)


def _all_at_once(engines: Sequence[Engine], tap: Tap) -> float:
    begun, begun_s = time.monotonic(), time.time()
    for number in range(ADDRESSES):
        for which, engine in enumerate(engines):
            engine.send(_command(which, number))
    return _announced(tap, range(ADDRESSES), begun_s, begun)


def _announced(tap: Tap, numbers: Sequence[int], since_s: float, begun: float) -> float:
    wanted = {(FIRST + number).packed for number in numbers}
    first: dict[bytes, float] = {}
    read = 0

    def all_there() -> bool:
        nonlocal read
        heard = tap.heard
        for frame in heard[read:]:
            if frame.at_s > since_s and (what := frame.announced) in wanted:
                first.setdefault(what, frame.at_s)
        read = len(heard)
        return len(first) == len(wanted)

    _wait(all_there)
    return max(first.values()) - since_s


def _lose(engines: Sequence[Engine], tap: Tap) -> tuple[list[float], int]:
    """Of each address of the node that is lost, how long it was silent; and how many of the others moved."""
    lost, others = engines[0], engines[1:]
    theirs, before = _held(lost), [_held(engine) for engine in others]
    mac, begun_s = mac_of(lost.node), time.time()
    lost.node.power_off()
    _wait(lambda: theirs <= set.union(*(_held(engine) for engine in others)))
    time.sleep(1)
    last: dict[int, float] = {}
    announced: dict[bytes, float] = {}
    for frame in tap.heard:
        if frame.mac == mac and frame.is_advertisement:
            last[frame.vhid] = frame.at_s
        elif frame.at_s > begun_s and frame.mac != mac and (what := frame.announced) is not None:
            announced.setdefault(what, frame.at_s)
    numbers = [int(group.removeprefix("lb-")) - VHID for group in theirs if group.startswith("lb-")]
    silent = [announced[(FIRST + number).packed] - last[VHID + number] for number in numbers]
    moved = sum(len(was - _held(engine)) for was, engine in zip(before, others, strict=True))
    return silent, moved


def _held(engine: Engine) -> set[str]:
    return {group for group in engine.masters if group.startswith("lb-")}


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SETTLES_WITHIN_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_SETTLES_WITHIN_S:g} s")
        time.sleep(_GLANCE_S)


def section(quick: bool) -> Section:
    return render(measure(5, 5) if quick else measure())


def render(services: Services) -> Section:
    lost = services.lost_s
    what = f"{ADDRESSES} addresses"
    results = [
        Result("one more: from the command to its announcement", median(services.one_s), "s", note="median"),
        Result(f"{what} at once: until the last is announced", services.at_once_s, "s", goal=20),
        Result(f"{what}: largest share of a node", 100 * services.largest_share, "%", goal=40),
        Result(f"{what}: processor of a node", max(services.processor_percent), "%", goal=5, note="the busiest"),
        Result(f"{what}: memory of a node", max(services.memory_mb), "MB PSS", note="the largest"),
        Result("1 address: memory of a node", services.memory_one_mb, "MB PSS"),
        Result("a node lost: silence of an address", median(lost), "s", note="median"),
        Result("a node lost: longest silence of an address", max(lost), "s", goal=_BOUND_S),
        Result("a node lost: addresses of others that moved", services.moved_others, "", goal=0),
        Result("all taken back: until none is left", services.gone_s, "s"),
    ]
    text = f"Each in a group of its own, over {NODES} nodes, an advertisement a second."
    return of_results("Services of type LoadBalancer", results, text)
