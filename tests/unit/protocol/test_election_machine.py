"""Any events in any order at any times: what the election promises its engine, always.

Hypothesis plays the network, the link, the timer and the people; the machine plays the engine.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from carpsidecar.protocol.effects import Addresses, Advertise, Become, Effects, Reason, Settings, State
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timing import master_down_ticks
from tests.unit.protocol.peers import BOW_OUT, HIGHER, LOWER, OURS

BYTE = st.integers(0, 255)
GROUP_SETTINGS = st.builds(Settings, st.integers(0, 5), BYTE, st.integers(2, 6), st.booleans())
ELAPSED_S = st.one_of(st.just(0.0), st.floats(0, 0.01), st.floats(0, 3), st.floats(0, 1000))
ADVSKEW_MAX = 255


class ElectionMachine(RuleBasedStateMachine):
    """An engine that performs every effect, and checks the order in which they come."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.held = False
        self.shown = State.INIT
        self.promoted = False

    @initialize(group=GROUP_SETTINGS, link_up=st.booleans())
    def begin(self, group: Settings, link_up: bool) -> None:
        self.election = Election(group, OURS)
        self._perform(self.election.start(self.now, link_up))

    # Events.

    @rule(elapsed_s=ELAPSED_S)
    def time_passes(self, elapsed_s: float) -> None:
        self.now += elapsed_s

    @rule()
    def timer_runs(self) -> None:
        self._perform(self.election.timer_expired(self.now))
        assert self.election.deadline is None or self.election.deadline >= self.now

    @rule(late_s=st.floats(0, 0.1))
    def timer_runs_when_it_is_due(self, late_s: float) -> None:
        if self.election.deadline is not None:
            self.now = max(self.now, self.election.deadline + late_s)
            self.timer_runs()

    @rule(advbase=BYTE, advskew=BYTE, demotion=st.sampled_from([0, 0, 0, 1, 255]), lower=st.booleans())
    def somebody_advertises(self, advbase: int, advskew: int, demotion: int, lower: bool) -> None:
        self._hear(advbase, advskew, demotion, LOWER if lower else HIGHER)

    @rule(more=st.sampled_from([-1, 0, 1]), lower=st.booleans())
    def a_near_equal_advertises(self, more: int, lower: bool) -> None:
        advskew = min(255, max(0, self.election.advskew + more))
        self._hear(self.election.settings.advbase, advskew, 0, LOWER if lower else HIGHER)

    @rule(lower=st.booleans())
    def somebody_bows_out(self, lower: bool) -> None:
        self._hear(255, 255, 0, LOWER if lower else HIGHER)

    @rule(up=st.booleans())
    def link_changes(self, up: bool) -> None:
        self._perform(self.election.link_changed(self.now, up))

    @rule(demotion=st.integers(0, 500))
    def demotion_changes(self, demotion: int) -> None:
        self._perform(self.election.demotion_changed(self.now, demotion))

    @rule(group=GROUP_SETTINGS)
    def settings_change(self, group: Settings) -> None:
        self._perform(self.election.configure(self.now, group))

    @rule(reason=st.sampled_from([Reason.STEP_DOWN, Reason.DEMOTED]))
    def steps_back(self, reason: Reason) -> None:
        effects = self.election.step_down(self.now, reason)
        assert not effects or list(effects[:2]) == [BOW_OUT, Addresses.RELEASE]
        self._perform(effects)
        assert self.election.state is not State.MASTER

    @rule()
    def is_promoted(self) -> None:
        was, promotion_blocker = self.election.state, self.election.promotion_blocker
        effects = self.election.promote(self.now)
        self._perform(effects)
        assert bool(effects) == (was is State.BACKUP and promotion_blocker is None)
        assert (self.election.state is State.MASTER) == (promotion_blocker is None)

    @rule(demotion=st.sampled_from([0, 240]))
    def sends_go_well_or_not(self, demotion: int) -> None:
        self.election.demotion = demotion

    @rule()
    def engine_finds_the_lease_missed(self) -> None:
        self._perform(self.election.lease_missed(self.now))
        assert self.election.state is not State.MASTER

    @rule()
    @precondition(lambda self: self.shown is not State.INIT)
    def stops(self) -> None:
        effects = self.election.stop(self.now)
        assert (BOW_OUT in effects) == self.held
        self._perform(effects)
        assert self.election.state is State.INIT

    @rule(link_up=st.booleans())
    @precondition(lambda self: self.shown is State.INIT)
    def starts_again(self, link_up: bool) -> None:
        self._perform(self.election.start(self.now, link_up))

    # What must hold.

    @invariant()
    def the_state_is_the_one_that_was_said(self) -> None:
        assert self.election.state is self.shown

    @invariant()
    def the_address_is_held_by_a_master_and_nobody_else(self) -> None:
        assert self.held == (self.election.state is State.MASTER)

    @invariant()
    def a_master_advertises_before_its_lease_ends(self) -> None:
        if self.election.state is State.MASTER:
            assert self.election.deadline is not None
            assert self.election.deadline < self.election.lease_until

    @invariant()
    def a_backup_waits_no_longer_than_its_patience(self) -> None:
        if self.election.state is State.BACKUP:
            assert self.election.deadline is not None
            assert self.election.deadline <= self.now + self._longest_patience_s

    @invariant()
    def nothing_is_due_in_init(self) -> None:
        assert self.election.state is not State.INIT or self.election.deadline is None

    @invariant()
    def advskew_is_a_byte_and_only_a_promotion_lowers_it(self) -> None:
        assert 0 <= self.election.advskew <= ADVSKEW_MAX
        assert self.promoted or self.election.advskew >= self.election.settings.advskew

    # The engine.

    _longest_patience_s = master_down_ticks(5, ADVSKEW_MAX, 6) / 256

    def _hear(self, advbase: int, advskew: int, demotion: int, source: IPAddress) -> None:
        self._perform(self.election.advertisement_received(self.now, advbase, advskew, demotion, source))

    def _perform(self, effects: Effects) -> None:
        transitions = [effect for effect in effects if isinstance(effect, Become)]
        assert len(transitions) <= 1
        assert not transitions or effects[-1] is transitions[0]
        for effect in effects:
            if effect is Addresses.TAKE:
                assert not self.held
                assert self.election.state is State.MASTER
                self.held = True
            elif effect is Addresses.RELEASE:
                assert self.held
                assert self.election.state is not State.MASTER
                self.held = False
            elif effect in (Addresses.RENEW, Addresses.ANNOUNCE):
                assert self.held
            elif isinstance(effect, Advertise):
                assert 0 <= effect.advskew <= ADVSKEW_MAX
            elif isinstance(effect, Become):
                assert effect.state is self.election.state
                assert effect.reason is self.election.reason
                assert effect.state is not self.shown
                self.shown = effect.state
                self.promoted = effect.reason is Reason.PROMOTED


TestElectionMachine = ElectionMachine.TestCase
TestElectionMachine.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
