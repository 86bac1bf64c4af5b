"""The reporter's process, with a Kubernetes reporter that only notes what it finds at its end."""

import socket
from pathlib import Path
from typing import Any

import pytest

from carpsidecar import logs
from carpsidecar.ipc.messages import encode
from carpsidecar.ipc.settings import KubernetesSettings, ReporterSettings
from carpsidecar.reporter import process
from carpsidecar.status.model import PodView
from carpsidecar.status.state import State
from tests.support.builders import snapshot

SETTINGS = ReporterSettings(
    software="1",
    log_format="text",
    log_level="info",
    kubernetes=KubernetesSettings(pod_name="carp-1", pod_namespace="infra"),
)


@pytest.fixture
def role_at_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Of the one group, after these messages and the end of the pipe."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    ended: list[str] = []

    class Noting:
        def __init__(self, settings: KubernetesSettings, state: State, *rest: Any, **more: Any) -> None:
            self._state = state

        def start(self) -> None:
            pass

        def cluster(self) -> list[PodView]:
            return []

        def stop(self, timeout_s: float) -> None:
            ended.extend(group.role for group in self._state.groups.values())

    class Log:
        def close(self) -> None:
            pass

    monkeypatch.setattr("carpsidecar.reporter.kubernetes.KubernetesReporter", Noting)
    monkeypatch.setattr(logs, "start", lambda *settings: Log())

    def run(*messages: Any) -> list[str]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            for message in (SETTINGS, *messages):
                ours.send(encode(message))
        assert process.run(theirs) == 0
        return ended

    return run


def test_an_engine_that_is_gone_holds_nothing(role_at_the_end: Any) -> None:
    assert role_at_the_end(snapshot(role="master")) == ["init"]


def test_one_that_replaces_its_reporter_lives_on(role_at_the_end: Any) -> None:
    assert role_at_the_end(snapshot(role="master"), SETTINGS) == ["master"]
