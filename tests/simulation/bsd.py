"""A BSD in the group, as far as others can see: ip_carp.c of OpenBSD and FreeBSD (carp_proto_input_c, carp_setrun).

It yields to an equal interval, whoever has the lower address. It takes over at once: it asks nobody, and knows no
claim. It answers no rival, says no farewell, and has no lease: its kernel itself is the one that takes part, so the
address goes when the machine does. What nobody can do to a BSD does nothing here.
"""

from collections.abc import Callable, Sequence
from functools import partial

from carpsidecar.member.actions import LeaseRequest
from carpsidecar.member.member import Member
from carpsidecar.protocol.effects import BOW_OUT, Addresses, Effects, Reason, Settings
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timing import TICKS_PER_S
from tests.simulation.engine import replace_election
from tests.simulation.kernel import Kernel
from tests.simulation.node import Node
from tests.simulation.world import World

DEAD_RATIO = 3


class BsdElection(Election):
    """Demotion adds to its advskew, as FreeBSD has it."""

    @property
    def lease_until(self) -> float:
        return float("inf")

    def _lease(self, now: float) -> None: ...

    def _heard_as_master(self, now: float, theirs: int, demotion: int, source: IPAddress) -> Effects:
        if theirs > self._interval_ticks:
            return ()
        return (Addresses.RELEASE, *self._become_backup(now, Reason.BETTER_MASTER))

    def _heard_as_backup(
        self, now: float, theirs: int, demotion: int, source: IPAddress, bows_out: bool
    ) -> Effects:
        preempts = self.settings.preempt and theirs > self._interval_ticks
        patience_ticks = DEAD_RATIO * self.settings.advbase * TICKS_PER_S
        if preempts or (patience_ticks and theirs > patience_ticks):
            return self._become_master(now, Reason.PREEMPTED)
        self._arm_master_down(now)
        return ()


class BsdMember(Member):
    """Does at once what its election says."""

    def __init__(self, settings: Settings, source: IPAddress, bows_out: bool) -> None:
        super().__init__(settings, source)
        replace_election(self, BsdElection(settings, source))
        self._bows_out = bows_out

    def advertisement_received(
        self, now: float, advbase: int, advskew: int, demotion: int, source: IPAddress
    ) -> None:
        self._apply(now, self.election.advertisement_received(now, advbase, advskew, demotion, source))

    def timer_expired(self, now: float, missed: bool = False) -> None:
        self._apply(now, self.election.timer_expired(now))

    def demote(self, now: float, cause: str, amount: int, bow_out: bool = False, text: str = "") -> None:
        super().demote(now, cause, amount, text=text)

    def lease_confirmed(self, now: float, request: LeaseRequest) -> None: ...

    def promote(self, now: float, text: str = "") -> None: ...

    def step_down(self, now: float, text: str = "") -> None: ...

    def _apply(self, now: float, effects: Effects, text: str = "") -> None:
        said = [e for e in effects if self._bows_out or e != BOW_OUT]
        super()._apply(now, said, text)

    def _renew(self, now: float) -> None: ...

    def _arm_stall_check(self, now: float) -> None: ...


class BsdKernel(Kernel):
    """Holds the addresses for as long as the machine is master."""

    def lease(self, lifetime_s: int) -> None:
        answered = self.answers
        self.held = True
        self._settle(answered)


class Bsd(Node):
    """A machine that runs a BSD.

    Args:
        bows_out: when it stops, as OpenBSD does; FreeBSD goes in silence.
    """

    is_ours = False

    def __init__(
        self, world: World, index: int, settings: Settings, sources: Sequence[IPAddress], bows_out: bool
    ) -> None:
        super().__init__(world, index, settings, sources, partial(BsdMember, bows_out=bows_out))
        self.kernel = BsdKernel(world, index, fenced=False)

    def kill(self) -> None:
        self.kernel.remove()
        super().kill()

    def hang(self, duration_s: float) -> None:
        """A machine that is paused as a whole answers for nothing, and goes on where it was."""
        self.kernel.remove()
        super().hang(duration_s)

    def _wake(self, epoch: int) -> None:
        if epoch == self.epoch and self.is_master:
            self.kernel.lease(0)
        super()._wake(epoch)

    def ambush(self, effects: int, blow: Callable[[], None]) -> None: ...

    def set_sends_fail(self, fail: bool) -> None: ...

    def set_slow(self, renewal_max_s: float) -> None: ...

    def set_adding_fails(self, fail: bool) -> None: ...

    def lose_address(self) -> None: ...
