"""Which pods were labelled master, by a watch: its events come in the order of the writes."""

import json
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from urllib.parse import urlencode

from tests.kubernetes.scene import Scene, role_of


class Record:
    """From `with` to its end."""

    def __init__(self, scene: Scene, selector: str = "app=carp") -> None:
        self._path, self._query = scene.pods, {"labelSelector": selector}
        listed = scene.admin.get(self._path, **self._query)
        self._version = listed["metadata"]["resourceVersion"]
        self._roles = {pod["metadata"]["name"]: role_of(pod) for pod in listed["items"]}
        self._changed = threading.Condition()
        self._connection = scene.admin.connect()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.most = 0
        """So many were listed at once."""
        self.changes: list[tuple[float, frozenset[str]]] = []
        """When the set of masters changed, on the monotonic clock, and what it was then."""

    def __enter__(self) -> "Record":
        query = {**self._query, "watch": "1", "resourceVersion": self._version, "timeoutSeconds": "3600"}
        self._connection.timeout = 3600
        self._connection.request("GET", f"{self._path}?{urlencode(query)}")
        self._response = self._connection.getresponse()
        self._note()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        sock = self._connection.sock
        if sock is not None:
            sock.shutdown(2)
        self._thread.join(5)
        self._connection.close()

    @property
    def masters(self) -> frozenset[str]:
        return frozenset(name for name, role in self._roles.items() if role == "master")

    def wait(self, holds: Callable[[frozenset[str]], bool], timeout_s: float = 20.0) -> None:
        with self._changed:
            done = self._changed.wait_for(lambda: holds(self.masters), timeout_s)
        assert done, f"not within {timeout_s} s; the masters were {self.changes[-10:]}"

    def without_s(self, since: float) -> float:
        """The longest time without any, on the monotonic clock, from then on."""
        longest_s = 0.0
        for (began_at, masters), (ended_at, _) in zip(
            self.changes, [*self.changes[1:], (time.monotonic(), None)], strict=True
        ):
            if not masters and ended_at > since:
                longest_s = max(longest_s, ended_at - max(began_at, since))
        return longest_s

    def _run(self) -> None:
        try:
            for line in self._response:
                event = json.loads(line)
                name = event["object"]["metadata"]["name"]
                with self._changed:
                    self._roles[name] = None if event["type"] == "DELETED" else role_of(event["object"])
                    self._note()
        except (OSError, HTTPException, ValueError, AttributeError):
            pass

    def _note(self) -> None:
        masters = self.masters
        self.most = max(self.most, len(masters))
        if not self.changes or self.changes[-1][1] != masters:
            self.changes.append((time.monotonic(), masters))
        self._changed_all()

    def _changed_all(self) -> None:
        with self._changed:
            self._changed.notify_all()
