"""The cluster's administrator, who makes what the tests need and sees what comes of it; or a thief of a token."""

import json
import ssl
import time
from collections.abc import Callable
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import urlencode

Object = dict[str, Any]


class Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.status = status


class Admin:
    """Paths are below the server's root."""

    def __init__(self, port: int, context: ssl.SSLContext, token: str = "") -> None:
        self._port = port
        self._context = context
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def connect(self) -> HTTPSConnection:
        return HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=10)

    def get(self, path: str, **query: str) -> Object:
        return self._ask("GET", f"{path}?{urlencode(query)}")

    def create(self, path: str, body: Object) -> Object:
        return self._ask("POST", path, body)

    def patch(self, path: str, body: Object, kind: str = "strategic-merge-patch") -> Object:
        return self._ask("PATCH", path, body, f"application/{kind}+json")

    def delete(self, path: str, grace_period_s: int = 0) -> None:
        self._ask("DELETE", path, {"gracePeriodSeconds": grace_period_s})

    def wait(self, path: str, name: str, holds: Callable[[Object], bool], timeout_s: float = 10.0) -> Object:
        """The object, as soon as that holds for it."""
        listed = self.get(path, fieldSelector=f"metadata.name={name}")
        newest: Object | None = None
        for newest in listed["items"]:
            if holds(newest):
                return newest
        version = listed["metadata"]["resourceVersion"]
        query = {
            "watch": "1",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": version,
            "timeoutSeconds": str(int(timeout_s) + 1),
        }
        deadline = time.monotonic() + timeout_s
        connection = HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=timeout_s)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}")
            for line in connection.getresponse():
                newest = json.loads(line)["object"]
                assert newest is not None
                if holds(newest):
                    return newest
                if time.monotonic() > deadline:
                    break
        except TimeoutError:
            pass
        finally:
            connection.close()
        raise AssertionError(
            f"{path}/{name} did not become so within {timeout_s} s; it is {json.dumps(newest)[:3000]}"
        )

    def _ask(self, method: str, path: str, body: Object | None = None, kind: str = "application/json") -> Object:
        connection = self.connect()
        try:
            connection.request(
                method, path, json.dumps(body) if body else None, {"Content-Type": kind, **self._headers}
            )
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise Refused(response.status, answer.decode(errors="replace"))
        parsed: Object = json.loads(answer)
        return parsed
