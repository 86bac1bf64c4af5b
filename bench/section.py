"""What a benchmark gives to the page: text, numbers and pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.picture import Picture
from bench.result import HEADER, Result


@dataclass(frozen=True)
class Section:
    """`body` is Markdown, in which a picture is docs/bench's `<name>.svg`."""

    title: str
    body: str
    data: Any
    plots: Mapping[str, Picture] = field(default_factory=dict)
    summaries: Sequence["Summary"] = ()


@dataclass(frozen=True)
class Summary:
    """What another page shows, between its lines <!-- bench: `place` --> and <!-- /bench -->."""

    page: str
    place: str
    text: str


def image(name: str, text: str, folder: str = "bench") -> str:
    return f"![{text}]({folder}/{name}.svg)"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    header = list(header)
    return "\n".join([line(header), line(["---"] * len(header)), *map(line, rows)])


def of_results(title: str, results: Iterable[Result], text: str = "") -> Section:
    """A section of plain numbers beside their goals."""
    results = list(results)
    body = "\n".join([*([text, ""] if text else []), HEADER, *(result.row() for result in results)])
    data = [{"name": r.name, "value": r.value, "unit": r.unit, "goal": r.goal, "note": r.note} for r in results]
    return Section(title, body, data)


def duration(seconds: float, zero: str = "0") -> str:
    """As people say it: with two digits or three, in milliseconds below a second."""
    if seconds <= 0:
        return zero
    if seconds < 0.0995:
        return f"{seconds * 1000:.2g} ms" if seconds >= 0.00095 else "1 ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f} s"
