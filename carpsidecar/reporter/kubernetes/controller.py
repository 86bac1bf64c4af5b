"""The controller: reports to the cluster what the election decides, and to the election what the cluster asks for.

Reflectors fill a cache, the engine's messages fill in their part, and both name in a work queue what has changed.
One worker takes from it and reconciles: it compares observed with desired status, and patches the difference.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from logging import INFO, WARNING
from pathlib import Path
from typing import Any

from carpsidecar.ipc.messages import GroupGone, GroupSnapshot, Heartbeat, Notice, Result, ToEngine, ToReporter
from carpsidecar.ipc.settings import KubernetesSettings, ReporterSettings
from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes import informers, rbac
from carpsidecar.reporter.kubernetes.address_check import AddressCheck
from carpsidecar.reporter.kubernetes.cache import Cache, Key
from carpsidecar.reporter.kubernetes.client import Api, ApiError, Timing
from carpsidecar.reporter.kubernetes.credentials import SERVICE_ACCOUNT
from carpsidecar.reporter.kubernetes.engine_requests import EngineRequests
from carpsidecar.reporter.kubernetes.masters import Masters
from carpsidecar.reporter.kubernetes.objects import Pod, read_node, read_pod
from carpsidecar.reporter.kubernetes.pod_status import view
from carpsidecar.reporter.kubernetes.pods import path_of
from carpsidecar.reporter.kubernetes.ratelimit import LogLimiter
from carpsidecar.reporter.kubernetes.reconcilers import OwnPod, WorkloadPods
from carpsidecar.reporter.kubernetes.recorder import EventRecorder
from carpsidecar.reporter.kubernetes.reflector import Reflector
from carpsidecar.reporter.kubernetes.services.controller import ServicesController, has_services
from carpsidecar.reporter.kubernetes.status_writer import StatusWriter
from carpsidecar.reporter.kubernetes.transitions import Transitions
from carpsidecar.reporter.kubernetes.workqueue import Item, Worker, WorkQueue
from carpsidecar.status.model import PodView, ServiceView
from carpsidecar.status.state import State
from carpsidecar.status.stats import ApiStats

_JOIN_S = 0.5
_BACK_LOGGED_EVERY_S = 60.0

_OWN_POD = Item(0, "own pod")
_KEPT_PODS = Item(1, "workload pods that stay")
_EVENTS = Item(4, "events")
_CONFLICTS = Item(5, "conflicts")
_ADDRESSES = Item(6, "check of the addresses")


def _other_nodes(group: str) -> Item:
    return Item(2, "workload pods of other nodes, group", (group,))


def _workload(key: Key) -> Item:
    return Item(3, "workload pod", key)


class KubernetesReporter:
    """Args:
    send: sends the engine a request; from any thread, and without waiting.
    timing: for tests.
    service_account: the folder of the token and of the authority's certificate.
    request: as `send`, with the seconds within which its result is to come; needed for Services.
    """

    def __init__(
        self,
        settings: KubernetesSettings,
        state: State,
        stats: ApiStats,
        send: Callable[[ToEngine], None],
        timing: Timing | None = None,
        service_account: Path = SERVICE_ACCOUNT,
        request: Callable[[ToEngine, float], "Future[Result]"] | None = None,
    ) -> None:
        self._timing = timing = timing or Timing()
        self._settings = settings
        self._queue = queue = WorkQueue(timing)
        self._cache = cache = Cache(settings, lambda: state.engine_alive)
        self._api = api = Api(settings.kubeconfig, stats, timing, self._api_answered, service_account)
        self._recorder = EventRecorder(cache, api, stats, lambda: queue.add(_EVENTS))
        self._transitions = Transitions(cache, self._recorder, lambda: queue.add(_CONFLICTS))
        self._engine_requests = EngineRequests(cache, send, self._recorder)
        writer = self._writer = StatusWriter(api, stats, cache.lock, timing)
        masters = self._masters = Masters(cache, stats, writer, timing, self._list_claims, self._split_brain)
        workloads = self._workload_pods = WorkloadPods(cache, api, writer, masters, timing, self._enqueue_workloads)
        reconcilers = {
            _OWN_POD.reconciler: OwnPod(cache, writer, masters).reconcile,
            _KEPT_PODS.reconciler: workloads.find_kept,
            _other_nodes("").reconciler: workloads.clear_other_nodes,
            _workload(("", "")).reconciler: workloads.reconcile,
            _EVENTS.reconciler: self._recorder.reconcile,
            _CONFLICTS.reconciler: self._transitions.reconcile,
            _ADDRESSES.reconciler: self._check_addresses,
        }
        self._address_check = AddressCheck(cache, api)
        self._workers = [Worker(queue, reconcilers, urgent) for urgent in (True, False)]
        self._reflectors: list[Reflector[Any]] = []
        self._log_limiter = LogLimiter(_BACK_LOGGED_EVERY_S)
        self._watches_node = False
        self._engine_was_alive = False
        self._received = 0
        """Advertisements, by the last heartbeat."""
        self._silent = False
        """Whether none was received before it."""
        self._started_at = time.monotonic()
        stats.unwritten_s = self._unwritten_s
        self._services: ServicesController | None = None
        if settings.load_balancer is not None and request is not None:
            self._services = ServicesController(
                settings.load_balancer, settings, cache, api, stats, timing, request, self._bad_setting
            )
        for group in state.groups.values():
            self._set_group(group)
        state.subscribe(self.update)

    def start(self) -> None:
        """Start watching and writing. An API that is away is waited for."""
        handler = informers.CarpPods(self._cache, self._cache_changed, self._bad_setting, self._api)
        namespace = self._settings.pod_namespace
        rules = (rbac.list_pods(namespace), rbac.watch_pods(namespace))
        path = path_of(namespace)
        reflector = Reflector(self._api, path, rules, handler.query(), read_pod, handler, self._timing)
        handler.reflector = reflector
        with self._cache.lock:
            self._reflectors.append(reflector)
            self._watch_node()
        reflector.start()
        for worker in self._workers:
            worker.start()
        if self._services is not None:
            self._services.start()

    def update(self, message: ToReporter) -> None:
        """Take a message of the engine. Returns at once."""
        with self._cache.lock:
            if isinstance(message, GroupSnapshot):
                if not self._set_group(message):
                    return
                if self._masters.outranks(message, time.monotonic()):
                    self._watch_anew()
            elif isinstance(message, GroupGone):
                if self._services is not None and self._services.group_gone(message.group):
                    return
                self._cache.drop_group(message.group)
            elif isinstance(message, Notice):
                if self._services is not None and self._services.noticed(message):
                    return
                self._transitions.noticed(message)
            elif isinstance(message, ReporterSettings):
                self._cache.successor = message
            elif isinstance(message, Heartbeat):
                was_alive, self._engine_was_alive = self._engine_was_alive, self._cache.engine_alive()
                hears_again = self._hears_again(message)
                if hears_again:
                    self._watch_anew()
                elif was_alive:
                    return
            self._masters.observe(time.monotonic())
            self._engine_requests.withhold()
            self._queue.add(_ADDRESSES)
            self._enqueue(self._workload_pods.keys)
            self._queue.retry_now()

    def stop(self, timeout_s: float) -> None:
        """Write what is to be written last, as far as that succeeds in this time, and end.

        Our own pod gets the engine's last state; the workload pods get back to what they were without us. Where a
        reporter with other settings follows, that holds only for what it will not write itself.
        """
        deadline = time.monotonic() + timeout_s
        with self._cache.lock:
            self._cache.stopping = True
            self._queue.add(_KEPT_PODS)
            self._enqueue(self._workload_pods.keys)
            self._queue.retry_now()
            reflectors = list(self._reflectors)
        if not self._queue.drain(deadline):
            log(WARNING, "writes_left", "not all of what was to be written last could be written in time")
        if self._services is not None:
            self._services.stop(deadline)
        self._queue.shut_down()
        for reflector in reflectors:
            reflector.stop()
        for join in [*(one.join for one in reflectors), *(one.join for one in self._workers)]:
            join(min(_JOIN_S, max(0.0, deadline - time.monotonic())))
        if self._services is not None:
            self._services.join(deadline)
        self._api.close()

    def cluster(self) -> list[PodView]:
        """The carpsidecar pods, by name, as the API last showed them."""
        with self._cache.lock:
            suffixes = self._cache.suffixes
            return [view(pod, suffixes) for pod in sorted(self._cache.carp_pods, key=lambda pod: pod.name)]

    def services(self) -> list[ServiceView]:
        """Those of type LoadBalancer that are ours, by name."""
        return [] if self._services is None else self._services.views()

    def _set_group(self, group: GroupSnapshot) -> bool:
        """Whether it is one whose role is a label of pods."""
        if has_services(group):
            if self._services is not None:
                self._services.group_changed(group)
            return False
        self._cache.set_group(group)
        self._transitions.group_changed(group)
        return True

    def _cache_changed(self, workload_pods: Iterable[Key]) -> None:
        """With the lock held."""
        self._transitions.pod_seen(self._cache.own)
        self._watch_node()
        self._masters.observe(time.monotonic())
        self._engine_requests.update()
        if self._services is not None:
            self._services.update()
        self._enqueue(workload_pods)

    def _enqueue(self, workload_pods: Iterable[Key]) -> None:
        self._queue.add(_OWN_POD)
        self._queue.add(_EVENTS)
        for key in workload_pods:
            self._queue.add(_workload(key))
        if self._settings.workload_selector:
            for group in self._cache.suffixes:
                self._queue.add(_other_nodes(group))

    def _enqueue_workloads(self) -> None:
        with self._cache.lock:
            for key in self._workload_pods.keys:
                self._queue.add(_workload(key))

    def _check_addresses(self, key: tuple[str, ...]) -> float | None:
        wait_s = self._address_check.reconcile(key)
        with self._cache.lock:
            self._engine_requests.withhold()
        return wait_s

    def _watch_node(self) -> None:
        """Watch what is on our node, as soon as it is known which that is."""
        if self._watches_node or self._cache.stopping or not self._cache.node_name:
            return
        self._watches_node = True
        added: list[Reflector[Any]] = []
        arguments = self._cache, self._cache_changed, self._bad_setting
        for namespace in rbac.workload_namespaces(self._settings):
            pods = informers.WorkloadPods(*arguments, namespace)
            rules = (rbac.list_pods(namespace), rbac.watch_pods(namespace))
            path = path_of(namespace)
            added.append(Reflector(self._api, path, rules, pods.query(), read_pod, pods, self._timing))
        if rbac.watches_node(self._settings):
            node = informers.OwnNode(*arguments)
            rules = (rbac.LIST_NODES, rbac.WATCH_NODES)
            added.append(Reflector(self._api, "/api/v1/nodes", rules, node.query(), read_node, node, self._timing))
        self._reflectors += added
        for reflector in added:
            reflector.start()

    def _watch_anew(self) -> None:
        """The network may have been away, and what was sent meanwhile may come later than what is sent now."""
        for reflector in self._reflectors:
            reflector.renew()

    def _hears_again(self, heartbeat: Heartbeat) -> bool:
        """Whether another member is heard after a silence: a network that is back may lead to the API, too."""
        received = sum(count.advertisements_received for count in heartbeat.counters.values())
        heard, self._received = received > self._received, received
        was_silent, self._silent = self._silent, not heard
        return heard and was_silent

    def _unwritten_s(self) -> float:
        with self._cache.lock:
            if self._cache.own is None:
                return time.monotonic() - self._started_at
        return self._queue.oldest_urgent_s

    def _list_claims(self, label: str) -> list[Pod]:
        """Raises: ApiError."""
        selector = self._settings.pod_selector
        if not selector:
            return []
        try:
            return self._writer.list(self._settings.pod_namespace, {"labelSelector": f"{selector},{label}=master"})
        except ApiError as error:
            # A selector that can't be used: the other nodes' pods are not watched either.
            if error.status != 400:
                raise
            return []

    def _bad_setting(self, text: str) -> None:
        self._recorder.event("CarpBadSetting", text)

    def _split_brain(self, group: str, text: str) -> None:
        self._recorder.event("CarpSplitBrain", f"{group}: {text}")

    def _api_answered(self, back: bool) -> None:
        """In a reflector's thread, or the worker's."""
        self._queue.server_answered()
        if self._services is not None:
            self._services.server_answered()
        if back:
            if self._log_limiter.due(time.monotonic(), "back"):
                log(INFO, "api_back", "the API server answers")
            self._queue.retry_now()
            if self._services is not None:
                self._services.retry_now()
