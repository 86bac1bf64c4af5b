"""What a failover can't be faster than here, part by part, with and without load and real-time priority."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles

from bench.load import LABELS, Load, loaded
from bench.section import Section, duration, table
from bench.systems import FASTEST
from carpsidecar.lab.network import Lab
from carpsidecar.lab.process import Process
from carpsidecar.member.probe import (
    GAP_MAX_S,
    GAP_MIN_S,
    GAP_PART,
    OVERDUE_MAX_S,
    OVERDUE_MIN_S,
    OVERDUE_PART,
    QUESTIONS,
)

_INTERVAL_S = 0.02
_CONDITIONS: tuple[tuple[Load, bool], ...] = tuple(
    (load, realtime) for load in ("idle", "busy", "changing") for realtime in (False, True)
)

_PARTS = {
    "late": "a timer of the loop fires late by",
    "renewal": "one renewal of one address takes",
    "fence": "one renewal of its fence takes",
    "heard": "from an advertisement's sending to its reading",
    "takeover": "from the decision to take over to the first announcement",
}


@dataclass(frozen=True)
class Part:
    """Seconds."""

    median_s: float
    p99_s: float
    most_s: float

    def __str__(self) -> str:
        return " / ".join(f"{1000 * value:.2g}" for value in (self.median_s, self.p99_s, self.most_s))


@dataclass(frozen=True)
class Floor:
    load: Load
    realtime: bool
    parts: dict[str, Part]


def section(quick: bool) -> Section:
    seconds = 2.0 if quick else 20.0
    return render([measure(load, realtime, seconds) for load, realtime in _CONDITIONS], seconds)


def measure(load: Load, realtime: bool, seconds: float) -> Floor:
    with Lab() as lab:
        first, second = lab.node("first"), lab.node("second")
        arguments = [str(_INTERVAL_S), str(seconds), *(["realtime"] if realtime else [])]
        program = [sys.executable, "-m", "bench.floor_probe"]
        hearing = second.start([*program, "hear", *arguments])
        hearing.wait_for("ready", 30)
        with loaded(load):
            sending = first.start([*program, "send", *arguments])
            times = {**_result(sending, seconds), **_result(hearing, seconds)}
    return Floor(load, realtime, {part: _part(times[part]) for part in _PARTS})


def render(floors: Sequence[Floor], seconds: float) -> Section:
    header = ("", *(f"{LABELS[f.load]}{', real-time' if f.realtime else ''}" for f in floors))
    rows = [(text, *(str(f.parts[part]) for f in floors)) for part, text in _PARTS.items()]
    body = [
        f"Milliseconds: median / 99 % / most, of {seconds / _INTERVAL_S:.0f} each, by the code that the engine"
        " uses: asyncio's timers, one netlink request, the raw socket, and at a takeover advertisement, address and"
        " announcement in a row.",
        "",
        table(header, rows),
        "",
        *_without_rtnl(floors),
        *_sum(floors),
    ]
    return Section("What the floor is made of", "\n".join(body), [asdict(floor) for floor in floors])


def _without_rtnl(floors: Sequence[Floor]) -> list[str]:
    """What the fence gains where others change the network all the time."""
    changing = [floor for floor in floors if floor.load == "changing"]
    if not changing:
        return []
    worst = {part: max(floor.parts[part].most_s for floor in changing) for part in ("renewal", "fence")}
    return [
        "An address is renewed under the lock on network configuration (RTNL), which whoever starts"
        " containers holds; its fence is renewed under the lock on this namespace's rules, which hardly"
        f" anybody else wants. Where namespaces come and go, the one took {duration(worst['renewal'])} at"
        f" most, the other {duration(worst['fence'])}.",
        "",
    ]


def _sum(floors: Sequence[Floor]) -> list[str]:
    """What that means for the setting that is recommended: most of an outage is the backup's patience."""
    quiet = next((floor for floor in floors if (floor.load, floor.realtime) == ("idle", FASTEST.realtime)), None)
    if quiet is None:
        return []
    asks_s = min(max(OVERDUE_PART * FASTEST.interval_s, OVERDUE_MIN_S), OVERDUE_MAX_S)
    asks_s += QUESTIONS * min(max(GAP_PART * FASTEST.interval_s, GAP_MIN_S), GAP_MAX_S)
    rest_s = sum(quiet.parts[part].median_s for part in ("late", "heard", "takeover"))
    worst = {floor.load: floor.parts["late"].most_s for floor in floors if floor.realtime == FASTEST.realtime}
    busiest = max(worst, key=lambda load: worst[load])
    return [
        f"With the recommended setting ({FASTEST.setting}) the machine that is lost is missed after"
        f" {duration(FASTEST.interval_s)} at most, and asked for in vain for {duration(asks_s)}. Timer, way"
        f" and takeover add {1000 * rest_s:.2g} ms with no load (asyncio's timers are whole milliseconds). A"
        f" master that lives and is not run is waited for longer, {duration(FASTEST.patience_s)} from its"
        " last advertisement. That must be more than the worst delay of a healthy machine: here a timer was"
        f" {duration(worst[busiest])} late at most ({LABELS[busiest]}).",
    ]


def _result(process: Process, seconds: float) -> dict[str, list[float]]:
    result: dict[str, list[float]] = json.loads(process.wait_for('{"', 30 + 3 * seconds))
    process.wait(10)
    return result


def _part(times: Sequence[float]) -> Part:
    return Part(median(times), quantiles(times, n=100)[-1], max(times))
