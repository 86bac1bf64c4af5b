"""Claims to be master that contradict ours: a dead one's label is marked, a living one's is a split brain.

Where we are master and another pod's older claim still stands, it is marked `unknown`, once. Whoever is marked and
is master all the same claims again; then both know that there are two, and say so for as long as there are.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from logging import ERROR, INFO

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.client import Api, Timing
from carpsidecar.reporter.kubernetes.desired import UNKNOWN, in_rfc3339, unknown
from carpsidecar.reporter.kubernetes.marking import MarkPod, MarkWorkloads
from carpsidecar.reporter.kubernetes.objects import ANNOTATIONS, Pod
from carpsidecar.reporter.kubernetes.picture import Picture
from carpsidecar.reporter.kubernetes.writer import Job
from carpsidecar.reporter.stats import ApiStats

Say = Callable[[str, str], None]
"""Takes a group and a text."""


@dataclass(frozen=True, slots=True)
class _Term:
    """Our time as master of a group; `began_at` is on the monotonic clock, as we heard of it."""

    since: str
    began_at: float


class Masters:
    """A source of the writer. Args: say: tells the cluster of a split brain."""

    def __init__(self, picture: Picture, api: Api, stats: ApiStats, timing: Timing, say: Say) -> None:
        self._picture = picture
        self._api = api
        self._stats = stats
        self._timing = timing
        self._say = say
        self._terms: dict[str, _Term] = {}
        self._seen_at: dict[tuple[str, str, str], float] = {}
        """When others' claims were first seen: by uid, group and since when they say it is."""
        self._marked: set[tuple[str, str]] = set()
        """By uid and group, in our present term."""
        self._nodes: set[tuple[str, str]] = set()
        """By node and group: where workload pods may still say master."""
        self._doubted_at: dict[str, float] = {}
        """Groups in which our own pod was marked."""
        self._contested: set[str] = set()
        """Groups in which we were marked and claimed again."""

    @property
    def doubted(self) -> bool:
        """Whether another master marked our own pod, and we have not claimed again yet."""
        return bool(self._doubted_at)

    def observe(self, now: float) -> None:
        """Something in the picture has changed."""
        groups = [group for group in self._picture.groups if group.role == "master"]
        self._begin_and_end_terms(groups, now)
        claims = {group.group: self._claims_of_others(group.group) for group in groups}
        self._seen_at = {
            claim: self._seen_at.get(claim, now)
            for name, suffix in self._picture.suffixes.items()
            for claim in ((pod.uid, name, _since(pod, suffix)) for pod in self._claims_of_others(name))
        }
        own = self._picture.own
        doubted = {name for name in claims if own is not None and self._picture.role_of(own, name) == UNKNOWN}
        self._doubted_at = {name: self._doubted_at.get(name, now) for name in doubted}
        self._contested &= {name for name, pods in claims.items() if pods}
        for name, pods in claims.items():
            rivals = [pod for pod in pods if name in self._contested or (pod.uid, name) in self._marked]
            self._split(name, rivals)
        for name in self._stats.split_brain - claims.keys():
            self._split(name, [])

    def contest(self, now: float) -> float:
        """When our own marked pod may claim again; if that is now, others that claim too are rivals from now on."""
        due_at = max(self._doubted_at.values()) + self._timing.settle_s
        if due_at <= now:
            self._contested |= {name for name in self._doubted_at if self._claims_of_others(name)}
            self.observe(now)
        return due_at

    def next(self, now: float, blocked: Callable[[str], float]) -> Job | float | None:
        if self._picture.stopping:
            return None
        due_at: float | None = None
        for name, term in self._terms.items():
            if not self._own_says(name, term):
                continue
            for job in self._jobs(name, term):
                job_at = max(term.began_at + self._timing.mark_after_s, blocked(job.key))
                if job_at <= now:
                    return job
                due_at = job_at if due_at is None else min(due_at, job_at)
        return due_at

    def _begin_and_end_terms(self, groups: list[GroupSnapshot], now: float) -> None:
        terms: dict[str, _Term] = {}
        for group in groups:
            since = in_rfc3339(group.since_s)
            before = self._terms.get(group.group)
            terms[group.group] = before if before is not None and before.since == since else _Term(since, now)
            if terms[group.group] is not before:
                self._marked = {(uid, name) for uid, name in self._marked if name != group.group}
        self._terms = terms
        uids = {pod.uid for pod in self._picture.kind}
        self._marked = {(uid, name) for uid, name in self._marked if uid in uids and name in terms}
        self._nodes.difference_update([(node, name) for node, name in self._nodes if name not in terms])

    def _jobs(self, name: str, term: _Term) -> list[MarkPod | MarkWorkloads]:
        own, suffix = self._picture.own, self._suffix(name)
        assert own is not None
        why = f"{own.name} on {own.node} became master"
        jobs: list[MarkPod | MarkWorkloads] = []
        for pod in self._claims_of_others(name):
            if (pod.uid, name) not in self._marked and self._is_older(pod, name, term):
                wanted = unknown(pod, suffix, why, time.time())
                jobs.append(MarkPod(self._api, self._stats, pod, wanted, partial(self._done, name)))
        for node in sorted(node for node, group in self._nodes if group == name):
            done = partial(self._nodes.discard, (node, name))
            jobs.append(MarkWorkloads(self._api, self._stats, self._picture.settings, node, suffix, why, done))
        return jobs

    def _done(self, name: str, before: Pod, after: Pod | None, marked: bool) -> None:
        if after is None:
            self._picture.kind.remove(before)
        else:
            self._picture.kind.refresh(after)
        if marked:
            self._marked.add((before.uid, name))
            log(
                INFO, "marked_unknown", f"{before.name} on {before.node} said master, too: it is marked", group=name
            )
            if before.node and before.node != self._picture.node_name:
                self._nodes.add((before.node, name))
        self.observe(time.monotonic())

    def _is_older(self, pod: Pod, name: str, term: _Term) -> bool:
        since = _since(pod, self._suffix(name))
        seen_at = self._seen_at.get((pod.uid, name, since), float("inf"))
        # Clocks of two nodes may differ; what was seen before our own term began is older all the same.
        return seen_at < term.began_at or (since, pod.name) < (term.since, self._picture.settings.pod_name)

    def _claims_of_others(self, name: str) -> list[Pod]:
        return [pod for pod in self._picture.others if self._picture.role_of(pod, name) == "master"]

    def _own_says(self, name: str, term: _Term) -> bool:
        own = self._picture.own
        return (
            own is not None
            and self._picture.role_of(own, name) == "master"
            and _since(own, self._suffix(name)) == term.since
        )

    def _split(self, name: str, rivals: list[Pod]) -> None:
        if not rivals and name in self._stats.split_brain:
            self._stats.split_brain = self._stats.split_brain - {name}
            log(INFO, "split_brain_over", "there is one master again", group=name)
        elif rivals and name not in self._stats.split_brain:
            self._stats.split_brain = self._stats.split_brain | {name}
            whom = ", ".join(sorted(f"{pod.name} on {pod.node}" for pod in rivals))
            text = f"two masters: {whom} claims it too. Do the nodes hear each other, with one passphrase?"
            log(ERROR, "split_brain", text, group=name)
            self._say(name, text)

    def _suffix(self, name: str) -> str:
        return self._picture.suffixes[name]


def _since(pod: Pod, suffix: str) -> str:
    return pod.annotations.get(f"{ANNOTATIONS}since{suffix}", "")
