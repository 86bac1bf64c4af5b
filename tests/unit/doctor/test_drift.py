"""What a running engine can't take over of its configuration is known from what it reports of itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from carpsidecar.doctor import node
from carpsidecar.doctor.findings import Finding, Status
from carpsidecar.doctor.machine import Machine
from carpsidecar.status.client import NoEngine, Replies, Reply
from tests.unit.status.builders import engine, group

MACHINE = cast(Machine, SimpleNamespace(name="", subjects=[SimpleNamespace(name="web")]))


def test_a_group_whose_configuration_has_drifted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    drifted = group("web", drift="vhid of web has changed"), group("other", drift="x")
    answer = engine(*drifted)
    monkeypatch.setattr(node, "send", lambda *_: Replies([Reply(Path("/run/x"), answer)]))
    found = Finding("drift", Status.WARNING, "vhid of web has changed", "replace the pod for it", "web")
    assert list(node.drift(MACHINE)) == [found]


def test_one_that_has_not_and_an_engine_that_is_silent_are_no_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = engine(group("web"))
    monkeypatch.setattr(node, "send", lambda *_: Replies([Reply(Path("/run/x"), answer)]))
    assert list(node.drift(MACHINE)) == []

    def nobody(*_: Any) -> Replies:
        raise NoEngine("none")

    monkeypatch.setattr(node, "send", nobody)
    assert list(node.drift(MACHINE)) == []
