"""Floods at master and backup at once, seen from a fourth machine.

All machines of the lab share this one's processors, the attacker too; real ones would have their own.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from itertools import pairwise
from typing import Literal, TypeVar

from bench.attack_report import ALL, CLAIMS, OF_MASTER, body, plot
from bench.engine import VHID, VIP, Engine, became
from bench.frames import Forge, mixed
from bench.section import Section
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from tests.support.tap import Tap, mac_of

Auth = Literal["carp", "hardened"]
_T = TypeVar("_T")
_HIGHER = IPv4Address("10.99.0.200")
_CAPTURED = 8
_FAILOVERS = 3
_TAKEN_OVER_WITHIN_S = 20.0
_CALM_S = 2.0
"""A flood's echo: what is still queued, and the announcements that a claim makes us repeat."""


@dataclass(frozen=True)
class Flood:
    """One kind of flood, and what was seen. Pairs are of the master and the backup."""

    auth: Auth
    kind: str
    interval_s: float
    asked_per_s: float
    sent: int
    seconds: float
    transitions: int
    late_max_s: float
    """By how much the longest gap between two of the master's advertisements exceeded the interval."""
    advertisements: int
    processor_percent: tuple[float, float]
    memory_kb: tuple[int, int]
    """Before."""
    memory_after_kb: tuple[int, int]
    log_lines: tuple[int, int]
    log_bytes: tuple[int, int]
    counted: tuple[dict[str, int], dict[str, int]]
    """Drops by reason, and `received` and `claims`; without what nodes of the lab sent each other."""

    @property
    def per_s(self) -> float:
        return self.sent / self.seconds

    @property
    def counted_percent(self) -> tuple[float, float]:
        """Of what was sent; the kernel may have no room for some, and refuses what bears its own address."""
        return _pair(lambda node: 100 * sum(self.counted[node].values()) / self.sent)

    @property
    def grown_kb(self) -> int:
        return max(after - before for before, after in zip(self.memory_kb, self.memory_after_kb, strict=True))


@dataclass(frozen=True)
class Attack:
    floods: list[Flood]
    failover_s: dict[str, tuple[list[float], list[float]]]
    """By auth: from the master's last advertisement to its successor's first, before all floods and after."""


def measure(
    rate: float = 50_000,
    seconds: float = 60,
    alone_seconds: float = 10,
    advbase: int = 1,
    advskew: int = 0,
    auths: Sequence[Auth] = ("carp", "hardened"),
) -> Attack:
    """Args: seconds: of all harmless kinds together, and of claims; alone_seconds: of each other kind."""
    floods: list[Flood] = []
    failover_s: dict[str, tuple[list[float], list[float]]] = {}
    for auth in auths:
        with Lab() as lab:
            scene = _Scene(lab, auth, advbase, advskew)
            with scene:
                before = [scene.kill_master() for _ in range(_FAILOVERS)]
            with scene:
                for kind, frames in scene.kinds():
                    lasts_s = seconds if kind in (ALL, CLAIMS) else alone_seconds
                    floods.append(scene.flood(kind, frames, rate, lasts_s))
                    print(f"{auth}: {kind}: {floods[-1].per_s:,.0f} a second", file=sys.stderr)
                # The successor of the flooded master was flooded as well.
                after = [scene.kill_master() for _ in range(_FAILOVERS)]
            failover_s[auth] = before, after
    return Attack(floods, failover_s)


def section(quick: bool) -> Section:
    return render(measure(seconds=2, alone_seconds=2, auths=("hardened",)) if quick else measure())


def render(attack: Attack) -> Section:
    return Section("Under attack", body(attack), asdict(attack), {"attack": plot(attack)})


class _Scene:
    """Two nodes, a witness and an attacker. Inside `with`, both engines run."""

    def __init__(self, lab: Lab, auth: Auth, advbase: int, advskew: int) -> None:
        self._nodes = lab.node("master"), lab.node("backup")
        self._witness, self._attacker = lab.node("witness"), lab.node("attacker")
        self._auth = auth
        self._advbase, self._advskew = advbase, advskew
        self._interval_s = advbase + advskew / 256
        self._directory = lab.directory
        self._engines: list[Engine] = []

    def __enter__(self) -> "_Scene":
        self._watch = HolderWatch(self._nodes, VIP)
        self._tap = Tap(self._witness, self._nodes)
        self._master = self._start(self._nodes[0])
        self._master.wait_for_change(became("master"), 10)
        self._engines = [self._master, self._start(self._nodes[1])]
        return self

    def _start(self, node: Node) -> Engine:
        flags = f"--vip {VIP} --vhid {VHID} --interface eth0 --auth {self._auth}".split()
        skew = self._advskew + 10 * self._nodes.index(node)
        return Engine(node, [*flags, f"--advbase={self._advbase}", f"--advskew={skew}"])

    def __exit__(self, *_: object) -> None:
        for engine in self._engines:
            engine.stop()
        self._engines.clear()
        self._tap.close()
        self._watch.close()

    def kill_master(self) -> float:
        """Kill -9; from its last advertisement to the other's first. The killed one is started again as backup."""
        self._capture(2)
        killed, other = sorted(self._engines, key=lambda engine: engine is not self._master)
        begun_s = time.time()
        killed.process.kill()
        deadline = time.monotonic() + _TAKEN_OVER_WITHIN_S
        while not (first := self._tap.advertised_at(other.node, begun_s, time.time())):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{other.node.name} did not take over in {_TAKEN_OVER_WITHIN_S} s")
            self._tap.wait(1.0)
        last = self._tap.advertised_at(killed.node, 0, first[0])[-1]
        self._master = other
        killed.stop()
        self._engines[self._engines.index(killed)] = self._start(killed.node)
        return first[0] - last

    def kinds(self) -> list[tuple[str, list[bytes]]]:
        """All kinds of frames that can do no harm, then those which CARP itself has no answer to."""
        forge = Forge(mac_of(self._attacker), hardened=self._auth == "hardened")
        captured = self._capture(_CAPTURED)
        harmless = {
            "forged digests": forge.forged(),
            OF_MASTER: forge.replayed(captured),
            "foreign vhids": forge.foreign_vhid(),
            "VRRP": forge.vrrp(),
            "cut short": forge.truncated(),
            "garbage": forge.garbage(),
        }
        harmless[ALL] = mixed(list(harmless.values()))
        return [
            *harmless.items(),
            (CLAIMS, forge.arp()),
            ("replays under another source", forge.renamed(captured, _HIGHER)),
        ]

    def _capture(self, count: int) -> list[bytes]:
        """The next advertisements that the master sends."""
        master, since_s = mac_of(self._master.node), time.time()
        deadline = time.monotonic() + 10 + count * self._interval_s
        while time.monotonic() < deadline:
            heard = [f.data for f in self._tap.advertisements if f.mac == master and f.at_s > since_s]
            if len(heard) >= count:
                return heard
            self._tap.wait(1.0)
        raise TimeoutError(f"the master advertised {len(heard)} times instead of {count}")

    def flood(self, kind: str, frames: list[bytes], rate: float, seconds: float) -> Flood:
        file = self._directory / "frames"
        file.write_text("\n".join(frame.hex() for frame in frames))
        master = self._master
        counted = [_counted(engine) for engine in self._engines]
        memory_kb = [engine.pss_kb for engine in self._engines]
        logs = [engine.process.log for engine in self._engines]
        cpu_s = [engine.cpu_s for engine in self._engines]
        moves, since_s = len(self._watch.changes), time.time()
        argv = [sys.executable, "-m", "bench.flood", str(file), str(rate), str(seconds)]
        process = self._attacker.start(argv)
        fields = process.wait_for("flood: sent", seconds + 30).split()
        sent, took_s = int(fields[2]), float(fields[4])
        until_s = time.time()
        spent_s = [engine.cpu_s - before for engine, before in zip(self._engines, cpu_s, strict=True)]
        process.wait(10)
        self._watch.wait_until_quiet(max(_CALM_S, 4 * self._interval_s), 60)
        after = [_counted(engine) for engine in self._engines]
        logged = [engine.process.log.removeprefix(log) for engine, log in zip(self._engines, logs, strict=True)]
        at = self._tap.advertised_at(master.node, since_s - 1.5 * self._interval_s, until_s)
        gaps = [later - earlier for earlier, later in pairwise(at)]
        return Flood(
            self._auth,
            kind,
            self._interval_s,
            rate,
            sent,
            took_s,
            len(self._watch.changes) - moves,
            max(gaps, default=0.0) - self._interval_s,
            len(at),
            _pair(lambda node: 100 * spent_s[node] / (until_s - since_s)),
            _pair(memory_kb.__getitem__),
            _pair(lambda node: self._engines[node].pss_kb),
            _pair(lambda node: logged[node].count("\n")),
            _pair(lambda node: len(logged[node])),
            _pair(lambda node: dict(after[node] - counted[node])),
        )


def _pair(of: Callable[[int], _T]) -> tuple[_T, _T]:
    return of(0), of(1)


def _counted(engine: Engine) -> Counter[str]:
    heartbeat = engine.next_heartbeat()
    (drops,), (group,) = heartbeat.drops.values(), heartbeat.counters.values()
    return Counter(drops) + Counter(received=group.advertisements_received, claims=group.foreign_claims)
