"""The failover benchmark in text and tables."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import median

from bench import failover, failover_plots, succession_report, successor
from bench.failover import Cell, goals_of, reached
from bench.faults import Row
from bench.scene import Path
from bench.section import Section, Summary, duration, image, table
from bench.successor import Succession
from bench.systems import FASTEST, SYSTEMS, System

_UNSEEN = "below 2 ms"
"""What a client that asks every 2 ms can't see."""

_When = Callable[[Path], float | None]


def section(quick: bool, rounds: int = 0, faults: Sequence[str] = (), systems: Sequence[str] = ()) -> Section:
    cells = failover.measure(rounds or int(quick), faults, systems, quick)
    if quick or faults or systems:
        return section_of(cells)
    return section_of(cells, failover.measure_others(), successor.measure())


def section_of(cells: Sequence[Cell], others: Sequence[Cell] = (), succession: Succession | None = None) -> Section:
    pictures = {
        "failover-lost": failover_plots.machine_lost(cells),
        "failover-outage": failover_plots.outage_by_fault(cells),
        "failover-client": failover_plots.client_view(cells),
    }
    body = [
        image("failover-lost", _LOST_TEXT),
        "",
        image("failover-outage", "outage by fault and system"),
        "",
        "Median; in brackets the least and the most, and the number of rounds. The fault strikes the preferred"
        " machine, which is master, at another time between two advertisements in each round, and at the same"
        " one for all systems. A node has the address as long as it answers for it: a third machine asks each"
        " every 2 ms, by ARP. 'For ever': still so when the watch ended, three seconds after the takeover."
        f" Rounds of what takes seconds run {failover.TOGETHER} at a time, those of what takes milliseconds one"
        " by one.",
        "",
        _results(cells, spread=True),
        "",
        f"'Fastest' is the fastest that [tuning.md](tuning.md) recommends: {FASTEST.setting}.",
        "",
        *(succession_report.body(succession) if succession else []),
        image("failover-client", "the client's view of one failover"),
        "",
        "### Goals",
        "",
        _goals(cells, succession),
        "",
        "### What an outage is made of",
        "",
        "The machine is lost: the median of each step. The fault begins with the client's first question without an"
        " answer. Negative: before the advertisement.",
        "",
        _steps(cells),
        "",
        *(_with_other_times(others) if others else []),
        "### How each was set",
        "",
        table(["system", "set to"], [[system.label, system.setting] for system in _systems(cells)]),
    ]
    failures = [f"- {cell.fault.title}, {cell.system.label}: {what}" for cell in cells for what in cell.failures]
    if failures:
        body += ["", "### Rounds that failed", "", *failures]
    data = {
        "cells": [cell.as_json() for cell in cells],
        "others": [cell.as_json() for cell in others],
        "succession": asdict(succession) if succession else None,
    }
    return Section("Failover", "\n".join(body), data, pictures, _summaries(cells))


_LOST_TEXT = "how long nobody answers after the master's machine is lost: ucarp, keepalived, carpsidecar"


def _summaries(cells: Sequence[Cell]) -> list[Summary]:
    costs = "\n\n".join(
        [
            _results(cells, spread=False),
            f"Medians; fastest: {FASTEST.setting}. The spread, the goals and how it was measured are in"
            " [docs/benchmark.md](docs/benchmark.md).",
        ]
    )
    lost = {cell.system.key: cell for cell in cells if cell.fault.key == "machine-lost" and cell.outcomes}
    summaries = [Summary("README.md", "costs", costs)]
    if {"ucarp", "keepalived", "ours"} <= lost.keys():
        row = lost["ours"].fault.rows[0]
        middles = {key: median(cell.values(row)) for key, cell in lost.items()}
        faster = middles["keepalived"] / middles["ours"]
        headline = "\n\n".join(
            [
                image("failover-lost", _LOST_TEXT, "docs/bench"),
                f"The master's machine is lost, and all advertise each second: ucarp's backup needs"
                f" {duration(middles['ucarp'])}, keepalived's {duration(middles['keepalived'])}, carpsidecar's"
                f" {duration(middles['ours'])}, and never more than {duration(max(lost['ours'].values(row)))} in"
                f" {len(lost['ours'].outcomes)} rounds: {faster:.1f} times as fast as keepalived with the"
                " same settings.",
            ]
        )
        summaries.append(Summary("README.md", "lost", headline))
    return summaries


def _systems(cells: Sequence[Cell]) -> list[System]:
    measured = {cell.system.key for cell in cells}
    return [system for system in SYSTEMS if system.key in measured]


def _results(cells: Sequence[Cell], spread: bool) -> str:
    systems = _systems(cells)
    faults = list({cell.fault.key: cell.fault for cell in cells}.values())
    by_key = {(cell.fault.key, cell.system.key): cell for cell in cells}
    rows = []
    for fault in faults:
        found = [by_key.get((fault.key, system.key)) for system in systems]
        for row in fault.rows:
            rows.append([f"{fault.title}: {row.what}", *(_label(cell, row, spread) for cell in found)])
    return table(["fault at the master", *(system.label for system in systems)], rows)


def _label(cell: Cell | None, row: Row, spread: bool) -> str:
    if cell is None:
        return "-"
    if not cell.outcomes:
        return "failed"
    values = cell.values(row)
    rounds = f" ({len(values)})" if spread else ""
    if cell.still(row):
        return f"for ever{rounds}"
    zero = _UNSEEN if row.measure == "outage" else "never"
    if row.measure == "transitions":
        shown, least, most = (f"{value:g}" for value in (median(values), min(values), max(values)))
    else:
        shown, least, most = (duration(value, zero) for value in (median(values), min(values), max(values)))
    if not spread or least == most:
        return f"{shown}{rounds}"
    return f"{shown} ({least} to {most}; {len(values)})"


def _goals(cells: Sequence[Cell], succession: Succession | None) -> str:
    rows = []
    for cell in cells:
        for row in cell.fault.rows if cell.outcomes else ():
            for goal, most in goals_of(cell, row, cells):
                values = cell.values(row)
                value = median(values) if goal.of == "median" else max(values)
                zero = {"outage": _UNSEEN, "two holders": "never", "transitions": "0"}[row.measure]
                shown, wanted = (
                    f"{v:g}" if row.measure == "transitions" else duration(v, zero) for v in (value, most)
                )
                wanted += ", half of keepalived's" if goal.half_of else ""
                yes = "yes" if reached(cell, row, goal, most) else "**no**"
                shown = "for ever" if cell.still(row) else shown
                rows.append([f"{cell.fault.title}: {row.what}", cell.system.label, goal.of, wanted, shown, yes])
    rows += succession_report.goals(succession) if succession else []
    return table(["fault at the master", "system", "of", "at most", "measured", "reached"], rows)


def _steps(cells: Sequence[Cell]) -> str:
    header = [
        *("system", "from the last advertisement to the fault", "to the backup's first question by ARP"),
        *("to its first advertisement", "from that one to its address", "to its announcement"),
        "to the client's next answer",
    ]
    rows = []
    for cell in cells:
        if cell.fault.key == "machine-lost" and cell.outcomes:
            paths = [outcome.path for outcome in cell.outcomes]
            steps = [
                _between(paths, lambda path: path.advertised_last_s, lambda path: path.unanswered_s),
                _between(paths, lambda path: path.unanswered_s, lambda path: path.asked_s),
                _between(paths, lambda path: path.unanswered_s, lambda path: path.advertised_s),
                _between(paths, lambda path: path.advertised_s, lambda path: path.held_s),
                _between(paths, lambda path: path.advertised_s, lambda path: path.announced_s),
                _between(paths, lambda path: path.advertised_s, lambda path: path.answered_s),
            ]
            rows.append([cell.system.label, *steps])
    return table(header, rows)


def _with_other_times(cells: Sequence[Cell]) -> list[str]:
    rows = []
    for cell in cells:
        timing = cell.system.timing
        if timing is None or not cell.outcomes:
            continue
        paths = [outcome.path for outcome in cell.outcomes]
        asks = _between(paths, lambda path: path.advertised_last_s, lambda path: path.asked_s, timing.interval_s)
        takes = _between(paths, lambda path: path.asked_s, lambda path: path.advertised_s)
        rest = _between(paths, lambda path: path.advertised_s, lambda path: path.answered_s)
        label = _label(cell, cell.fault.rows[0], spread=True)
        rows.append([timing.setting, duration(timing.interval_s), asks, takes, rest, label])
    header = [
        *("set to", "interval", "the advertisement is late by, when the backup asks"),
        *("from there to its own advertisement", "to the client's answer", "outage"),
    ]
    text = (
        f"The same with other times than those of 'ours, fastest' ({FASTEST.setting}). What is faster than"
        " recommended is here to show the floor; how often it fails without a fault is shown under 'No false"
        " takeovers'."
    )
    return [text, "", table(header, rows), ""]


def _between(paths: Sequence[Path], begin: _When, end: _When, less_s: float = 0.0) -> str:
    found = [(begin(path), end(path)) for path in paths]
    took = [ended - began - less_s for began, ended in found if began is not None and ended is not None]
    return f"{median(took) * 1000:.1f} ms" if took else "-"
