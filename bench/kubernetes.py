"""Kubernetes: how soon a transition is seen by somebody who watches the pods; against a real kube-apiserver."""

import json
import threading
import time
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from bench.result import Result
from bench.section import Section, of_results
from carpsidecar.ipc.messages import Role
from carpsidecar.reporter.kubernetes.client import Timing
from tests.kubernetes.admin import Admin
from tests.kubernetes.control_plane import ControlPlane, found
from tests.kubernetes.proxy import Proxy
from tests.kubernetes.scene import Logs, Scene

_GOAL_MS = 150.0
_PAUSE_S = 0.1
"""So that each transition is one of its own."""


def section(quick: bool) -> Section:
    missing = [program for program in ("kube-apiserver", "etcd") if found(program) is None]
    if missing:
        return of_results("Kubernetes", [], f"Not measured here: there is no {' and no '.join(missing)}.")
    rounds = 50 if quick else 500
    with ControlPlane() as plane, TemporaryDirectory() as folder:
        took_ms = _transitions(plane, Path(folder), rounds)
    note = f"of {rounds} transitions"
    results = [
        Result("transition to label in a watch: median", median(took_ms), "ms", _GOAL_MS, note),
        Result("transition to label in a watch: 99 %", quantiles(took_ms, n=100)[-1], "ms", None, note),
    ]
    text = "One kube-apiserver on one etcd that syncs to disk, on this machine, with nothing else to do."
    return of_results("Kubernetes", results, text)


def _transitions(plane: ControlPlane, folder: Path, rounds: int) -> list[float]:
    proxy = Proxy(plane.port, plane.authority.issue("proxy"), plane.authority.certificate)
    scene = Scene(plane, Admin(plane.port, plane.context()), proxy, folder, Logs(), port=plane.port)
    with closing(scene):
        scene.pod("carp-1")
        running = scene.start(timing=Timing())
        running.snapshot("backup")
        pod = scene.wait_role("carp-1", "backup")
        watcher = _Watcher(plane, scene.pods, pod["metadata"]["resourceVersion"])
        took_ms = []
        for number in range(rounds):
            role: Role = "backup" if number % 2 else "master"
            time.sleep(_PAUSE_S)
            started = time.monotonic()
            running.snapshot(role)
            took_ms.append(1000 * (watcher.seen_at(role) - started))
        return took_ms


class _Watcher:
    """Somebody else, straight at the server."""

    def __init__(self, plane: ControlPlane, path: str, version: str) -> None:
        self._news = threading.Condition()
        self._role, self._at = "", 0.0
        self._connection = HTTPSConnection("127.0.0.1", plane.port, context=plane.context(), timeout=600)
        self._connection.request("GET", f"{path}?watch=1&resourceVersion={version}")
        threading.Thread(target=self._follow, daemon=True).start()

    def seen_at(self, role: str) -> float:
        with self._news:
            if not self._news.wait_for(lambda: self._role == role, 30):
                raise RuntimeError(f"{role} was not seen within 30 s")
            return self._at

    def _follow(self) -> None:
        for line in self._connection.getresponse():
            now = time.monotonic()
            role = json.loads(line)["object"]["metadata"].get("labels", {}).get("carp-role", "")
            with self._news:
                if role != self._role:
                    self._role, self._at = role, now
                    self._news.notify_all()
