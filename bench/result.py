"""One measured number beside its goal."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """`goal` is the most that is wanted, in the same unit; None where nothing was promised."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    note: str = ""

    def row(self) -> str:
        goal = "" if self.goal is None else f"{self.goal:g}"
        reached = "" if self.goal is None else ("yes" if self.value <= self.goal else "NO")
        return f"| {self.name} | {self.value:.3g} {self.unit} | {goal} | {reached} | {self.note} |"


HEADER = "| what | measured | goal | reached | note |\n| --- | --- | --- | --- | --- |"
