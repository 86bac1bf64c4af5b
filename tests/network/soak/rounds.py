"""Round after round in one network: faults at random times, all undone, then peace; each judged when it is over."""

import itertools
import random
import threading
import time
from collections.abc import Iterator

from carpsidecar.lab.outages import PATIENCE_S, Outage, Question
from carpsidecar.lab.probe import Probe
from tests.network.soak.facts import Facts, Kind, Trouble
from tests.network.soak.faults import Fault, choose
from tests.network.soak.health import Health
from tests.network.soak.judge import Violation, double_holdings, judge, peace_from
from tests.network.soak.lab import SoakLab
from tests.network.soak.report import Tally, described, say
from tests.network.soak.scene import ALLOWANCE_S, ARP_ALLOWANCE_S, ARP_ASKED_ANEW_S
from tests.support.answers import AnswerWatch

_PROBE_EVERY_S = 0.005
_VIOLATIONS_MAX = 20


class Soak:
    """Args: lab: entered already; ending: set when time is up, or somebody gives up."""

    def __init__(self, lab: SoakLab, seed: int, rng: random.Random, ending: threading.Event) -> None:
        self.tally = Tally(lab.scene.name)
        self._lab = lab
        self._scene = lab.scene
        self._seed = seed
        self._rng = rng
        self._ending = ending
        self._health = Health()
        self._begun = time.monotonic()

    def run(self, minutes: float) -> Tally:
        until = self._begun + minutes * 60
        self._round(first=True)
        while time.monotonic() < until and not self._ending.is_set():
            if len(self.tally.violations) >= _VIOLATIONS_MAX:
                say(f"{self._scene.name}: gives up after {_VIOLATIONS_MAX} violations")
                break
            self._round()
        return self.tally

    def _round(self, first: bool = False) -> None:
        facts = Facts(time.monotonic())
        with (
            Probe(self._lab.client, self._scene.vip, _PROBE_EVERY_S) as probe,
            AnswerWatch(self._lab.asker, self._lab.nodes, self._scene.vip, _PROBE_EVERY_S) as answers,
        ):
            self._lab.note_settings(facts)
            if first:
                self._lab.start()
            else:
                holders = self._lab.watch.holders_now()
                holder = min(holders) if len(holders) == 1 else None
                self._perform(choose(self._rng, self._scene, holder), facts)
            facts.healed = time.monotonic()
            self._lab.note_settings(facts)
            quiet_from = peace_from(self._scene, facts) + self._arp_allowance_s(facts)
            self._wait_until(quiet_from + self._rng.uniform(*self._scene.quiet_s))
            facts.end = time.monotonic()
            facts.changes = self._lab.watch.changes
            facts.answers = {
                name: [(span.start, span.end) for span in answers.spans(name)] for name in self._scene.names
            }
            if self._ending.is_set():
                return
            quiet_from = max(quiet_from, peace_from(self._scene, facts))
            found = [*judge(self._scene, facts), *self._client(probe, facts, quiet_from)]
        found += [Violation(facts.end, text) for text in self._health.complaints(self._lab.machines.values())]
        self._count(facts)
        where = f"in round {self.tally.rounds} of {self._scene.name}, seed {self._seed}"
        for violation in found:
            text = described(self._lab, facts, violation, self._begun, where)
            self.tally.violations.append(text)
            say(text)

    def _perform(self, faults: list[Fault], facts: Facts) -> None:
        begin = time.monotonic()
        events = [(fault.begin_s, False, fault) for fault in faults]
        events += [(fault.begin_s + fault.length_s, True, fault) for fault in faults]
        troubles: dict[Fault, Trouble] = {}
        for at_s, is_end, fault in sorted(events, key=lambda event: event[:2]):
            self._wait_until(begin + at_s)
            if is_end:
                self._lab.undo(fault, troubles[fault], facts)
            else:
                troubles[fault] = self._lab.strike(fault, facts)

    def _arp_allowance_s(self, facts: Facts) -> float:
        """A master that was deaf did not notice who else had announced itself, and does not announce anew."""
        deaf = {node for trouble in facts.troubles if trouble.kind is Kind.DEAF for node in trouble.nodes}
        return ARP_ASKED_ANEW_S if deaf & self._lab.watch.holders_now() else ARP_ALLOWANCE_S

    def _wait_until(self, at: float) -> None:
        self._ending.wait(max(0.0, at - time.monotonic()))

    def _client(self, probe: Probe, facts: Facts, since: float) -> Iterator[Violation]:
        """In peace the client is answered, and by the holder."""
        until = facts.end - PATIENCE_S
        asked = [q for q in probe.questions if since <= q.sent_at <= until]
        self.tally.waited_s = max([self.tally.waited_s, *(question.waited_s for question in probe.questions)])
        outages = probe.outages(since, until)
        self.tally.outage_s = max(self.tally.outage_s, _longest_s(probe.outages(facts.begin, since)))
        for outage in outages:
            in_vain_s = _asked_in_vain_s(outage, asked)
            self.tally.quiet_outage_s = max(self.tally.quiet_outage_s, in_vain_s)
            if in_vain_s > ALLOWANCE_S:
                yield Violation(
                    outage.start, f"no answer for {in_vain_s:.3f} s in a network at peace: {_end(outage, asked)}"
                )
        holders = facts.holders(since)
        wrong = next((q for q in asked if q.answered_by and q.answered_by not in holders), None)
        if wrong:
            yield Violation(wrong.sent_at, f"{wrong.answered_by} answers, and {holders} holds the address")
        if not asked:
            yield Violation(since, "the client asked nothing")

    def _count(self, facts: Facts) -> None:
        tally = self.tally
        tally.rounds += 1
        tally.quiet_periods += 1
        tally.quiet_s += facts.end - peace_from(self._scene, facts)
        tally.faults.update(str(trouble.kind) for trouble in facts.troubles)
        tally.memory_grown_mb = self._health.memory_grown_mb
        for _, _, category, (start, end) in double_holdings(facts, facts.answers):
            tally.double_s[category] = max(tally.double_s.get(category, 0.0), end - start)


def _asked_in_vain_s(outage: Outage, asked: list[Question]) -> float:
    """The outage without the time in which the client, for want of a processor, asked nothing."""
    times = [*(q.sent_at for q in asked if outage.start <= q.sent_at < outage.end), outage.end]
    return sum(min(later - earlier, 2 * _PROBE_EVERY_S) for earlier, later in itertools.pairwise(times))


def _end(outage: Outage, asked: list[Question]) -> str:
    """What became of the questions: those that wait for ARP are answered late, those that go astray never."""
    unanswered = [q for q in asked if outage.start <= q.sent_at < outage.end]
    late = [q for q in unanswered if q.answered_at is not None]
    return f"{len(unanswered)} questions, of which {len(late)} were answered later"


def _longest_s(outages: list[Outage]) -> float:
    return max((outage.duration_s for outage in outages), default=0.0)
