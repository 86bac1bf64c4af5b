"""Claims to be master: at most one pod is labelled so, also where two are masters on the wire.

Whoever becomes master takes the label off the others first. A silent master's claim is marked `unknown` at once;
one that hands over takes its own label off within `handover_s`, or is marked then. Of two that took over at once
one yields within `yield_s`, before which neither claims. A claim that is newer than ours gets `settle_s`, in which
it mostly turns out to be no contradiction. Whoever is marked and is master all the same after that time does not
claim again beside one that is alive: its label stays `unknown`, an annotation says that it is contested, and both
report a split brain until it is over. One that was cut off and comes back as master hears the other on the wire,
which has to yield: then it claims again as soon as that one's label is gone. The other may yield unheard: then it
claims again `yield_s` after that one took its label off itself, in which our own engine may report otherwise.
"""

import time
from collections.abc import Callable
from logging import ERROR, INFO, WARNING

from msgspec import Struct, field

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.client import ApiError, Timing
from carpsidecar.reporter.kubernetes.objects import ANNOTATIONS, ROLE_LABEL, Pod
from carpsidecar.reporter.kubernetes.pod_status import CONTESTED, UNKNOWN, in_rfc3339, is_alive, unknown
from carpsidecar.reporter.kubernetes.status_writer import StatusWriter
from carpsidecar.status.stats import ApiStats

SILENT = ("no advertisement from the master", "the master is silent, and nobody answers for the address")
"""The engine's reasons for a takeover from a master that can't take its own label off."""

Report = Callable[[str, str], None]
"""Takes a group and a text."""


class _Term(Struct):
    """Our time as master of a group; `began_at` is on the monotonic clock, as we heard of it."""

    since: str
    began_at: float
    was_silent: bool
    listed: bool = False
    """Whether the server was asked for claims, since the cache may be late."""
    doubted_at: float | None = None
    """When we learned that we may have been cut off, so that what the watch shows of the others may be old."""
    unmarkable: set[str] = field(default_factory=set)
    """The uids of pods whose mark the server refuses."""


class Masters:
    """Args:
    list_claims: the pods that carry this label as master, by the server; raises ApiError.
    report: of a split brain.
    """

    def __init__(
        self,
        cache: Cache,
        stats: ApiStats,
        writer: StatusWriter,
        timing: Timing,
        list_claims: Callable[[str], list[Pod]],
        report: Report,
    ) -> None:
        self._cache = cache
        self._stats = stats
        self._writer = writer
        self._timing = timing
        self._list_claims = list_claims
        self._report = report
        self._terms: dict[str, _Term] = {}
        self._seen_at: dict[tuple[str, str, str], float] = {}
        """When others' claims were first seen: by uid, group and since when they claim it."""
        self._marked_at: dict[str, float] = {}
        """When our own pod was first seen to be marked, by group."""
        self._outranked: dict[str, tuple[float, float]] = {}
        """When each group last heard another master that has to yield: by the engine's clock, and by ours."""
        self._yielded_at: dict[str, float] = {}
        """When another one took its claim off itself, by group."""

    def observe(self, now: float) -> None:
        """With the lock held: something in the cache has changed."""
        cache = self._cache
        masters = [group for group in cache.groups if group.role == "master"]
        self._terms = {group.group: self._term(group, now) for group in masters}
        seen_at = {
            claim: self._seen_at.get(claim, now)
            for name, suffix in cache.suffixes.items()
            for claim in ((pod.uid, name, _since(pod, suffix)) for pod in self._claims_of_others(name))
        }
        for uid, name, _ in self._seen_at.keys() - seen_at.keys():
            if any(pod.uid == uid and self._gave_up(pod, name) for pod in cache.others):
                self._yielded_at[name] = now
                if name in self._terms:
                    self._terms[name].listed = False
        self._seen_at = seen_at
        own = cache.own
        marked = [name for name in self._terms if own is not None and cache.role_of(own, name) == UNKNOWN]
        self._marked_at = {name: self._marked_at.get(name, now) for name in marked}
        for name in self._terms:
            rivals = [pod for pod in cache.others if self._is_contested(pod, name)]
            if self._settled(name, now):
                rivals += self._claims_of_others(name)
            self._split(name, rivals)
        for name in self._stats.split_brain - self._terms.keys():
            self._split(name, [])

    def outranks(self, group: GroupSnapshot, now: float) -> bool:
        """With the lock held: whether the group has just heard another master that has to yield to it."""
        at_s, before = group.outranked_s, self._outranked.get(group.group)
        if at_s is None or (before is not None and before[0] == at_s):
            return False
        self._outranked[group.group] = at_s, now - max(0.0, time.time() - at_s)
        if (term := self._terms.get(group.group)) is not None:
            term.listed, term.doubted_at = False, now
        return True

    def settle_in_s(self, now: float) -> float:
        """With the lock held: seconds until our own marked pod may be written, none where it is 0 or less; infinite
        while the engine is silent.

        A machine that slept must first learn whether it still is master.
        """
        if self._marked_at and not self._cache.engine_alive():
            return float("inf")
        return max((self._settled_at(name) - now for name in self._marked_at), default=0.0)

    @property
    def returns(self) -> bool:
        """With the lock held: whether our own pod is marked, rightly, by one that has yielded since."""
        now = time.monotonic()
        return any(
            self._settled_at(name) <= now < at + self._timing.settle_s for name, at in self._marked_at.items()
        )

    def _settled_at(self, name: str) -> float:
        """From when on our own marked pod may be written; sooner where the one that marked us has yielded."""
        marked_at, settle_s = self._marked_at[name], self._timing.settle_s
        if self._claims_of_others(name):
            return marked_at + settle_s
        _, outranked_at = self._outranked.get(name, (0.0, float("-inf")))
        if outranked_at > marked_at - settle_s:
            return marked_at
        if (yielded_at := self._yielded_at.get(name, float("-inf"))) >= marked_at:
            return min(yielded_at + self._timing.yield_s, marked_at + settle_s)
        return marked_at + settle_s

    def contested(self, now: float) -> dict[str, str]:
        """With the lock held: the groups in which we do not claim beside another, with who it is."""
        return {
            name: f"{', '.join(_who(pod) for pod in pods)} claims it too"
            for name in self._terms
            if self._settled(name, now) and (pods := [pod for pod in self._claims_of_others(name) if is_alive(pod)])
        }

    def clear_claims(self) -> tuple[float | None, bool]:
        """Take the label off those that must not have it beside us, before we have it or since.

        Returns: seconds after which to come again, None when it is done; and whether a claim of ours waits for it.

        Raises: ApiError.
        """
        while True:
            with self._cache.lock:
                now, own = time.monotonic(), self._cache.own
                if own is None or self._cache.stopping:
                    return None, False
                doubted = next((one for one in self._terms.items() if one[1].doubted_at is not None), None)
                due = [
                    (self._due_at(pod, name, term), name, pod)
                    for name, term in self._terms.items()
                    for pod in self._claims_of_others(name)
                    if pod.uid not in term.unmarkable and not (name in self._marked_at and is_alive(pod))
                ]
                due_at, name, pod = min(due, key=lambda one: one[0], default=(now, "", own))
                wait_s, unlisted = due_at - now, self._unlisted(own)
                waits = bool(due) and not all(self.has_claimed(own, one[1]) for one in due)
            if doubted is not None:
                if not self._read_anew(*doubted, own):
                    return self._timing.handover_s / 2, True
            elif due and wait_s <= 0:
                self._mark(pod, name, own)
            elif unlisted is not None:
                self._list(*unlisted)
            elif due:
                return wait_s, waits
            else:
                wait_s = self._may_yield_s(own)
                return (wait_s, True) if wait_s > 0 else (None, False)

    def has_claimed(self, own: Pod, name: str) -> bool:
        """With the lock held: whether our label of this term is written."""
        term = self._terms.get(name)
        return (
            term is not None
            and self._cache.role_of(own, name) == "master"
            and _since(own, self._cache.suffixes[name]) == term.since
        )

    def hands_over(self, name: str, now: float) -> bool:
        """Whether the former master may yet take its labels off itself."""
        with self._cache.lock:
            term = self._terms.get(name)
            return term is not None and not term.was_silent and now < term.began_at + self._timing.handover_s

    def _may_yield_s(self, own: Pod) -> float:
        """For how long a takeover of ours may yet turn out to be one of two."""
        with self._cache.lock:
            now = time.monotonic()
            unclaimed = [term for name, term in self._terms.items() if not self.has_claimed(own, name)]
            return max((term.began_at + self._timing.yield_s - now for term in unclaimed), default=0.0)

    def _unlisted(self, own: Pod) -> tuple[_Term, str] | None:
        """A term whose claim is to be written, and its label."""
        for name, term in self._terms.items():
            may_claim = name not in self._marked_at or self._settled_at(name) <= time.monotonic()
            if not term.listed and may_claim and not self.has_claimed(own, name):
                return term, ROLE_LABEL + self._cache.suffixes[name]
        return None

    def _read_anew(self, name: str, term: _Term, own: Pod) -> bool:
        """Whether the watch is enough from now on, for the one that has to yield to us has, or does not.

        Raises: ApiError.
        """
        with self._cache.lock:
            if self._terms.get(name) is not term:
                return True
            pods = [*self._claims_of_others(name), *(() if name in self._marked_at else (own,))]
            label = ROLE_LABEL + self._cache.suffixes[name]
        for pod in pods:
            self._writer.read(self._cache.carp_pods, pod)
        self._list(term, label)
        with self._cache.lock:
            has_yielded = name not in self._marked_at or not self._claims_of_others(name)
            if has_yielded or time.monotonic() >= (term.doubted_at or 0.0) + self._timing.settle_s:
                term.doubted_at = None
            return term.doubted_at is None

    def _list(self, term: _Term, label: str) -> None:
        """Raises: ApiError."""
        pods = self._list_claims(label)
        with self._cache.lock:
            for pod in pods:
                self._cache.carp_pods.put(pod)
            self.observe(time.monotonic())
            # Also where this has shown that another one yielded.
            term.listed = True

    def _mark(self, pod: Pod, name: str, own: Pod) -> None:
        """Raises: ApiError."""
        with self._cache.lock:
            term = self._terms.get(name)
            if term is None:
                return
            desired = unknown(pod, self._cache.suffixes[name], f"{_who(own)} became master", time.time())
        try:
            after = self._writer.write(self._cache.carp_pods, pod, desired)
        except ApiError as error:
            patience_is_over = time.monotonic() > term.began_at + self._timing.settle_s
            if error.failure == "conflict" or error.of_all or not patience_is_over:
                raise
            # Better two labels than none.
            term.unmarkable.add(pod.uid)
            log(WARNING, "mark_failed", f"{_who(pod)} claims master, too, and can't be marked: {error}", group=name)
        else:
            if after is not None:
                log(INFO, "marked_unknown", f"{_who(pod)} claimed master, too: it is marked", group=name)
        finally:
            with self._cache.lock:
                self.observe(time.monotonic())

    def _term(self, group: GroupSnapshot, now: float) -> _Term:
        since = in_rfc3339(group.since_s)
        before = self._terms.get(group.group)
        if before is not None and before.since == since:
            return before
        return _Term(since, now, was_silent=group.reason in SILENT)

    def _due_at(self, pod: Pod, name: str, term: _Term) -> float:
        """When this claim may be marked."""
        since = _since(pod, self._cache.suffixes[name])
        seen_at = self._seen_at.get((pod.uid, name, since), term.began_at)
        if seen_at < term.began_at:
            # Clocks of two nodes may differ; what was seen before our term began is older all the same.
            return term.began_at if term.was_silent else term.began_at + self._timing.handover_s
        if (since, pod.name) < (term.since, self._cache.settings.pod_name):
            return seen_at if term.was_silent else seen_at + self._timing.handover_s
        return seen_at + self._timing.settle_s

    def _settled(self, name: str, now: float) -> bool:
        """Whether our own pod was marked so long ago that we know better, and are master."""
        marked_at = self._marked_at.get(name)
        return marked_at is not None and now >= marked_at + self._timing.settle_s and self._cache.engine_alive()

    def _claims_of_others(self, name: str) -> list[Pod]:
        return [pod for pod in self._cache.others if self._cache.role_of(pod, name) == "master"]

    def _gave_up(self, pod: Pod, name: str) -> bool:
        """Whether it is no master by its own word."""
        return name in self._cache.suffixes and self._cache.role_of(pod, name) == "backup"

    def _is_contested(self, pod: Pod, name: str) -> bool:
        return (
            self._cache.role_of(pod, name) == UNKNOWN
            and f"{ANNOTATIONS}{CONTESTED}{self._cache.suffixes[name]}" in pod.annotations
        )

    def _split(self, name: str, rivals: list[Pod]) -> None:
        if not rivals and name in self._stats.split_brain:
            self._stats.split_brain = self._stats.split_brain - {name}
            log(INFO, "split_brain_over", "there is one master again", group=name)
        elif rivals and name not in self._stats.split_brain:
            self._stats.split_brain = self._stats.split_brain | {name}
            whom = ", ".join(sorted(map(_who, rivals)))
            text = f"two masters: {whom} claims it too. Do the nodes hear each other, with one passphrase?"
            log(ERROR, "split_brain", text, group=name)
            self._report(name, text)


def _who(pod: Pod) -> str:
    return f"{pod.name} on {pod.node}"


def _since(pod: Pod, suffix: str) -> str:
    return pod.annotations.get(f"{ANNOTATIONS}since{suffix}", "")
