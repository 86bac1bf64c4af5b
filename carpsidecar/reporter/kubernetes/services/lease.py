"""Who allocates: one node at a time, by a Lease that is taken and renewed only while there is something to do.

So nothing is asked of the API at rest. What a holder may rely on is counted by its own clock, from before its
request; who takes over has seen the Lease unchanged for as long, by a clock of its own, and then replaces the very
version that it saw. No two clocks need to agree.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from carpsidecar.reporter.kubernetes.client import Api, ApiError, Request
from carpsidecar.reporter.kubernetes.objects import BadObject
from carpsidecar.reporter.kubernetes.rbac import create_lease, get_lease, update_lease
from carpsidecar.reporter.kubernetes.services.objects import Lease, read_lease

DURATION_S = 5.0
RENEW_WITHIN_S = 3.5
"""A holder with less than this left renews first."""
REQUEST_S = 1.5
"""For an answer; what a holder writes has arrived, or never will, long before its time is over."""


class _Seen(Struct):
    lease: Lease | None
    at: float


class Election:
    """Args: identity: unlike that of every other process, a former one of this node too."""

    def __init__(
        self, api: Api, namespace: str, name: str, identity: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._seen: _Seen | None = None
        self._valid_until = float("-inf")
        self.must_list = True
        """Whether somebody may have allocated since the caller last listed all Services, and set this to False."""

    @property
    def holder(self) -> str:
        """As it was last seen; empty where there is none."""
        return self._seen.lease.holder if self._seen is not None and self._seen.lease is not None else ""

    @property
    def is_ours(self) -> bool:
        """Whether it is, until somebody else needs it."""
        return self.holder == self._identity

    def has_left_s(self) -> float:
        """For how long yet nobody else allocates."""
        return self._valid_until - self._clock()

    def acquire(self) -> float:
        """Take it, or renew it. Seconds after which to try again, 0 where it is ours. Raises: ApiError."""
        if self.has_left_s() >= RENEW_WITHIN_S:
            return 0.0
        if self._seen is None:
            self._observe()
        while (seen := self._seen) is not None:
            lease = seen.lease
            if lease is not None and lease.holder and not self.is_ours:
                wait_s = seen.at + DURATION_S - self._clock()
                if wait_s > 0:
                    return wait_s
            if self._write(lease, self._identity):
                return 0.0
            # Somebody else was faster; or ourselves, by a request whose answer was lost.
            self._observe()
        return DURATION_S

    def observe(self) -> None:
        """See who has it: from now on it counts for how long it stays unchanged. Raises: ApiError."""
        if not self.is_ours:
            self._observe()

    def release(self) -> None:
        """Let another have it at once. Raises: ApiError."""
        if self.is_ours and self._seen is not None:
            self._valid_until = float("-inf")
            self._write(self._seen.lease, "")

    def _observe(self) -> None:
        """Raises: ApiError."""
        lease: Lease | None = None
        try:
            lease = self._decoded(self._api.call(Request("GET", self._path, get_lease(self._namespace)), REQUEST_S))
        except ApiError as error:
            if error.status != 404:
                raise
        before = self._seen.lease if self._seen is not None else None
        if self._seen is None or before != lease:
            self._seen = _Seen(lease, self._clock())
            self.must_list = True

    def _write(self, before: Lease | None, holder: str) -> bool:
        """Whether it was still as before. Raises: ApiError."""
        began_at = self._clock()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        spec: dict[str, Any] = {"leaseDurationSeconds": int(DURATION_S), "renewTime": now}
        spec["leaseTransitions"] = transitions = before.transitions if before is not None else 0
        if holder:
            spec["holderIdentity"] = holder
            if before is not None and before.holder != holder:
                spec |= {"acquireTime": now, "leaseTransitions": transitions + 1}
        if before is None:
            request = Request("POST", self._folder, create_lease(self._namespace), body=_object(metadata, spec))
        else:
            metadata["resourceVersion"] = before.version
            request = Request("PUT", self._path, update_lease(self._namespace), body=_object(metadata, spec))
        try:
            after = self._decoded(self._api.call(request, REQUEST_S))
        except ApiError as error:
            if error.status in (404, 409):
                self._valid_until = float("-inf")
                return False
            raise
        self._seen = _Seen(after, began_at)
        if holder:
            self._valid_until = began_at + DURATION_S
        return True

    def _decoded(self, answer: bytes) -> Lease:
        """Raises: ApiError."""
        try:
            return read_lease(answer)
        except BadObject as error:
            raise ApiError("other", f"the Lease {self._name}: {error}") from None

    @property
    def _folder(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{quote(self._namespace, safe='')}/leases"

    @property
    def _path(self) -> str:
        return f"{self._folder}/{quote(self._name, safe='')}"


def _object(metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
