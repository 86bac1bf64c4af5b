"""Binds the parts together: reflectors fill the cache, and what changes is named in work queues.

The requests to our engine and what is written on Services have a queue of their own: an allocator that waits for
the API or for an answer from the network holds up neither.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from carpsidecar.ipc.messages import GroupSnapshot, Notice, Result, ToEngine
from carpsidecar.ipc.settings import KubernetesSettings, LoadBalancerSettings
from carpsidecar.reporter.kubernetes import rbac
from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.client import Api, ApiError, Timing
from carpsidecar.reporter.kubernetes.recorder import SERVICES_BUDGET, EventReason, EventRecorder
from carpsidecar.reporter.kubernetes.reflector import Reflector
from carpsidecar.reporter.kubernetes.services import informers
from carpsidecar.reporter.kubernetes.services.allocator import Allocator
from carpsidecar.reporter.kubernetes.services.cache import ServiceCache
from carpsidecar.reporter.kubernetes.services.events import about
from carpsidecar.reporter.kubernetes.services.holder import Holder
from carpsidecar.reporter.kubernetes.services.lease import Election
from carpsidecar.reporter.kubernetes.services.node_requests import NodeRequests
from carpsidecar.reporter.kubernetes.services.objects import (
    Key,
    read_endpoint_slice,
    read_namespace,
    read_service,
)
from carpsidecar.reporter.kubernetes.services.requests import SERVICES
from carpsidecar.reporter.kubernetes.services.view import views
from carpsidecar.reporter.kubernetes.workqueue import Item, Worker, WorkQueue
from carpsidecar.status.model import ServiceView
from carpsidecar.status.stats import ApiStats

COALESCE_S = 0.01
PLAN_ELSEWHERE_S = 0.5
"""How soon a node plans whose plan only counts if the allocator does nothing."""

_REQUESTS = Item(0, "addresses of Services, as the engine is to serve them")
_ALLOCATION = Item(0, "allocation of addresses to Services")
_EVENTS = Item(5, "events of Services")
_NOTICES: dict[str, EventReason] = {
    "conflict": "CarpConflict",
    "bad_digest": "CarpBadDigest",
    "config_differs": "CarpConfigDiffers",
}


def _holder(key: tuple[str, ...]) -> Item:
    return Item(4, "holder of Service", key)


class ServicesController:
    """Args: request: sends the engine a command, without waiting; with the seconds its result may take."""

    def __init__(
        self,
        settings: LoadBalancerSettings,
        kubernetes: KubernetesSettings,
        cache: Cache,
        api: Api,
        stats: ApiStats,
        timing: Timing,
        request: Callable[[ToEngine, float], "Future[Result]"],
        bad_setting: Callable[[str], None],
    ) -> None:
        self._cache = cache
        self._api = api
        self._timing = timing
        self._settings = settings
        self._bad_setting = bad_setting
        self._services = services = ServiceCache(settings)
        self._queue = queue = WorkQueue(timing)
        self._allocations = WorkQueue(timing)
        self._recorder = EventRecorder(cache, api, stats, lambda: queue.add(_EVENTS), SERVICES_BUDGET)
        self._node_requests = NodeRequests(cache, services, request, self._recorder, settings.rebalance_delay_s)
        identity = f"{kubernetes.pod_name}_{secrets.token_hex(4)}"
        self._election = Election(api, kubernetes.pod_namespace, lease_name(kubernetes.pod_selector), identity)
        self._allocator = Allocator(cache, services, api, stats, self._election, request, self._recorder)
        self._holder = Holder(cache, services, api, stats, self._recorder)
        reconcilers = {
            _REQUESTS.reconciler: self._request,
            _holder(()).reconciler: self._holder.reconcile,
            _EVENTS.reconciler: self._recorder.reconcile,
        }
        self._workers = [
            Worker(queue, reconcilers, urgent=True),
            Worker(queue, reconcilers, urgent=False),
            Worker(self._allocations, {_ALLOCATION.reconciler: self._allocator.reconcile}, urgent=True),
        ]
        self._reflectors = self._make_reflectors()

    def start(self) -> None:
        for reflector in self._reflectors:
            reflector.start()
        for worker in self._workers:
            worker.start()

    def group_changed(self, group: GroupSnapshot) -> None:
        """With the lock held: a group for an address of Services, such as `has_services` names."""
        for address in group.addresses:
            ip = address.partition("/")[0]
            before = self._services.groups.get(ip)
            self._services.groups[ip] = group
            if before is None or (before.role, before.since_s) != (group.role, group.since_s):
                self._role_changed(ip, group)
        self._queue.add_after(_REQUESTS, COALESCE_S)

    def group_gone(self, name: str) -> bool:
        """With the lock held. Whether it was one for an address of Services."""
        addresses = [ip for ip, group in self._services.groups.items() if group.group == name]
        for ip in addresses:
            del self._services.groups[ip]
        return bool(addresses)

    def noticed(self, notice: Notice) -> bool:
        """With the lock held. Whether it is about an address of Services."""
        group = next((one for one in self._services.groups.values() if one.group == notice.group), None)
        if group is None:
            return False
        if group.role == "master":
            for key in _keys(group):
                if (service := self._services.services.get(key)) is not None:
                    self._recorder.event(_NOTICES[notice.kind], notice.text, notice.at_s, about(service))
        return True

    def update(self) -> None:
        """With the lock held: something else in the cache has changed, such as the nodes that take part."""
        self._queue.add_after(_REQUESTS, COALESCE_S)
        self._plan_soon()

    def retry_now(self) -> None:
        self._queue.retry_now()
        self._allocations.retry_now()

    def server_answered(self) -> None:
        self._queue.server_answered()
        self._allocations.server_answered()

    def views(self) -> list[ServiceView]:
        """Services of ours, by name."""
        with self._cache.lock:
            return views(self._services)

    def stop(self, deadline: float) -> None:
        """Write what is to be written last, as far as that succeeds until then."""
        with self._cache.lock:
            for service in self._services.services.all():
                if self._holder.concerns_us(service):
                    self._queue.add(_holder(service.key))
        self._queue.retry_now()
        self._queue.drain(deadline)
        with suppress(ApiError):
            self._allocator.release()
        for queue in (self._queue, self._allocations):
            queue.shut_down()
        for reflector in self._reflectors:
            reflector.stop()

    def join(self, deadline: float) -> None:
        for join in [*(one.join for one in self._reflectors), *(one.join for one in self._workers)]:
            join(max(0.0, deadline - time.monotonic()))

    def _make_reflectors(self) -> list[Reflector[Any]]:
        arguments = self._cache, self._services, self._changed, self._bad_setting
        rules = rbac.LIST_SERVICES, rbac.WATCH_SERVICES
        services, slices = informers.Services(*arguments), informers.EndpointSlices(*arguments)
        made: list[Reflector[Any]] = [
            Reflector(self._api, SERVICES, rules, {}, read_service, services, self._timing),
            Reflector(
                self._api,
                "/apis/discovery.k8s.io/v1/endpointslices",
                (rbac.LIST_ENDPOINTS, rbac.WATCH_ENDPOINTS),
                {},
                read_endpoint_slice,
                slices,
                self._timing,
            ),
        ]
        for pool in self._settings.pools:
            if pool.namespace_selector:
                handler = informers.Namespaces(*arguments, pool.name, pool.namespace_selector)
                rules = rbac.LIST_NAMESPACES, rbac.WATCH_NAMESPACES
                path = "/api/v1/namespaces"
                made.append(
                    Reflector(self._api, path, rules, handler.query(), read_namespace, handler, self._timing)
                )
        return made

    def _changed(self, key: Key | None) -> None:
        """With the lock held: this Service, its pods, or any."""
        self._queue.add_after(_REQUESTS, COALESCE_S)
        self._plan_soon()
        changed = self._services.services.all() if key is None else [self._services.services.get(key)]
        for service in changed:
            if service is not None and self._holder.concerns_us(service):
                self._queue.add(_holder(service.key))

    def _plan_soon(self) -> None:
        is_ours = self._election.is_ours or not self._election.holder
        self._allocations.add_after(_ALLOCATION, COALESCE_S if is_ours else PLAN_ELSEWHERE_S)

    def _role_changed(self, ip: str, group: GroupSnapshot) -> None:
        for key in _keys(group):
            self._queue.add(_holder(key))
            service = self._services.services.get(key)
            if group.role == "fault" and service is not None:
                self._recorder.event("CarpFault", f"{ip}: {group.reason}", group.since_s, about(service))

    def _request(self, _: tuple[str, ...]) -> float | None:
        with self._cache.lock:
            return self._node_requests.update()


def has_services(group: GroupSnapshot) -> bool:
    """Whether it is for an address of Services: such a group has no label on pods."""
    return bool(group.services)


def lease_name(pod_selector: str) -> str:
    """One for each installation: its pods are the ones that elect."""
    return f"carpsidecar-services-{hashlib.sha256(pod_selector.encode()).hexdigest()[:8]}"


def _keys(group: GroupSnapshot) -> list[Key]:
    found = (name.partition("/") for name in group.services)
    return [(namespace, name) for namespace, _, name in found]
