"""The floods in text, a table and a picture."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from bench.picture import BLUE, INK, POINTS, VERMILLION, Picture
from bench.section import duration, image, table

if TYPE_CHECKING:
    from bench.attack import Attack, Flood

LATE_MAX = 0.1
"""The part of an interval by which an advertisement may be late."""
MEMORY_GROWTH_MAX_KB = 2048
"""More is no longer flat. Less, and a process's share changes when another one with the same libraries ends."""

_MODES = {"carp": "compatible", "hardened": "hardened"}
_AS_DROPS = {"received": "taken as advertisements", "claims": "claims read", "claims_unread": "claims not read"}
CLAIMS, OF_MASTER, ALL = "gratuitous ARP for our address", "replays of the master", "all of these"
_BLIND = {(CLAIMS, 1), (OF_MASTER, 0)}
"""A backup does not listen to claims, and a master's kernel refuses packets that bear its own address."""

_HOW_COUNTED = """\
Counted: exactly in all; how many of what has not the shape of CARP (VRRP, cut short, garbage) were what is
estimated from a sample a second. `overrun`: came faster than it could be read. More than 100 %: the real master's
advertisements count, too; less: the kernel of the node had no room for some before it looked for their sockets. A
master's own kernel refuses packets that bear its own address, and a backup does not listen to claims. CARP itself
has no answer to replays: in compatible mode a backup takes them for its master's voice as long as they go on, and
a master answers those of a rival, at most 256 times a second. Hardened mode counts replays and drops them."""


def body(attack: "Attack") -> str:
    first = attack.floods[0]
    header = (
        *("mode", "flood", "a second", "transitions", "advertisement late, at most", "processor"),
        *("memory before", "and after", "log lines", "counted of those sent", "by the master", "by the backup"),
    )
    rows = [
        (
            _MODES[flood.auth],
            flood.kind,
            f"{flood.per_s:,.0f}",
            str(flood.transitions),
            duration(flood.late_max_s, "on time"),
            _both(flood.processor_percent, "{:.0f} %"),
            _both([kb / 1024 for kb in flood.memory_kb], "{:.1f} MB"),
            _both([kb / 1024 for kb in flood.memory_after_kb], "{:.1f} MB"),
            _both(flood.log_lines, "{:,.0f}"),
            _both(flood.counted_percent, "{:.1f} %"),
            *(_counted(counts) for counts in flood.counted),
        )
        for flood in attack.floods
    ]
    longest_s = max(flood.seconds for flood in attack.floods)
    return "\n".join(
        [
            f"{first.asked_per_s:,.0f} packets a second were asked for, {longest_s:.0f} s of all that is harmless"
            f" together and of gratuitous ARP, {first.seconds:.0f} s of each other kind, at"
            " master and backup at once (multicast). Attacker, switch, master and backup share this machine's"
            " processors. Times are those at which the kernel of a fourth node saw the advertisements. Pairs are"
            " master / backup.",
            "",
            *(f"- {text}" for text in _findings(attack)),
            "",
            image("attack", "How late the master's advertisements were in each flood"),
            "",
            table(header, rows),
            "",
            _HOW_COUNTED,
        ]
    )


def _findings(attack: "Attack") -> list[str]:
    floods = attack.floods
    moved = [flood for flood in floods if flood.transitions]
    late = [flood for flood in floods if flood.late_max_s > LATE_MAX * flood.interval_s]
    grown = [flood for flood in floods if flood.grown_kb > MEMORY_GROWTH_MAX_KB]
    slow = [flood for flood in floods if flood.per_s < 0.9 * flood.asked_per_s]
    yes = [
        f"transitions: {_names(moved) or 'none'}",
        f"advertisements later than a tenth of the interval: {_names(late) or 'none'}",
        f"memory grew by more than {MEMORY_GROWTH_MAX_KB // 1024} MB: {_names(grown) or 'never'}",
        f"the log grew by at most {max(max(flood.log_lines) for flood in floods):,} lines"
        f" ({max(max(flood.log_bytes) for flood in floods):,} bytes) in a flood",
        f"counted of those sent, where a node could see them: {_counted_least(floods):.1f} % at least",
    ]
    for auth, (before, after) in attack.failover_s.items():
        yes.append(
            f"{_MODES[auth]} mode: failover after a kill -9 in {median(before):.3f} s before all floods,"
            f" {median(after):.3f} s afterwards (medians of {len(after)})"
        )
    if slow:
        yes.append(f"the attacker did not get enough processor time to send as asked: {_names(slow)}")
    return yes


def _names(floods: Sequence["Flood"]) -> str:
    return ", ".join(f"{flood.kind} ({_MODES[flood.auth]})" for flood in floods)


def _counted_least(floods: Sequence["Flood"]) -> float:
    """What a node counted of a flood that it could see, in percent."""
    return min(
        percent
        for flood in floods
        for node, percent in enumerate(flood.counted_percent)
        if (flood.kind, node) not in _BLIND and flood.kind != ALL
    )


def _both(pair: Sequence[float], form: str) -> str:
    return " / ".join(form.format(value) for value in pair)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{_AS_DROPS.get(reason, reason)} {n:,}" for reason, n in counts.items() if n) or "nothing"


def plot(attack: "Attack") -> Picture:
    kinds = list(dict.fromkeys(flood.kind for flood in attack.floods))
    interval_s = attack.floods[0].interval_s
    most_s = max(LATE_MAX * interval_s * 1.15, *(flood.late_max_s for flood in attack.floods)) * 1.05
    bottom = 130 + len(kinds) * 30
    picture = Picture(
        *(840, bottom + 60, "Advertisements under attack", "How late the master's advertisements were"),
        f"{attack.floods[0].asked_per_s:,.0f} packets a second of each kind;"
        " the latest advertisement of each flood",
    )
    picture.key(81, [(VERMILLION, "compatible mode"), (BLUE, "hardened mode"), (INK, "a tenth of the interval")])
    axes = picture.axes(260, 124, 800, bottom)
    axes.grid(False, axis="x")
    axes.spines.bottom.set_visible(False)
    axes.set_xlim(0, most_s)
    ticks_s = [part * interval_s for part in (0.0, LATE_MAX / 2, LATE_MAX)]
    axes.set_xticks(ticks_s, [duration(seconds, "on time") for seconds in ticks_s])
    axes.set_ylim(len(kinds) - 0.5, -0.7)
    axes.set_yticks(range(len(kinds)), kinds, color=INK, fontsize=13 * POINTS)
    axes.tick_params(axis="both", pad=9)
    axes.axvline(LATE_MAX * interval_s, color=INK, linewidth=1.6 * POINTS)
    for auth, colour in (("carp", VERMILLION), ("hardened", BLUE)):
        mine = [flood for flood in attack.floods if flood.auth == auth]
        late_s = [max(0.0, flood.late_max_s) for flood in mine]
        rows = [kinds.index(flood.kind) for flood in mine]
        axes.plot(late_s, rows, "o", color=colour, markersize=11 * POINTS, clip_on=False)
    return picture
