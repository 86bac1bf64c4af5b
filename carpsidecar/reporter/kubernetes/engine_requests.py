"""What follows from the cache for the engine: demotions, the advskew and the peers, each requested when it changes.

While the API is away nothing in the cache changes, and so what was last requested stays.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from logging import INFO, WARNING
from typing import Literal

from carpsidecar import drained
from carpsidecar.ipc.messages import (
    PEERS_MAX,
    TEXT_MAX,
    GroupSnapshot,
    SetAdvskew,
    SetDemotion,
    SetPeers,
    ToEngine,
    Withhold,
)
from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.objects import ANNOTATIONS, DRAIN_ANNOTATION, Node, Pod
from carpsidecar.reporter.kubernetes.pod_status import AGREEMENT, WORKLOAD, is_alive
from carpsidecar.reporter.kubernetes.rbac import workload_namespaces
from carpsidecar.reporter.kubernetes.recorder import EventRecorder

ADVSKEW_MAX = 254
DEMOTION_MAX = 255
READY, NOT_READY, NONE = "ready", "not-ready", "none"
"""Values of the annotation `workload`."""


class BadLabel(Exception):
    """A node label that can't be used."""


class EngineRequests:
    """Called with the cache's lock held.

    Args: send: must not wait; since the lock is held, what is sent last is the newest.
    """

    def __init__(self, cache: Cache, send: Callable[[ToEngine], None], recorder: EventRecorder) -> None:
        self._cache = cache
        self._send = send
        self._recorder = recorder
        self._sent: dict[str, ToEngine] = {}
        self._reported = ""

    def update(self) -> None:
        """Something in the cache has changed."""
        if self._cache.stopping:
            return
        self._drain()
        self._unready()
        self._absent()
        self._node()
        self.withhold()
        own = self._cache.own
        if self._cache.settings.discover_peers and self._cache.carp_pods_listed and own is not None:
            self.set_peers(peers(own, self._cache.others))

    def demote(self, cause: str, amount: int, reason: str = "") -> None:
        """0 takes it back. The first time, it is sent in any case: a former reporter may have requested another."""
        amount = min(amount, DEMOTION_MAX)
        before = self._sent.get(cause)
        self._send_new(cause, SetDemotion(cause=cause, amount=amount, bow_out=amount > 0))
        if amount == (before.amount if isinstance(before, SetDemotion) else 0):
            return
        if amount:
            log(WARNING, "demoted", f"demoted by {amount}: {reason}", cause=cause)
            self._recorder.event("CarpDemoted", f"demoted by {amount}: {reason}")
        else:
            log(INFO, "demotion_over", f"no longer demoted for {cause}", cause=cause)

    def set_advskew(self, value: int | None) -> None:
        self._send_new("advskew", SetAdvskew(advskew=value))

    def set_peers(self, addresses: Sequence[str]) -> None:
        self._send_new("peers", SetPeers(peers=list(addresses[:PEERS_MAX])))

    def _send_new(self, subject: str, message: ToEngine) -> None:
        if self._sent.get(subject) != message:
            self._sent[subject] = message
            with contextlib.suppress(RuntimeError):  # the loop is closed: the engine is gone
                self._send(message)

    def _drain(self) -> None:
        own = self._cache.own
        if own is not None:
            drain = own.annotations.get(DRAIN_ANNOTATION, "").lower() == "true"
            self.demote("drain", drained.DEMOTION if drain else 0, f"our pod has the annotation {DRAIN_ANNOTATION}")
            if own.leaving:
                # Which nobody can take back; the workload beside a native sidecar is stopped before we are.
                self.demote("terminating", drained.DEMOTION, "our pod is being deleted")

    def _unready(self) -> None:
        cache, settings = self._cache, self._cache.settings
        own = cache.own
        if not settings.unready_demotion or own is None or not own.containers:
            return
        if cache.workloads_listed < set(workload_namespaces(settings)):
            return
        unready = [f"container {name}" for name in unready_containers(own, settings.container_name)]
        unready += [f"pod {name}" for name in unready_workloads(workloads(cache))]
        self.demote("unready", settings.unready_demotion if unready else 0, f"not ready: {', '.join(unready)}")

    def _absent(self) -> None:
        settings = self._cache.settings
        state = workload_state(self._cache)
        if not settings.absent_demotion or not state:
            return
        elsewhere = [pod for pod in self._cache.others if is_alive(pod) and _workload_of(pod) == READY]
        amount = settings.absent_demotion if state == NONE and elsewhere else 0
        where = f"one on node {elsewhere[0].node} is ready" if elsewhere else ""
        self.demote("absent", amount, f"no pod by {settings.workload_selector} is on this node, and {where}")

    def withhold(self) -> None:
        """Groups that must not be claimed take no part in the election. A master goes on, and is not asked."""
        for group in self._cache.groups:
            if group.role == "master" or self._cache.stopping:
                continue
            role, reason = self._withheld(group)
            before = self._sent.get(f"withhold {group.group}")
            if reason or before is not None:
                message = Withhold(group=group.group, role=role, text=reason[:TEXT_MAX])
                self._send_new(f"withhold {group.group}", message)
                if role == "backup" and reason and message != before:
                    log(WARNING, "agreement_differs", reason, group=group.group)
                    self._recorder.event("CarpConfigDiffers", f"{group.group}: {reason}")

    def _withheld(self, group: GroupSnapshot) -> tuple[Literal["backup", "fault"], str]:
        cache, suffix = self._cache, self._cache.suffixes[group.group]
        claims = [pod for pod in cache.others if cache.role_of(pod, group.group) == "master" and is_alive(pod)]
        for pod in claims:
            theirs = pod.annotations.get(f"{ANNOTATIONS}{AGREEMENT}{suffix}", group.agreement)
            if group.agreement and theirs not in (group.agreement, *group.agrees_with):
                what = "under other addresses, vhid, mode or passphrase"
                return "backup", f"{pod.name} on {pod.node} claims it {what}: waiting for its end"
        hosts = {ip: pod for pod in cache.carp_pods for ip in pod.host_ips}
        for ip in group.addresses:
            if claims:
                # It is in use as what it is meant for.
                break
            if ip in cache.taken:
                return "fault", f"{ip} is refused: {cache.taken[ip]}; give a free one of the nodes' network"
            if ip in hosts:
                return "fault", f"{ip} is refused: it is the address of node {hosts[ip].node}; give a free one"
        return "fault", ""

    def _node(self) -> None:
        node, settings = self._cache.node, self._cache.settings
        if node is None:
            return
        if settings.cordon_demotion:
            amount = settings.cordon_demotion if node.unschedulable else 0
            self.demote("cordon", amount, f"node {node.name} is cordoned")
        if settings.advskew_label:
            try:
                self.set_advskew(advskew(node, settings.advskew_label))
            except BadLabel as error:
                self.set_advskew(None)
                if self._reported != str(error):
                    self._reported = str(error)
                    log(WARNING, "bad_setting", str(error))
                    self._recorder.event("CarpBadSetting", str(error))
            else:
                self._reported = ""


def workloads(cache: Cache) -> list[Pod]:
    """The workload pods of this node; ours are none."""
    return [pod for pod in cache.workloads if cache.carp_pods.get(pod.key) is None]


def workload_state(cache: Cache) -> str:
    """For the annotation of our own pod; empty while it is not known, and where nothing selects workload pods."""
    namespaces = set(workload_namespaces(cache.settings))
    if not namespaces or not cache.workloads_listed >= namespaces:
        return ""
    pods = [pod for pod in workloads(cache) if not pod.finished]
    if not pods:
        return NONE
    return NOT_READY if unready_workloads(pods) else READY


def unready_containers(own: Pod, container: str) -> list[str]:
    """The containers of our pod that are neither the engine nor the reporter, and not ready."""
    ours = container, f"{container}-reporter"
    return sorted(name for name, ready in own.containers.items() if name not in ours and not ready)


def unready_workloads(pods: Iterable[Pod]) -> list[str]:
    """The workload pods of this node that are not ready, by their containers.

    The pods' own readiness is no measure: with our readiness gate it follows the election, which would follow it.
    A pod that is being deleted counts where no other one is there to take its place.
    """
    there = [pod for pod in pods if not pod.finished]
    staying = [pod for pod in there if not pod.leaving]
    return sorted(pod.name for pod in staying or there if pod.leaving or not _serves(pod))


def advskew(node: Node, label: str) -> int | None:
    """The label's value; None without it. Raises: BadLabel."""
    value = node.labels.get(label)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= 3 and int(value) <= ADVSKEW_MAX):
        raise BadLabel(
            f"node {node.name}: label {label} is {value!r}: give a whole number from 0 to {ADVSKEW_MAX}; it is"
            " ignored as long"
        )
    return int(value)


def peers(own: Pod, others: Iterable[Pod]) -> list[str]:
    """The host addresses of the other nodes, in order. One that is merely not ready is a peer all the same."""
    found: set[IPv4Address | IPv6Address] = set()
    for pod in others:
        if not pod.finished:
            found |= _addresses(pod)
    return [str(ip) for ip in sorted(found - _addresses(own), key=lambda ip: (ip.version, int(ip)))]


def _workload_of(pod: Pod) -> str:
    return pod.annotations.get(f"{ANNOTATIONS}{WORKLOAD}", "")


def _serves(pod: Pod) -> bool:
    return bool(pod.containers) and all(pod.containers.values())


def _addresses(pod: Pod) -> set[IPv4Address | IPv6Address]:
    found: set[IPv4Address | IPv6Address] = set()
    for text in pod.host_ips:
        with contextlib.suppress(ValueError):
            found.add(ip_address(text))
    return found
