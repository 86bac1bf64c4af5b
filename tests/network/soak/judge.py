"""The contract of `tests.support.contract`, checked from outside on what was recorded of a round.

A node that was stopped or lost its cable has lost the address at once; and in peace the holder is the right one,
and nothing changes any more. All with an allowance for a loaded machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from carpsidecar.lab.holders import Change
from tests.network.soak.facts import DEAD, Facts, Kind, Span, Trouble, overlap, pieces
from tests.network.soak.scene import ALLOWANCE_S, Scene
from tests.support.contract import both_hold_max_s, gone_within_s

WELL = "both well, and they hear each other"
GONE = "one is dead or hangs"
PARTED = "they can't hear each other, or were just set anew"

_ASK_TAKES_S = 0.05


@dataclass(frozen=True)
class Violation:
    at: float
    text: str


def judge(scene: Scene, facts: Facts) -> Iterator[Violation]:
    yield from _two_holders(facts)
    yield from _holders_that_are_gone(facts)
    if scene.is_fenced:
        yield from _answers_of_the_dead(facts)
    yield from _a_death_alone(scene, facts)
    yield from _peace(scene, facts)


def double_holdings(
    facts: Facts, holdings: Mapping[str, Sequence[Span]] | None = None
) -> Iterator[tuple[str, str, str, Span]]:
    """Each time that two held the address: which, the category, and the span.

    Args:
        holdings: when each node did; where not given, as its kernel had the address.
    """
    holdings = facts.holdings() if holdings is None else holdings
    for one, other in combinations(sorted(holdings), 2):
        troubles = [t for t in facts.troubles if t.strikes(one, other)]
        for first in holdings[one]:
            for second in holdings[other]:
                both = overlap(first, second)
                for span, active in pieces(both, troubles) if both else ():
                    yield one, other, _category(active), span


def _category(active: list[Trouble]) -> str:
    if not active:
        return WELL
    return GONE if any(t.kind in DEAD for t in active) else PARTED


def _two_holders(facts: Facts) -> Iterator[Violation]:
    for one, other, category, (start, end) in double_holdings(facts):
        bound_s = both_hold_max_s(facts.intervals_s[one], facts.intervals_s[other], ALLOWANCE_S)
        if category is WELL and end - start > bound_s:
            yield Violation(
                start, f"{one} and {other} hear each other, and both held the address for {end - start:.3f} s"
            )


def _holders_that_are_gone(facts: Facts) -> Iterator[Violation]:
    holdings = facts.holdings()
    for trouble in facts.troubles:
        for node in trouble.nodes:
            if trouble.kind in (Kind.KILL, Kind.HANG):
                bound_s = gone_within_s(facts.lifetimes_s[node], ALLOWANCE_S)
            elif trouble.kind is Kind.STOP or (trouble.kind is Kind.CABLE and not _dies(facts, node)):
                bound_s = ALLOWANCE_S
            else:
                continue
            since = max(trouble.begin, trouble.struck) if trouble.kind is Kind.CABLE else trouble.begin
            late = (since + bound_s + trouble.waited_s, min(trouble.undone_from, facts.end))
            for span in holdings[node]:
                if late[0] < late[1] and (found := overlap(span, late)):
                    lasted_s = found[1] - trouble.begin
                    yield Violation(found[0], f"{trouble}, and held the address {lasted_s:.3f} s later")


def _answers_of_the_dead(facts: Facts) -> Iterator[Violation]:
    """An address may stand on the interface of one that is dead, but nobody hears of it."""
    for trouble in facts.troubles:
        for node in trouble.nodes if trouble.kind in (Kind.KILL, Kind.HANG) else ():
            begin = trouble.struck + facts.silent_s[node] + ALLOWANCE_S
            for span in facts.answers[node]:
                if found := overlap(span, (begin, min(trouble.undone_from, facts.end))):
                    lasted_s = found[1] - trouble.struck
                    yield Violation(found[0], f"{trouble}, and answered for the address {lasted_s:.3f} s later")


def _dies(facts: Facts, node: str) -> bool:
    return any(node in t.nodes and t.kind in DEAD for t in facts.troubles)


def _a_death_alone(scene: Scene, facts: Facts) -> Iterator[Violation]:
    """Then two never have the address. Fenced, it may stand on two interfaces, but one answers for it."""
    if not (scene.is_fenced or scene.outlives_its_lease) or len(facts.troubles) != 1:
        return
    (trouble,) = facts.troubles
    if trouble.kind not in (Kind.KILL, Kind.HANG):
        return
    for one, other, _, span in double_holdings(facts, facts.answers if scene.is_fenced else None):
        if not trouble.nodes & {one, other}:
            continue  # two that live and claim at the same moment: on a busy machine one is late, as above
        # What a fence protects against is backups as patient as its owner. A better one that was asked to step down
        # is backup behind a worse one, and where advbase is 0 it waits for less.
        if scene.is_fenced and _is_less_patient(facts, one, other, trouble.nodes):
            continue
        if found := overlap(span, (trouble.begin, trouble.undone_from)):
            lasted_s = found[1] - found[0]
            yield Violation(
                found[0],
                f"{trouble} and nothing else, yet {one} and {other} shared the address for {lasted_s:.3f} s",
            )


def _is_less_patient(facts: Facts, one: str, other: str, dead: frozenset[str]) -> bool:
    """Whether the one of these two that lives waits for less than the dead one promised to be silent after."""
    (survivor,) = {one, other} - dead
    (gone,) = dead
    return facts.silent_s[survivor] < facts.silent_s[gone]


def right_holders(facts: Facts) -> set[str]:
    """Whom nobody else would take the address from: no better one, but such as were asked to step down."""
    stepped_down = {node for node, at in facts.asked.items() if not _held_since(facts, node, at + _ASK_TAKES_S)}
    best = min((s for node, s in facts.advskews.items() if node not in stepped_down), default=256)
    return {node for node, advskew in facts.advskews.items() if advskew <= best}


def _held_since(facts: Facts, node: str, at: float) -> bool:
    return any(c.node == node and c.held and at < c.at <= facts.end for c in facts.changes)


def peace_from(scene: Scene, facts: Facts) -> float:
    """From when on nothing changes any more, as far as is known by now."""
    at = facts.healed + scene.settled_within_s(list(facts.advskews.values()))
    taken = [c.at for c in facts.changes if c.held and at < c.at <= facts.end and _may_take_back(scene, facts, c)]
    return max(taken) + scene.interval_s(scene.advskew_max) + ALLOWANCE_S if taken else at


def _may_take_back(scene: Scene, facts: Facts, change: Change) -> bool:
    """One that was asked to step down waits behind a worse master, and takes over when that one is silent. Where
    advbase is 0 it may wait for hardly longer than that one's interval, which a busy test machine makes longer.
    """
    slowest_s = max(map(scene.interval_s, facts.advskews.values()))
    return change.node in facts.asked and scene.master_down_s(facts.advskews[change.node]) < slowest_s + ALLOWANCE_S


def _peace(scene: Scene, facts: Facts) -> Iterator[Violation]:
    at = peace_from(scene, facts)
    waited_s = at - facts.healed
    holders, right = facts.holders(at), right_holders(facts)
    names = " and ".join(sorted(holders)) or "nobody"
    if len(holders) != 1:
        yield Violation(at, f"{waited_s:.3f} s after the last fault {names} holds the address, and not one")
    elif not holders <= right:
        yield Violation(
            at, f"{waited_s:.3f} s after the last fault {names} holds the address: wrong, {facts.advskews}"
        )
    for change in facts.changes:
        if at < change.at <= facts.end:
            what = "took" if change.held else "lost"
            yield Violation(change.at, f"{change.node} {what} the address in a network at peace")
