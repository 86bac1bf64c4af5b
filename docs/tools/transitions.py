"""The transitions of an election, found by trying: every order of events up to a length, on the real class."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address
from itertools import groupby

from carpsidecar.protocol.effects import BOW_OUT, Addresses, Become, Effect, Effects, Reason, Settings, State
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.timing import BOW_OUT_ADVBASE, BOW_OUT_ADVSKEW

EVENTS_MAX = 4
"""The longest story: it starts, hears a master, hears it bow out, and takes over."""

_OURS, _PEER = IPv4Address("192.0.2.12"), IPv4Address("192.0.2.11")
_SETTINGS = Settings(advskew=100, preempt=True)
_APART_S = 0.01
_LONG_S = 60.0


Way = tuple[State, State]
"""From one state to another."""


@dataclass(frozen=True, slots=True)
class Transition:
    """From one state to another, for a reason; `effects` is what is done on the way, in words."""

    before: State
    after: State
    reason: Reason
    effects: tuple[str, ...]


@cache
def transitions() -> tuple[Transition, ...]:
    """All that are found, in the order of the states and reasons as the code has them."""
    found: set[Transition] = set()
    _explore(Election(_SETTINGS, _OURS), 0.0, EVENTS_MAX, found)
    states, reasons = list(State), list(Reason)

    def in_order(one: Transition) -> tuple[int, ...]:
        return states.index(one.before), states.index(one.after), reasons.index(one.reason)

    return tuple(sorted(found, key=in_order))


def ways(found: Sequence[Transition]) -> dict[Way, list[str]]:
    """What the drawing says of each: the reasons, and after those that share it, what is done."""
    grouped = groupby(found, key=lambda one: (one.before, one.after))
    return {way: _label(list(on_the_way)) for way, on_the_way in grouped}


def _label(found: Sequence[Transition]) -> list[str]:
    lines: list[str] = []
    effects_first = sorted(found, key=lambda one: one.effects)
    for effects, reasons in groupby(effects_first, key=lambda one: one.effects):
        lines += [one.reason.value for one in reasons]
        if effects:
            lines.append("→ " + ", ".join(effects))
    return lines


def _explore(election: Election, now: float, events_left: int, found: set[Transition]) -> None:
    for event in _EVENTS:
        # The timer rings when it was asked to, and far too late; all else comes at any time.
        deadline = election.deadline if event is Election.timer_expired else None
        for at in [now] if deadline is None else [deadline, deadline + _LONG_S]:
            tried = copy.deepcopy(election)
            effects = event(tried, at)
            for became in effects:
                if isinstance(became, Become):
                    done = tuple(_word(effect) for effect in effects if not isinstance(effect, Become))
                    found.add(Transition(election.state, became.state, became.reason, done))
            if events_left > 1:
                _explore(tried, at + _APART_S, events_left - 1, found)


def _word(effect: Effect) -> str:
    if isinstance(effect, Addresses):
        return effect.value
    return "bow out" if effect == BOW_OUT else "advertise"


def _start(election: Election, now: float) -> Effects:
    return election.start(now, link_up=True) if election.state is State.INIT else ()


def _heard(advbase: int, advskew: int, demotion: int = 0) -> Callable[[Election, float], Effects]:
    return lambda election, now: election.advertisement_received(now, advbase, advskew, demotion, _PEER)


_EVENTS: tuple[Callable[[Election, float], Effects], ...] = (
    _start,
    Election.stop,
    lambda election, now: election.link_changed(now, up=False),
    lambda election, now: election.link_changed(now, up=True),
    Election.timer_expired,
    # A better master, a worse one, one that is too slow, one that is demoted, one that leaves.
    _heard(1, 0),
    _heard(1, 200),
    _heard(20, 0),
    _heard(1, 0, demotion=1),
    _heard(BOW_OUT_ADVBASE, BOW_OUT_ADVSKEW),
    Election.master_gone,
    lambda election, now: election.address_in_use(now, _APART_S),
    Election.promote,
    lambda election, now: election.step_down(now, Reason.STEP_DOWN),
    lambda election, now: election.step_down(now, Reason.DEMOTED),
)
"""What can happen to a node: each kind that the election tells apart."""
