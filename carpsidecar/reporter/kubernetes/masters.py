"""Claims to be master that contradict ours: a dead one's label is marked, a living one's is a split brain.

Where we are master and another pod's older claim still stands, it is marked `unknown`, once. Whoever is marked and
is master all the same claims again; then both know that there are two, and report it for as long as there are.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from logging import ERROR, INFO

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.client import Api, ApiError, Timing
from carpsidecar.reporter.kubernetes.objects import ANNOTATIONS, ROLE_LABEL, Pod
from carpsidecar.reporter.kubernetes.pod_status import UNKNOWN, in_rfc3339, unknown
from carpsidecar.reporter.kubernetes.pods import apply, list_pods
from carpsidecar.reporter.kubernetes.rbac import workload_namespaces
from carpsidecar.reporter.kubernetes.status_writer import StatusWriter
from carpsidecar.status.stats import ApiStats

Report = Callable[[str, str], None]
"""Takes a group and a text."""


@dataclass(frozen=True, slots=True)
class _Term:
    """Our time as master of a group; `began_at` is on the monotonic clock, as we heard of it."""

    since: str
    began_at: float


class Masters:
    """The reconciler of the other pods' claims; its keys are groups. Args: report: of a split brain."""

    def __init__(
        self, cache: Cache, api: Api, stats: ApiStats, writer: StatusWriter, timing: Timing, report: Report
    ) -> None:
        self._cache = cache
        self._api = api
        self._stats = stats
        self._writer = writer
        self._timing = timing
        self._report = report
        self._terms: dict[str, _Term] = {}
        self._seen_at: dict[tuple[str, str, str], float] = {}
        """When others' claims were first seen: by uid, group and since when they claim it."""
        self._marked: set[tuple[str, str]] = set()
        """By uid and group, in our present term."""
        self._nodes: set[tuple[str, str]] = set()
        """By node and group: where workload pods may still carry the label master."""
        self._stale_since: dict[str, float] = {}
        """Groups in which our own pod was marked."""
        self._renewed: set[str] = set()
        """Groups in which we were marked and claimed again."""

    @property
    def claim_is_stale(self) -> bool:
        """Whether another master marked our own pod, and we have not claimed again yet."""
        return bool(self._stale_since)

    def observe(self, now: float) -> None:
        """With the lock held: something in the cache has changed."""
        groups = [group for group in self._cache.groups if group.role == "master"]
        self._begin_and_end_terms(groups, now)
        claims = {group.group: self._claims_of_others(group.group) for group in groups}
        self._seen_at = {
            claim: self._seen_at.get(claim, now)
            for name, suffix in self._cache.suffixes.items()
            for claim in ((pod.uid, name, _since(pod, suffix)) for pod in self._claims_of_others(name))
        }
        own = self._cache.own
        stale = {name for name in claims if own is not None and self._cache.role_of(own, name) == UNKNOWN}
        self._stale_since = {name: self._stale_since.get(name, now) for name in stale}
        self._renewed &= {name for name, pods in claims.items() if pods}
        for name, pods in claims.items():
            rivals = [pod for pod in pods if name in self._renewed or (pod.uid, name) in self._marked]
            self._split(name, rivals)
        for name in self._stats.split_brain - claims.keys():
            self._split(name, [])

    def renew_claim(self, now: float) -> float:
        """With the lock held: seconds until our own marked pod may claim again.

        If that is now, whoever else claims is a rival from now on.
        """
        wait_s = max(self._stale_since.values()) + self._timing.settle_s - now
        if wait_s <= 0:
            self._renewed |= {name for name in self._stale_since if self._claims_of_others(name)}
            self.observe(now)
        return wait_s

    def reconcile(self, key: tuple[str, ...]) -> float | None:
        """Raises: ApiError."""
        [name] = key
        cache = self._cache
        while True:
            with cache.lock:
                term, own = self._terms.get(name), cache.own
                if term is None or own is None or cache.stopping or not self._own_claims(own, name, term):
                    return None
                pods = [pod for pod in self._claims_of_others(name) if self._is_to_be_marked(pod, name, term)]
                nodes = sorted(node for node, group in self._nodes if group == name)
                if not pods and not nodes:
                    return None
                if (wait_s := term.began_at + self._timing.mark_after_s - time.monotonic()) > 0:
                    return wait_s
                suffix, reason = cache.suffixes[name], f"{own.name} on {own.node} became master"
            if pods:
                self._mark(pods[0], name, suffix, reason)
            else:
                self._mark_workloads(nodes[0], suffix, reason)
                with cache.lock:
                    self._nodes.discard((nodes[0], name))

    def _mark(self, pod: Pod, name: str, suffix: str, reason: str) -> None:
        try:
            after = self._writer.write(self._cache.carp_pods, pod, unknown(pod, suffix, reason, time.time()))
        finally:
            with self._cache.lock:
                self.observe(time.monotonic())
        if after is None:
            return
        log(INFO, "marked_unknown", f"{pod.name} on {pod.node} claimed master, too: it is marked", group=name)
        with self._cache.lock:
            self._marked.add((pod.uid, name))
            if pod.node and pod.node != self._cache.node_name:
                self._nodes.add((pod.node, name))

    def _mark_workloads(self, node: str, suffix: str, reason: str) -> None:
        settings = self._cache.settings
        query = {
            "labelSelector": f"{settings.workload_selector},{ROLE_LABEL}{suffix}=master",
            "fieldSelector": f"spec.nodeName={node}",
        }
        for namespace in workload_namespaces(settings):
            for pod in list_pods(self._api, namespace, query):
                try:
                    apply(self._api, self._stats, pod, unknown(pod, suffix, reason, time.time()))
                except ApiError as error:
                    # One that has just changed is written by its own node's reporter.
                    if error.status not in (404, 409):
                        raise

    def _begin_and_end_terms(self, groups: list[GroupSnapshot], now: float) -> None:
        terms: dict[str, _Term] = {}
        for group in groups:
            since = in_rfc3339(group.since_s)
            before = self._terms.get(group.group)
            terms[group.group] = before if before is not None and before.since == since else _Term(since, now)
            if terms[group.group] is not before:
                self._marked = {(uid, name) for uid, name in self._marked if name != group.group}
        self._terms = terms
        uids = {pod.uid for pod in self._cache.carp_pods}
        self._marked = {(uid, name) for uid, name in self._marked if uid in uids and name in terms}
        self._nodes.difference_update([(node, name) for node, name in self._nodes if name not in terms])

    def _is_to_be_marked(self, pod: Pod, name: str, term: _Term) -> bool:
        if (pod.uid, name) in self._marked:
            return False
        since = _since(pod, self._cache.suffixes[name])
        seen_at = self._seen_at.get((pod.uid, name, since), float("inf"))
        # Clocks of two nodes may differ; what was seen before our own term began is older all the same.
        return seen_at < term.began_at or (since, pod.name) < (term.since, self._cache.settings.pod_name)

    def _claims_of_others(self, name: str) -> list[Pod]:
        return [pod for pod in self._cache.others if self._cache.role_of(pod, name) == "master"]

    def _own_claims(self, own: Pod, name: str, term: _Term) -> bool:
        return self._cache.role_of(own, name) == "master" and _since(own, self._cache.suffixes[name]) == term.since

    def _split(self, name: str, rivals: list[Pod]) -> None:
        if not rivals and name in self._stats.split_brain:
            self._stats.split_brain = self._stats.split_brain - {name}
            log(INFO, "split_brain_over", "there is one master again", group=name)
        elif rivals and name not in self._stats.split_brain:
            self._stats.split_brain = self._stats.split_brain | {name}
            whom = ", ".join(sorted(f"{pod.name} on {pod.node}" for pod in rivals))
            text = f"two masters: {whom} claims it too. Do the nodes hear each other, with one passphrase?"
            log(ERROR, "split_brain", text, group=name)
            self._report(name, text)


def _since(pod: Pod, suffix: str) -> str:
    return pod.annotations.get(f"{ANNOTATIONS}since{suffix}", "")
