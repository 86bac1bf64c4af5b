"""What this node is to do for which address: the requests to its engine, each sent when it changes.

While the API is away nothing in the cache changes, and so what was last requested stays. Where this reporter does
not know yet what there is, nothing is requested: an engine goes on with what its former reporter wanted.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from logging import WARNING

from msgspec import Struct

from carpsidecar.ipc.messages import (
    SERVICES_MAX,
    TEXT_MAX,
    GroupSnapshot,
    KeepServiceAddresses,
    Result,
    SetServiceAddress,
    ToEngine,
)
from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.ratelimit import LogLimiter
from carpsidecar.reporter.kubernetes.recorder import EventRecorder
from carpsidecar.reporter.kubernetes.services.cache import ServiceCache
from carpsidecar.reporter.kubernetes.services.endpoints import obstacle
from carpsidecar.reporter.kubernetes.services.events import about
from carpsidecar.reporter.kubernetes.services.holdings import holders, vhids_of
from carpsidecar.reporter.kubernetes.services.objects import Service
from carpsidecar.reporter.kubernetes.services.order import RETURNED, advskew_of, key_of

ANSWER_S = 10.0
REFUSED_AGAIN_S = 10.0
"""What the engine refused is requested again after this: its configuration may have changed."""

Request = Callable[[ToEngine, float], "Future[Result]"]
"""Sends a command, from any thread and without waiting; the result raises TimeoutError where none came in time."""


class _Standing(Struct):
    """Of this node, for one address: whether it has its place in the order, or has come back lately."""

    has_returned: bool
    since: float
    """When it was last not able to serve, or gave the address up, on the monotonic clock."""
    role: str = "init"
    """As it was last seen."""


class NodeRequests:
    """Called with the cache's lock held, but for the results."""

    def __init__(
        self,
        cache: Cache,
        services: ServiceCache,
        request: Request,
        recorder: EventRecorder,
        rebalance_delay_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._services = services
        self._request = request
        self._recorder = recorder
        self._delay_s = float("inf") if rebalance_delay_s < 0 else rebalance_delay_s
        self._clock = clock
        self._sent: dict[str, SetServiceAddress] = {}
        self._kept: list[str] | None = None
        self._standings: dict[str, _Standing] = {}
        self._refused_at: dict[str, float] = {}
        self._log_limiter = LogLimiter()
        self._has_synced = False

    def update(self) -> float | None:
        """Request what is new. Seconds after which something may be new by itself."""
        if self._cache.stopping or not self._is_known():
            return None
        now = self._clock()
        held = holders(self._services.services.all(), self._services.rules)
        vhids = vhids_of(held, self._services.rules)
        served = {ip: services for ip, services in held.items() if ip in vhids and self._services.rules.pool_of(ip)}
        self._keep(served)
        for ip, services in served.items():
            self._set(ip, vhids[ip], services[:SERVICES_MAX], now)
        self._has_synced = True
        return self._due_in_s(now)

    def _is_known(self) -> bool:
        cache, services = self._cache, self._services
        is_local = any(one.is_local for one in services.services.all())
        return (
            services.services.listed
            and (services.endpoints.listed or not is_local)
            and cache.carp_pods_listed
            and cache.node is not None
        )

    def _keep(self, served: Mapping[str, Sequence[Service]]) -> None:
        addresses = sorted(served)
        for ip in self._sent.keys() - served.keys():
            del self._sent[ip]
            self._standings.pop(ip, None)
            self._refused_at.pop(ip, None)
        if addresses != self._kept:
            self._kept = addresses
            self._post(KeepServiceAddresses(addresses=addresses))

    def _set(self, ip: str, vhid: int, services: Sequence[Service], now: float) -> None:
        node = self._cache.node_name
        nodes = frozenset({node, *(pod.node for pod in self._cache.carp_pods if pod.node and not pod.finished)})
        labels = self._cache.node.labels if self._cache.node is not None else {}
        text = obstacle(services, node, labels, self._services.endpoints)
        returned = self._has_returned(ip, self._services.groups.get(ip), bool(text), now)
        advskew = advskew_of(node, key_of(services[0]), nodes)
        message = SetServiceAddress(
            address=ip,
            vhid=vhid,
            advskew=advskew + (RETURNED if returned else 0),
            advskew_returned=advskew + (RETURNED if self._delay_s else 0),
            eligible=not text,
            services=[str(one) for one in services],
            text=text[:TEXT_MAX],
        )
        is_again = ip in self._refused_at and now >= self._refused_at[ip] + REFUSED_AGAIN_S
        if self._sent.get(ip) != message or is_again:
            self._refused_at.pop(ip, None)
            self._sent[ip] = message
            self._post(message)

    def _has_returned(self, ip: str, group: GroupSnapshot | None, has_obstacle: bool, now: float) -> bool:
        standing = self._standings.get(ip)
        if standing is None:
            # What is allocated while we look on has no order yet that it could disturb.
            standing = self._standings[ip] = _Standing(not self._was_settled(group), now)
        before, standing.role = standing.role, group.role if group is not None else "init"
        is_impaired = has_obstacle or (group is not None and bool(group.demotions))
        # One that starts is not impaired; one that took part and does so no more is.
        is_impaired |= before != "init" and standing.role not in ("master", "backup")
        if is_impaired or (before == "master" and standing.role == "backup"):
            standing.has_returned, standing.since = True, now
        elif standing.role == "master" or now >= standing.since + self._delay_s:
            standing.has_returned = False
        elif standing.role == "fault":
            standing.since = now
        return standing.has_returned

    def _was_settled(self, group: GroupSnapshot | None) -> bool:
        """Whether it has its place in the order from the beginning."""
        if self._has_synced:
            return True
        return group is not None and time.time() - group.since_s >= self._delay_s

    def _due_in_s(self, now: float) -> float | None:
        due = [one.since + self._delay_s for one in self._standings.values() if one.has_returned]
        due += [at + REFUSED_AGAIN_S for at in self._refused_at.values()]
        finite = [at - now for at in due if at < float("inf")]
        return max(0.05, min(finite)) if finite else None

    def _post(self, message: SetServiceAddress | KeepServiceAddresses) -> None:
        future = self._request(message, ANSWER_S)
        if isinstance(message, SetServiceAddress):
            future.add_done_callback(lambda done: self._answered(message, done))

    def _answered(self, message: SetServiceAddress, done: "Future[Result]") -> None:
        """In the loop's thread."""
        if done.cancelled() or done.exception() is not None or done.result().outcome != "refused":
            return
        reason = done.result().reason
        with self._cache.lock:
            if self._sent.get(message.address) is not message:
                return
            self._refused_at[message.address] = self._clock()
            if not self._log_limiter.due(self._clock(), (message.address, reason)):
                return
            text = f"{message.address} is not served: {reason}"
            log(WARNING, "service_refused", f"{text} (Services: {', '.join(message.services)})")
            for key in (name.partition("/") for name in message.services):
                service = self._services.services.get((key[0], key[2]))
                if service is not None:
                    self._recorder.event("CarpNotServed", text, about=about(service))
