"""The answer to `status`: fresh where the engine answers, and honest where it does not."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.ipc.messages import PeerHeard, SendHeartbeat
from carpsidecar.reporter.control import status
from tests.unit.reporter.control.fake_engine import OTHER, OURS, PID, Served, backup, served


def asked(tmp_path: Path, prepare: Any = None, *groups: Any, **request: Any) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with served(tmp_path, *groups) as control:
            if prepare is not None:
                prepare(control)
            return await control.ask(type="status", **request)

    return asyncio.run(run())


@pytest.fixture
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the last heartbeat was a while ago."""
    monkeypatch.setattr(status, "FRESH_S", -1.0)


@pytest.mark.usefixtures("never_fresh")
def test_it_has_all_that_the_engine_reported(tmp_path: Path) -> None:
    now_s = time.time()

    def prepare(control: Served) -> None:
        control.engine.lease_left_s = 2.0
        control.engine.peers = {
            "192.0.2.13": PeerHeard(interval_s=1.0, heard_s=now_s - 9, authentic=False),
            OTHER: PeerHeard(interval_s=1.5, heard_s=now_s - 1, authentic=True),
        }

    group = backup(
        role="master",
        master=OURS,
        advskew=10,
        advskew_advertised=74,
        demotions={"operator": 64},
        demotion_texts={"operator": "kernel update"},
        since_s=now_s - 60,
    )
    answer = asked(tmp_path, prepare, group)
    assert (answer["type"], answer["pid"], answer["node"], answer["answers"]) == ("status", PID, "n1", True)
    assert answer["silent_s"] < 1
    assert answer["drops"] == {"eth0": {"digest": 2}}
    [group] = answer["groups"]
    assert group["role"] == "master"
    assert group["interval_s"] == 1 + 74 / 256
    assert group["demotions"] == {"operator": 64}
    assert group["demotion_texts"] == {"operator": "kernel update"}
    assert 1.5 < group["lease_left_s"] <= 2.0
    assert [(address, peer["authentic"]) for address, peer in group["peers"].items()] == [
        (OTHER, True),
        ("192.0.2.13", False),
    ]
    assert group["counters"] == {"advertisements_sent": 3, "lease_renewals": 2, "transitions": 1, "hooks_ok": 1}
    assert group["kernel"] is None


def test_what_was_reported_just_now_is_fresh_enough(tmp_path: Path) -> None:
    heard: list[Any] = []
    answer = asked(tmp_path, lambda control: heard.append(control.engine.asked))
    assert answer["answers"] is True
    assert heard == [[]]


@pytest.mark.usefixtures("never_fresh")
def test_a_fresh_heartbeat_is_asked_for(tmp_path: Path) -> None:
    heard: list[Any] = []
    assert asked(tmp_path, lambda control: heard.append(control.engine.asked))["answers"] is True
    assert heard == [[SendHeartbeat()]]


@pytest.mark.usefixtures("never_fresh")
def test_a_silent_engine_is_reported_with_what_is_known(tmp_path: Path) -> None:
    def prepare(control: Served) -> None:
        control.engine.deaf = True

    began = time.monotonic()
    answer = asked(tmp_path, prepare)
    assert time.monotonic() - began >= status.ANSWERS_WITHIN_S
    assert answer["answers"] is False
    assert answer["silent_s"] >= status.ANSWERS_WITHIN_S
    assert [group["group"] for group in answer["groups"]] == ["web"]


def test_one_group_may_be_asked_for(tmp_path: Path) -> None:
    answer = asked(tmp_path, None, backup(), backup("mail"), group="mail")
    assert [group["group"] for group in answer["groups"]] == ["mail"]


def test_one_that_is_not_there_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    answer = asked(tmp_path, None, backup(), backup("mail"), group="vpn")
    assert answer == {"type": "error", "text": "no group is called 'vpn'", "groups": ["web", "mail"]}
