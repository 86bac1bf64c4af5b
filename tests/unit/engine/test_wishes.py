"""What the reporter wishes: a demotion for each of its causes, and for no more of them than are sound."""

from collections.abc import Collection
from typing import cast

import pytest

from carpsidecar.engine import wishes as module
from carpsidecar.engine.group import Group
from carpsidecar.engine.wishes import Wishes
from carpsidecar.messages import SetDemotion
from tests.unit.engine.conftest import Said


class FakeGroup:
    """What wishes need of a group."""

    def __init__(self) -> None:
        self.demotions: dict[str, int] = {}

    def demote(self, cause: str, amount: int, bow_out: bool) -> None:
        self.demotions[cause] = amount


class Bench:
    def __init__(self) -> None:
        self.group = FakeGroup()
        self.wishes = Wishes(self._bound_to)

    def _bound_to(self, name: str | None) -> Collection[Group]:
        return [cast(Group, self.group)]

    def demote(self, cause: object, amount: int = 1) -> None:
        self.wishes.grant(SetDemotion(cause=str(cause), amount=amount))

    @property
    def of_a_new_group(self) -> dict[str, int]:
        """The demotions that one begins with which comes now."""
        self.group = FakeGroup()
        self.wishes.apply_to(cast(Group, self.group))
        return self.group.demotions


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    for number in range(module._DEMOTIONS_MAX):
        bench.demote(number)
    return bench


def test_one_cause_more_than_can_be_kept_is_refused_with_a_word(bench: Bench, said: Said) -> None:
    bench.demote("one more")
    assert "one more" not in bench.group.demotions
    assert len(bench.of_a_new_group) == module._DEMOTIONS_MAX
    assert said.lines == [f"the reporter demotes for more than {module._DEMOTIONS_MAX} causes"]


def test_those_that_are_kept_can_still_change_and_end(bench: Bench, said: Said) -> None:
    bench.demote(7, amount=99)
    bench.demote(8, amount=0)
    assert (bench.group.demotions["7"], bench.group.demotions["8"]) == (99, 0)
    bench.demote("one more")
    assert bench.group.demotions["one more"] == 1
    assert "8" not in bench.of_a_new_group
    assert said.lines == []
