"""Two members that do not hear each other's advertisements, since vhid or passphrase differ, want the same address.

They start at about the same moment: neither has it when the other asks. Where no packet is lost they never both
hold it; where some are, no longer than until one has asked once more. In the end one of them has it.
"""

import random
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from carpsidecar.member.claim_guard import CONFIRM_MIN_S, CONFIRM_SPREAD_S, CONFIRMATIONS, ClaimGuard
from carpsidecar.protocol.auth import Accepted, CompatibleAuth
from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.receiver import Receiver
from tests.simulation.engine import VHID, VIPS
from tests.simulation.invariants import Broken, Monitor
from tests.simulation.node import Node
from tests.simulation.world import Weather, World

WORLDS = 200
LATENCY_S, DELAY_S = 0.001, 0.001
CONFIRMED_S = CONFIRMATIONS * (CONFIRM_MIN_S + CONFIRM_SPREAD_S) + 0.05
STEP_S = 0.001


class Alone(Node):
    """Its passphrase is its own."""

    def boot(self) -> None:
        super().boot()
        self._authenticator = CompatibleAuth(VHID, [Accepted(bytes((65 + self.index,)), VIPS)], 0)
        self._receiver = Receiver()
        self._receiver.add(VHID, self._authenticator)


@dataclass
class Outcome:
    both_s: float
    holders: int


def live(seed: int, loss: float) -> Outcome:
    """Ten seconds of two or three rivals."""
    rng = random.Random(seed)
    world = World(str(seed), Weather(DELAY_S / 2, DELAY_S), latency_s=LATENCY_S)
    world.weather = Weather(DELAY_S / 2, DELAY_S, loss)
    world.monitor = Monitor(world)
    advskew = rng.choice((0, 100))
    for index, number in enumerate(rng.sample(range(1, 250), rng.choice((2, 2, 3)))):
        settings = Settings(1, advskew + rng.choice((0, 0, 1, 5)))
        world.nodes.append(Alone(world, index, settings, [IPv4Address(f"192.0.2.{number}")]))
    for node in world.nodes:
        world.at(rng.uniform(0, 0.03), node.boot)
    both_s = 0.0
    while world.now < 10:
        world.run_until(world.now + STEP_S)
        both_s += STEP_S * (sum(node.answers for node in world.nodes) > 1)
    return Outcome(both_s, sum(node.answers for node in world.nodes))


def test_where_no_packet_is_lost_two_never_hold_it() -> None:
    for seed in range(WORLDS):
        assert live(seed, 0.0) == Outcome(0.0, 1), seed


def test_where_packets_are_lost_one_gives_it_back() -> None:
    for seed in range(WORLDS):
        outcome = live(seed, 0.05)
        assert outcome.both_s <= CONFIRMED_S, seed
        assert outcome.holders <= 1, seed


def _two_hold_it(loss: float) -> bool:
    """Longer than they may, in one of the worlds."""
    for seed in range(WORLDS):
        try:
            if live(seed, loss).both_s > (CONFIRMED_S if loss else 0.0):
                return True
        except Broken:
            return True
    return False


def test_without_a_rank_two_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClaimGuard, "wanted", lambda self, now, rank: False)
    assert _two_hold_it(0.0)


def test_unless_it_is_asked_for_once_more_two_go_on_holding_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClaimGuard, "taken", lambda self, now: None)
    assert _two_hold_it(0.05)
