"""The operator's commands: each is answered when it is so, or when it is clear that it will not be."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.ipc.messages import Drain, Promote, StepDown
from carpsidecar.reporter.control import commands
from tests.unit.reporter.control.fake_engine import OTHER, OURS, Served, backup, served

MASTER = backup(role="master", master=OURS)


def follow(tmp_path: Path, *groups: Any, **request: Any) -> tuple[dict[str, Any], Served]:
    async def run() -> tuple[dict[str, Any], Served]:
        async with served(tmp_path, *groups) as control:
            return await control.ask(**request), control

    return asyncio.run(run())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "DONE_WITHIN_S", 0.05)
    monkeypatch.setattr(commands, "SUCCESSOR_WITHIN_S", 0.05)


def test_a_master_that_stepped_down_says_who_took_over(tmp_path: Path) -> None:
    answer, control = follow(tmp_path, MASTER, type="step-down", group="web", reason="disk swap")
    assert answer == {
        "type": "done",
        "results": [{"group": "web", "done": True, "text": f"is not master any more; {OTHER} is"}],
    }
    assert control.engine.asked == [StepDown(group="web", text="disk swap")]


def test_a_backup_has_nothing_to_hand_over_but_a_promotion_to_end(tmp_path: Path) -> None:
    answer, control = follow(tmp_path, type="step-down")
    assert answer["results"] == [{"group": "web", "done": True, "text": "is backup, not master"}]
    assert control.engine.asked == [StepDown(group="web")]


def test_a_promoted_backup_is_master(tmp_path: Path) -> None:
    answer, control = follow(tmp_path, type="promote", group="web", reason="test")
    assert answer["results"] == [{"group": "web", "done": True, "text": "is master now"}]
    assert control.engine.asked == [Promote(group="web", text="test")]


def test_a_master_need_not_be_promoted(tmp_path: Path) -> None:
    answer, control = follow(tmp_path, MASTER, type="promote")
    assert answer["results"] == [{"group": "web", "done": True, "text": "is master already"}]
    assert control.engine.asked == []


def test_a_promotion_that_is_refused_says_why(tmp_path: Path) -> None:
    async def run() -> dict[str, Any]:
        async with served(tmp_path) as control:
            control.engine.refuses = "web can't be promoted: it is demoted"
            return await control.ask(type="promote")

    assert asyncio.run(run())["results"] == [
        {"group": "web", "done": False, "text": "can't be promoted: it is demoted"}
    ]


def test_a_drain_and_its_end(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path, MASTER) as control:
            answer = await control.ask(type="drain", group="web", reason="kernel update")
            assert answer["results"] == [{"group": "web", "done": True, "text": f"is drained; {OTHER} is"}]
            assert control.engine.asked == [Drain(group="web", text="kernel update")]
            answer = await control.ask(type="undrain", group="web")
            assert answer["results"] == [{"group": "web", "done": True, "text": "is not drained any more"}]
            answer = await control.ask(type="undrain", group="web")
            assert answer["results"] == [{"group": "web", "done": True, "text": "was not drained"}]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("type_", "done", "text"),
    [
        ("drain", True, "is drained; it is backup; the disk is full"),
        ("undrain", False, "was not drained; the disk is full"),
    ],
)
def test_a_drain_that_can_not_be_stored_is_done_and_one_that_stays_is_a_failure(
    tmp_path: Path, type_: str, done: bool, text: str
) -> None:
    async def run() -> dict[str, Any]:
        async with served(tmp_path) as control:
            control.engine.not_stored = "the disk is full"
            return await control.ask(type=type_)

    assert asyncio.run(run())["results"] == [{"group": "web", "done": done, "text": text}]


def test_without_a_name_all_groups_are_meant(tmp_path: Path) -> None:
    answer, _ = follow(tmp_path, MASTER, backup("mail"), type="step-down")
    assert [(result["group"], result["done"]) for result in answer["results"]] == [("web", True), ("mail", True)]


def test_a_drain_of_all_is_one_command_that_holds_for_later_groups_too(tmp_path: Path) -> None:
    answer, control = follow(tmp_path, MASTER, backup("mail"), type="drain", reason="kernel update")
    assert [(result["group"], result["text"]) for result in answer["results"]] == [
        ("web", f"is drained; {OTHER} is"),
        ("mail", "is drained; it is backup"),
    ]
    assert control.engine.asked == [Drain(text="kernel update")]


def test_no_group_yet_is_an_error(tmp_path: Path) -> None:
    async def run() -> dict[str, Any]:
        async with served(tmp_path) as control:
            control.engine.state.groups.clear()
            return await control.ask(type="drain")

    answer = asyncio.run(run())
    assert (answer["type"], answer["text"]) == (
        "error",
        "the engine has no group yet: try again when it has started",
    )


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("type_", "role", "text"),
    [
        ("step-down", "master", "is master; no answer within 0.05 s"),
        ("promote", "backup", "is backup; no answer within 0.05 s"),
        ("drain", "backup", "is backup; no answer within 0.05 s"),
    ],
)
def test_an_engine_that_does_nothing_is_reported(tmp_path: Path, type_: str, role: str, text: str) -> None:
    async def run() -> dict[str, Any]:
        async with served(tmp_path, backup(role=role)) as control:
            control.engine.deaf = True
            return await control.ask(type=type_)

    assert asyncio.run(run())["results"] == [{"group": "web", "done": False, "text": text}]


@pytest.mark.usefixtures("impatient")
def test_a_successor_that_is_not_heard_is_not_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.reporter.control.fake_engine.OTHER", None)
    answer, _ = follow(tmp_path, MASTER, type="step-down")
    assert answer["results"][0]["text"] == "is not master any more; no other master is heard yet"
