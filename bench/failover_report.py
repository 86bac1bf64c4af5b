"""The failover benchmark in text and tables."""

from collections.abc import Callable, Sequence
from statistics import median

from bench import failover, failover_plots
from bench.failover import Cell, goal_of
from bench.scene import Path
from bench.section import Section, duration, image, table
from bench.systems import FASTEST, SYSTEMS, System

_UNSEEN = "below 2 ms"
"""What a client that asks every 2 ms can't see."""

_When = Callable[[Path], float | None]


def section(quick: bool, rounds: int = 0, faults: Sequence[str] = (), systems: Sequence[str] = ()) -> Section:
    rounds = rounds or (failover.ROUNDS_QUICK if quick else failover.ROUNDS)
    cells = failover.measure(rounds, faults, systems, quick)
    return section_of(cells, rounds, [] if quick or faults or systems else failover.measure_others(rounds))


def section_of(cells: Sequence[Cell], rounds: int, others: Sequence[Cell] = ()) -> Section:
    pictures = {
        "failover-client": failover_plots.client_view(cells),
        "failover-outage": failover_plots.outage_by_fault(cells),
    }
    body = [
        image("failover-client", "the client's view of one failover"),
        "",
        image("failover-outage", "outage by fault and system"),
        "",
        f"{f'Median of {rounds} rounds; in brackets the least and the most' if rounds > 1 else 'One round'}."
        " The fault strikes the preferred machine, which is master, at another time between two advertisements in"
        " each round, and at the same one for all systems. 'For ever': still so five seconds after the takeover,"
        " when the watch ended.",
        "",
        _results(cells, spread=rounds > 1),
        "",
        f"'Fastest' is the fastest that [tuning.md](tuning.md) recommends: {FASTEST.setting}.",
        "",
        "What the client notices of the faults in which the machine lives:",
        "",
        _noticed(cells),
        "",
        "### Goals",
        "",
        _goals(cells),
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
    summary = "\n\n".join(
        [
            image("failover-client", "the client's view of one failover", "docs/bench"),
            _results(cells, spread=False),
            f"Medians; fastest: {FASTEST.setting}. The spread, the goals and how it was measured are in"
            " [docs/benchmark.md](docs/benchmark.md).",
        ]
    )
    failures = [f"- {cell.fault.title}, {cell.system.label}: {what}" for cell in cells for what in cell.failures]
    if failures:
        body += ["", "### Rounds that failed", "", *failures]
    data = {"cells": [cell.as_json() for cell in cells], "others": [cell.as_json() for cell in others]}
    return Section("Failover", "\n".join(body), data, pictures, summary)


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
        rows.append([f"{fault.title}: {fault.what}", *(_label(cell, spread) for cell in found)])
    return table(["fault at the master", *(system.label for system in systems)], rows)


def _noticed(cells: Sequence[Cell]) -> str:
    """An address that two nodes hold is answered, by one or the other; one that nobody holds any more is not."""
    systems = _systems(cells)
    rows = []
    for key in ("killed", "hangs"):
        found = {cell.system.key: cell for cell in cells if cell.fault.key == key and cell.outcomes}
        medians = [_median_outage(found.get(system.key)) for system in systems]
        if found:
            fault = next(iter(found.values())).fault
            rows.append([f"{fault.title}: client without an answer", *medians])
    return table(["fault at the master", *(system.label for system in systems)], rows)


def _median_outage(cell: Cell | None) -> str:
    return duration(median(outcome.outage_s for outcome in cell.outcomes), _UNSEEN) if cell else "-"


def _label(cell: Cell | None, spread: bool) -> str:
    if cell is None:
        return "-"
    if not cell.outcomes:
        return "failed"
    if cell.still:
        return "for ever"
    values = cell.values
    if cell.fault.measure == "transitions":
        return f"{median(values):g}" + (f" ({min(values):g} to {max(values):g})" if spread else "")
    zero = _UNSEEN if cell.fault.measure == "outage" else "never"
    shown = duration(median(values), zero)
    return shown + (f" ({duration(min(values))} to {duration(max(values))})" if spread and max(values) > 0 else "")


def _goals(cells: Sequence[Cell]) -> str:
    rows = []
    for cell in cells:
        goal = goal_of(cell, cells)
        if goal is None or not cell.outcomes:
            continue
        wanted = f"{goal:g}" if cell.fault.measure == "transitions" else duration(goal)
        if isinstance(cell.fault.goals[cell.system.key], str):
            wanted += ", as keepalived"
        reached = "yes" if not cell.still and median(cell.values) <= goal else "**no**"
        rows.append(
            [f"{cell.fault.title}: {cell.fault.what}", cell.system.label, wanted, _label(cell, False), reached]
        )
    return table(["fault at the master", "system", "at most", "measured", "reached"], rows)


def _steps(cells: Sequence[Cell]) -> str:
    header = [
        *("system", "from the last advertisement to the fault", "to the backup's first advertisement"),
        *("from that one to its address", "to its announcement", "to the client's next answer"),
    ]
    rows = []
    for cell in cells:
        if cell.fault.key == "machine-lost" and cell.outcomes:
            paths = [outcome.path for outcome in cell.outcomes]
            steps = [
                _between(paths, lambda path: path.advertised_last_s, lambda path: path.unanswered_s),
                _between(paths, lambda path: path.unanswered_s, lambda path: path.advertised_s),
                _between(paths, lambda path: path.advertised_s, lambda path: path.held_s),
                _between(paths, lambda path: path.advertised_s, lambda path: path.announced_s),
                _between(paths, lambda path: path.advertised_s, lambda path: path.answered_s),
            ]
            rows.append([cell.system.label, *steps])
    return table(header, rows)


def _with_other_times(cells: Sequence[Cell]) -> list[str]:
    """What is left of an outage when the waiting is taken off."""
    rows = []
    for cell in cells:
        timing = cell.system.timing
        if timing is None or not cell.outcomes:
            continue
        paths = [outcome.path for outcome in cell.outcomes]
        late = _between(
            paths, lambda path: path.advertised_last_s, lambda path: path.advertised_s, timing.patience_s
        )
        rest = _between(paths, lambda path: path.advertised_s, lambda path: path.answered_s)
        rows.append([timing.setting, duration(timing.patience_s), late, rest, _label(cell, spread=True)])
    header = [
        "set to",
        "the backup waits",
        "and is late by",
        "from its advertisement to the client's answer",
        "outage",
    ]
    text = (
        f"The same with other times than those of 'ours, fastest' ({FASTEST.setting}): what is left besides the"
        " waiting, which is counted from the last advertisement, and so is longer than the outage. What is faster"
        " than recommended is here to show the floor; how often it fails without a fault is shown under 'No false"
        " takeovers'."
    )
    return [text, "", table(header, rows), ""]


def _between(paths: Sequence[Path], begin: _When, end: _When, less_s: float = 0.0) -> str:
    found = [(begin(path), end(path)) for path in paths]
    took = [ended - began - less_s for began, ended in found if began is not None and ended is not None]
    return f"{median(took) * 1000:.1f} ms" if took else "-"
