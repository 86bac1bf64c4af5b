"""Which pods were labelled master, by a watch: its events come in the order of the writes."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from carpsidecar.lab.commands import run
from tests.cluster.harness import CONTROL_PLANE, NAMESPACE, OURS, ROOT


class LabelWatch:
    """From `with` to its end. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._roles: dict[str, str] = {}
        self._changed = threading.Condition()
        self.problems: list[str] = []
        """What the watch was told that is no pod."""
        self.most = 0
        """So many were labelled at once."""
        self.changes: list[tuple[float, frozenset[str]]] = []
        """When the set of masters changed, and what it was then."""
        self.late_s: list[float] = []
        """From each transition to master, by the pod's own annotation, to its label. A master that was cut off and
        comes back as such is labelled anew without a transition."""
        self._terms: set[tuple[str, str]] = set()
        self._writes: list[tuple[float, str]] = []
        """What changed of our labels and annotations, and when."""

    def __enter__(self) -> "LabelWatch":
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={quote(OURS)}"
        raw = ["kubectl", "--kubeconfig", str(ROOT / "admin.kubeconfig"), "get", "--raw"]
        inside = ["ip", "netns", "exec", CONTROL_PLANE, *raw]
        listed = json.loads(run([*inside, path]))
        for pod in listed["items"]:
            self._take("ADDED", pod["metadata"])
        # One pod was listed after the other.
        self.changes = [(time.time(), self.masters)]
        version = listed["metadata"]["resourceVersion"]
        self._process = subprocess.Popen(
            [*inside, f"{path}&watch=1&resourceVersion={version}&timeoutSeconds=3600"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.wait_for_master(lambda masters: len(masters) == 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join(5)

    @property
    def masters(self) -> frozenset[str]:
        return frozenset(name for name, role in self._roles.items() if role == "master")

    def wait_for_master(self, holds: Callable[[frozenset[str]], bool], within_s: float = 60.0) -> str:
        """The name of the pod, as soon as that holds."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.masters), within_s), (
                self.changes[-10:],
                self.problems,
            )
            return next(iter(self.masters))

    def longest_without_s(self, since_s: float) -> float:
        began_at, ended_at = self._longest_without(since_s)
        return ended_at - began_at

    def around_longest_without(self, since_s: float) -> str:
        """What was written then, by seconds from its beginning."""
        began_at, ended_at = self._longest_without(since_s)
        around = [(at, what) for at, what in self._writes if began_at - 1 < at < ended_at + 0.5]
        return "\n".join(f"{at - began_at:+.3f} {what}" for at, what in around)

    def _longest_without(self, since_s: float) -> tuple[float, float]:
        ends = [*(at for at, _ in self.changes[1:]), time.time()]
        times = zip(self.changes, ends, strict=True)
        without = [(max(at, since_s), end) for (at, masters), end in times if not masters and end > since_s]
        return max(without, key=lambda one: one[1] - one[0], default=(since_s, since_s))

    def _run(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                self._take(event["type"], event["object"]["metadata"])
            else:
                self.problems.append(line)

    def _take(self, kind: str, metadata: dict[str, Any]) -> None:
        now_s = time.time()
        name, role = metadata["name"], metadata.get("labels", {}).get("carp-role", "")
        annotations = metadata.get("annotations", {})
        with self._changed:
            since, reason = (annotations.get(f"carpsidecar.io/{one}", "") for one in ("since", "reason"))
            self._writes.append((now_s, f"{kind} {name}: {role} since {since}: {reason}"))
            term = name, since
            if role == "master" and term not in self._terms:
                self._terms.add(term)
                if kind == "MODIFIED":
                    self.late_s.append(now_s - _epoch(term[1]))
            self._roles[name] = "" if kind == "DELETED" else role
            self.most = max(self.most, len(self.masters))
            if not self.changes or self.changes[-1][1] != self.masters:
                self.changes.append((now_s, self.masters))
            self._changed.notify_all()


def _epoch(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
