"""What the reporter commands: a demotion for each of its causes, and for no more of them than are sound."""

from collections.abc import Callable, Collection
from typing import cast

import pytest

from carpsidecar.engine import commands as module
from carpsidecar.engine.commands import Commands
from carpsidecar.engine.drain_files import DrainFiles
from carpsidecar.engine.group import Group
from carpsidecar.ipc.messages import Drain, GroupCommand, Promote, Result, SetDemotion, StepDown, Withhold
from tests.support.logs import Logged
from tests.unit.engine.loops import group_config


class FakeGroup:
    """What commands need of a group."""

    def __init__(self, name: str = "web") -> None:
        self.config = group_config(name=name)
        self.demotions: dict[str, int] = {}
        self.withheld: list[tuple[str, str]] = []
        self.is_master = False
        self.services: tuple[str, ...] = ()

    def demote(self, cause: str, amount: int, bow_out: bool, text: str) -> None:
        self.demotions[cause] = amount

    def withhold(self, role: str, text: str) -> None:
        self.withheld.append((role, text))

    def use_advskew(self, advskew: int | None) -> None:
        """No matter here."""


class FakeFiles:
    """Where drains are stored."""

    def __init__(self) -> None:
        self.stored: dict[str, str | None] = {}

    def store(self, groups: Collection[str], text: str | None, done: Callable[[str], None]) -> None:
        self.stored.update(dict.fromkeys(groups, text))
        done("the disk is full" if text == "full" else "")


def handle(commands: Commands, command: GroupCommand) -> Result:
    """Its one result."""
    results: list[Result] = []
    commands.handle(command, results.append)
    [result] = results
    return result


class CommandsBench:
    def __init__(self) -> None:
        self.group = FakeGroup()
        self.commands = Commands(self._bound_to, cast(DrainFiles, FakeFiles()))

    def _bound_to(self, name: str | None) -> Collection[Group]:
        return [cast(Group, self.group)]

    def demote(self, cause: object, amount: int = 1) -> None:
        handle(self.commands, SetDemotion(cause=str(cause), amount=amount))

    @property
    def of_a_new_group(self) -> dict[str, int]:
        """The demotions that one begins with which comes now."""
        self.group = FakeGroup()
        self.commands.apply_to(cast(Group, self.group))
        return self.group.demotions


@pytest.fixture
def bench() -> CommandsBench:
    bench = CommandsBench()
    for number in range(module._CAUSES_MAX):
        bench.demote(number)
    return bench


def test_one_cause_more_than_can_be_kept_is_refused_with_the_reason(bench: CommandsBench, logged: Logged) -> None:
    result = handle(bench.commands, SetDemotion(id=7, cause="one more", amount=1))
    assert result == Result(id=7, outcome="refused", reason=logged.lines[0])
    assert "one more" not in bench.group.demotions
    assert len(bench.of_a_new_group) == module._CAUSES_MAX
    assert logged.lines == [f"the reporter demotes for more than {module._CAUSES_MAX} causes"]


def test_of_several_commands_for_one_cause_the_newest_counts_whichever_group_it_names() -> None:
    groups = [FakeGroup("web"), FakeGroup("lan")]

    def bound_to(name: str | None) -> Collection[Group]:
        return [cast(Group, group) for group in groups if name in (None, group.config.name)]

    commands = Commands(bound_to, cast(DrainFiles, FakeFiles()))

    def of_new_groups() -> list[dict[str, int]]:
        groups[:] = [FakeGroup("web"), FakeGroup("lan")]
        for group in groups:
            commands.apply_to(cast(Group, group))
        return [{cause: amount for cause, amount in group.demotions.items() if amount} for group in groups]

    handle(commands, SetDemotion(cause="operator", amount=240))
    handle(commands, SetDemotion(cause="operator", amount=0, group="web"))
    assert of_new_groups() == [{}, {"operator": 240}]
    handle(commands, SetDemotion(cause="operator", amount=0))
    assert of_new_groups() == [{}, {}]
    handle(commands, SetDemotion(cause="operator", amount=240, group="web"))
    assert of_new_groups() == [{"operator": 240}, {}]
    handle(commands, SetDemotion(cause="operator", amount=0))
    assert of_new_groups() == [{}, {}]


def test_what_an_operator_asked_for_outlasts_the_reporter_that_passed_it_on(bench: CommandsBench) -> None:
    bench.demote(7, amount=0)
    handle(bench.commands, Drain(text="kernel update"))
    bench.commands.forget()
    assert {cause for cause, amount in bench.group.demotions.items() if amount} == {"operator"}
    assert bench.of_a_new_group == {"operator": 240}


def test_a_group_of_its_own_has_room_for_its_own_causes(bench: CommandsBench, logged: Logged) -> None:
    for number in range(module._CAUSES_MAX):
        handle(bench.commands, SetDemotion(cause=f"of web {number}", amount=1, group="web"))
    assert len(bench.of_a_new_group) == 2 * module._CAUSES_MAX
    handle(bench.commands, SetDemotion(cause="one more", amount=1, group="web"))
    assert len(logged.lines) == 1


def test_those_that_are_kept_can_still_change_and_end(bench: CommandsBench, logged: Logged) -> None:
    bench.demote(7, amount=99)
    bench.demote(8, amount=0)
    assert (bench.group.demotions["7"], bench.group.demotions["8"]) == (99, 0)
    bench.demote("one more")
    assert bench.group.demotions["one more"] == 1
    assert "8" not in bench.of_a_new_group
    assert logged.lines == []


def test_a_command_to_a_group_that_there_is_not_is_refused() -> None:
    commands = Commands(lambda name: [], cast(DrainFiles, FakeFiles()))
    for command in (StepDown(id=7, group="nope"), Promote(id=7, group="nope")):
        result = handle(commands, command)
        assert result == Result(id=7, outcome="refused", reason="there is no such group here")


def test_a_command_that_is_followed_is_done() -> None:
    assert handle(CommandsBench().commands, SetDemotion(id=5, cause="x", amount=1)) == Result(id=5, outcome="done")


def test_a_drain_demotes_and_is_stored_for_all_that_move_with_the_group() -> None:
    groups = [FakeGroup("web"), FakeGroup("lan")]
    files = FakeFiles()
    commands = Commands(lambda name: [cast(Group, group) for group in groups], cast(DrainFiles, files))
    assert handle(commands, Drain(id=3, group="web", text="cable")) == Result(id=3, outcome="done")
    assert [group.demotions for group in groups] == [{"operator": 240}] * 2
    assert files.stored == {"web": "cable", "lan": "cable"}
    assert handle(commands, Drain(group="web", text="full")).reason == "the disk is full"
    handle(commands, Drain(group="web", on=False))
    assert (files.stored, groups[1].demotions) == ({"web": None, "lan": None}, {"operator": 0})


def test_a_drain_of_all_is_stored_for_the_machine_too_and_its_end_ends_each() -> None:
    web, service = FakeGroup("web"), FakeGroup("lb-1000")
    service.services = ("default/web",)
    files = FakeFiles()
    commands = Commands(lambda name: [cast(Group, web), cast(Group, service)], cast(DrainFiles, files))
    handle(commands, Drain(text="cable"))
    assert files.stored == {".node": "cable", "web": "cable"}
    assert service.demotions == {"operator": 240}
    handle(commands, Drain(on=False))
    assert files.stored == dict.fromkeys([".node", "web", "lb-1000"])


def test_a_group_is_withheld_also_when_it_comes_later_and_until_another_reporter_comes() -> None:
    bench = CommandsBench()
    assert handle(bench.commands, Withhold(id=1, group="web", role="backup", text="for a test")).outcome == "done"
    assert bench.group.withheld == [("backup", "for a test")]
    bench.group = FakeGroup()
    bench.commands.apply_to(cast(Group, bench.group))
    assert bench.group.withheld == [("backup", "for a test")]
    bench.commands.forget()
    assert bench.group.withheld[-1] == ("backup", "")


def test_a_master_is_not_withheld() -> None:
    bench = CommandsBench()
    bench.group.is_master = True
    result = handle(bench.commands, Withhold(id=1, group="web", text="for a test"))
    assert result == Result(id=1, outcome="refused", reason="it is master, and goes on")
    assert bench.group.withheld == []
