"""Tells the cluster what the election decides, and the election what the cluster asks for.

Watches fill a picture of the cluster, the engine's messages fill in its part, and one writer makes the cluster
match. All of it under one lock, which nobody holds while he waits for the API server.
"""

import time
from collections.abc import Callable
from logging import INFO, WARNING
from pathlib import Path
from typing import Any

from carpsidecar.ipc.messages import (
    GroupGone,
    GroupSnapshot,
    Heartbeat,
    KubernetesSettings,
    Notice,
    ReporterSettings,
    ToEngine,
    ToReporter,
)
from carpsidecar.logs import log
from carpsidecar.reporter.cluster import PodView
from carpsidecar.reporter.kubernetes import cluster, rbac
from carpsidecar.reporter.kubernetes.carry import Carrier, OwnPod, WorkloadPods
from carpsidecar.reporter.kubernetes.client import Api, Timing
from carpsidecar.reporter.kubernetes.credentials import SERVICE_ACCOUNT
from carpsidecar.reporter.kubernetes.demands import Demands
from carpsidecar.reporter.kubernetes.effects import Effects
from carpsidecar.reporter.kubernetes.events import Events
from carpsidecar.reporter.kubernetes.followers import KindFollower, NodeFollower, WorkloadFollower
from carpsidecar.reporter.kubernetes.masters import Masters
from carpsidecar.reporter.kubernetes.objects import read_node, read_pod
from carpsidecar.reporter.kubernetes.picture import Picture
from carpsidecar.reporter.kubernetes.pods import path_of
from carpsidecar.reporter.kubernetes.retry import Once
from carpsidecar.reporter.kubernetes.transitions import Transitions
from carpsidecar.reporter.kubernetes.watch import Watch
from carpsidecar.reporter.kubernetes.writer import Writer
from carpsidecar.reporter.state import State
from carpsidecar.reporter.stats import ApiStats

_JOIN_S = 0.5
_BACK_SAID_EVERY_S = 60.0


class KubernetesReporter:
    """Args:
    ask: asks the engine for something; from any thread, and without waiting.
    timing: for tests.
    service_account: the folder of the token and of the authority's certificate.
    """

    def __init__(
        self,
        settings: KubernetesSettings,
        state: State,
        stats: ApiStats,
        ask: Callable[[ToEngine], None],
        timing: Timing | None = None,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> None:
        timing = timing or Timing()
        self._timing = timing
        self._settings = settings
        self._picture = picture = Picture(settings, lambda: state.engine_alive)
        self._api = api = Api(settings.kubeconfig, stats, timing, self._api_came_back, service_account)
        self._events = Events(picture, api, stats)
        self._transitions = Transitions(picture, self._events)
        self._effects = Effects(picture, Demands(ask), self._events)
        self._masters = Masters(picture, api, stats, timing, self._split_brain)
        carrier = Carrier(api, stats)
        sources = (
            OwnPod(picture, carrier, self._masters),
            WorkloadPods(picture, api, carrier),
            self._masters,
            self._events,
        )
        self._writer = Writer(picture.lock, sources, timing)
        self._watches: list[Watch[Any]] = []
        self._once = Once(_BACK_SAID_EVERY_S)
        self._follows_node = False
        self._engine_was_alive = False
        for group in state.groups.values():
            picture.set_group(group)
            self._transitions.heard(group)
        state.subscribe(self.update)

    def start(self) -> None:
        """Start following and writing. An API that is away is waited for."""
        follower = KindFollower(self._picture, self._changed, self._misfit, self._api)
        namespace = self._settings.pod_namespace
        rules = (rbac.list_pods(namespace), rbac.watch_pods(namespace))
        watch = Watch(self._api, path_of(namespace), rules, follower.query(), read_pod, follower, self._timing)
        follower.watch = watch
        with self._picture.lock:
            self._watches.append(watch)
            self._follow_node()
        watch.start()
        self._writer.start()

    def update(self, message: ToReporter) -> None:
        """Take what the engine says. Returns at once."""
        with self._picture.lock:
            if isinstance(message, GroupSnapshot):
                self._picture.set_group(message)
                self._transitions.heard(message)
            elif isinstance(message, GroupGone):
                self._picture.drop_group(message.group)
            elif isinstance(message, Notice):
                self._transitions.noticed(message)
            elif isinstance(message, ReporterSettings):
                self._picture.successor = message
            elif isinstance(message, Heartbeat):
                was_alive, self._engine_was_alive = self._engine_was_alive, self._picture.engine_alive()
                if was_alive:
                    return
            self._masters.observe(time.monotonic())
            self._writer.try_now()

    def stop(self, timeout_s: float) -> None:
        """Write what is to be written last, as far as that succeeds in this time, and end.

        Our own pod says what the engine last said; the workload pods get back to what they were without us. Where a
        reporter with other settings follows, that holds only for what it will not write itself.
        """
        deadline = time.monotonic() + timeout_s
        with self._picture.lock:
            self._picture.stopping = True
            self._writer.try_now()
            if not self._writer.drain(deadline):
                log(WARNING, "last_words", "not all of what was to be written last could be written in time")
            self._writer.stop()
            watches = list(self._watches)
        for watch in watches:
            watch.stop()
        for ended in (*(watch.join for watch in watches), self._writer.join):
            ended(min(_JOIN_S, max(0.0, deadline - time.monotonic())))
        self._api.close()

    def cluster(self) -> list[PodView]:
        """The pods of our own kind, by name, as the API last showed them."""
        with self._picture.lock:
            suffixes = self._picture.suffixes
            return [cluster.view(pod, suffixes) for pod in sorted(self._picture.kind, key=lambda pod: pod.name)]

    def _changed(self) -> None:
        """With the lock held: a watch has changed the picture."""
        self._transitions.pod_seen(self._picture.own)
        self._follow_node()
        self._masters.observe(time.monotonic())
        self._effects.apply()
        self._picture.lock.notify_all()

    def _follow_node(self) -> None:
        """Follow what is on our node, as soon as it is known which that is."""
        if self._follows_node or self._picture.stopping or not self._picture.node_name:
            return
        self._follows_node = True
        added: list[Watch[Any]] = []
        for namespace in rbac.workload_namespaces(self._settings):
            pods = WorkloadFollower(self._picture, self._changed, self._misfit, namespace)
            rules = (rbac.list_pods(namespace), rbac.watch_pods(namespace))
            path = path_of(namespace)
            added.append(Watch(self._api, path, rules, pods.query(), read_pod, pods, self._timing))
        if rbac.follows_node(self._settings):
            node = NodeFollower(self._picture, self._changed, self._misfit)
            rules = (rbac.LIST_NODES, rbac.WATCH_NODES)
            added.append(Watch(self._api, "/api/v1/nodes", rules, node.query(), read_node, node, self._timing))
        self._watches += added
        for watch in added:
            watch.start()

    def _misfit(self, text: str) -> None:
        self._events.say("CarpBadSetting", text)

    def _split_brain(self, group: str, text: str) -> None:
        self._events.say("CarpSplitBrain", f"{group}: {text}")

    def _api_came_back(self) -> None:
        # In a watch's thread, or the writer's; whoever holds the lock does not wait for the API.
        with self._picture.lock:
            self._once.say(time.monotonic(), "back", lambda: log(INFO, "api_back", "the API server answers"))
            self._writer.try_now()
