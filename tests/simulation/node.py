"""A machine as the world sees it: started, killed, hung, cut off, asked, promoted, demoted.

When its engine starts, it takes off the addresses that a former run left, and bows out for it.
"""

from collections.abc import Callable

from carpsidecar.protocol.auth import Accepted, CompatibleAuth
from carpsidecar.protocol.effects import BOW_OUT
from carpsidecar.protocol.receiver import Receiver
from tests.simulation.engine import NO_LINK, PASSPHRASE, VHID, VIPS, Engine
from tests.simulation.world import NEVER

CHECK = "check"
"""The cause of the demotions."""


class Node(Engine):
    """A machine, its engine and its kernel."""

    # What befalls a machine.

    def boot(self) -> None:
        if self.running:
            return
        world = self.world
        if self.renewing:
            # The process that was killed is not gone before the kernel has answered its thread.
            world.at(self.renewal_ends_at, self.boot)
            return
        self.running, self.hung = True, False
        self.stepped_down = False
        self.booted_at = world.now
        self._forget_process()
        self.member = self._make_member(self.settings, self.sources[0])
        self.member.demote(world.now, CHECK, self.demotion)
        self._authenticator = CompatibleAuth(VHID, [Accepted(PASSPHRASE, VIPS)], world.rng.getrandbits(64))
        self._receiver = Receiver()
        self._receiver.add(VHID, self._authenticator)
        world.say("{} starts", self)
        world.monitor.started(self)
        self.kernel.silence()
        if self.kernel.held:
            self.kernel.remove()
            self._transmit(BOW_OUT)
        self.link_seen = self.link_up
        self._feed(self._cause("start"), self.member.start, "" if self.link_up else NO_LINK)

    def kill(self) -> None:
        """kill -9: the kernel keeps the addresses until the lease ends."""
        if not self.running:
            return
        self.world.say("{} is killed ({})", self, self.election.state)
        if self.is_master:
            self.master_until = self.world.now
        self.running = self.hung = False
        self._forget_process()
        self.world.monitor.stopped(self)

    def power_off(self) -> None:
        self.kill()
        self.renewal_ends_at = NEVER
        self.kernel.power_off()

    def hang(self, duration_s: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        if not self.alive:
            return
        self.world.say("{} hangs for {:.3f} s ({})", self, duration_s, self.election.state)
        self.hung = True
        self._touch()
        self.world.monitor.stopped(self)
        self.world.at(self.world.now + duration_s, self._wake, self.epoch)

    def ambush(self, effects: int, blow: Callable[[], None]) -> None:
        """Let it be hit in the middle of its next transition or advertisement, after so many effects."""
        self._ambush = (effects, blow)

    def disarm(self) -> None:
        self._ambush = None

    def set_link(self, up: bool) -> None:
        if up == self.link_up:
            return
        self.world.say("{} link {}", self, "up" if up else "down")
        self.link_up = up
        self._trouble()
        self.world.at(self.world.now + self.world.latency_s * self.world.rng.random(), self._link_seen)

    def set_sends_fail(self, fail: bool) -> None:
        self.world.say("{} sends {}", self, "fail" if fail else "work again")
        self.sends_fail = fail
        self._trouble()

    def set_slow(self, renewal_max_s: float) -> None:
        """Somebody else holds the kernel's lock, for so long at most at a time."""
        self.world.say("{} renews within {:.1f} s", self, renewal_max_s)
        self.renewal_max_s = renewal_max_s
        self._trouble()

    def set_adding_fails(self, fail: bool) -> None:
        self.world.say("{}: the kernel {} addresses", self, "refuses" if fail else "takes")
        self.adding_fails = fail
        self._trouble()

    def lose_address(self) -> None:
        """Somebody takes it off by hand."""
        if self.kernel.held and self.alive:
            self.world.say("{}: somebody removes the address", self)
            self.kernel.remove()
            self._trouble()
            self.news_of_loss_at = self.world.now + self.world.latency_s
            self.world.at(self.news_of_loss_at, self.address_removed)

    def stop(self) -> None:
        if not self.alive:
            return
        self.world.say("{} is stopped cleanly", self)
        self._stopping = True
        self._feed(self._cause("stop"), self.member.stop)

    def step_down(self) -> None:
        if not self.alive:
            return
        self.world.say("{} is asked to step down", self)
        self._trouble()
        self.stepped_down = True
        self._feed(self._cause("step_down"), self.member.step_down)

    def promote(self) -> None:
        if not self.alive:
            return
        self.world.say("{} is promoted ({})", self, self.election.promotion_blocker or "nothing is in the way")
        self._trouble()
        self._feed(self._cause("promoted"), self.member.promote)
        # Faster for a while, it gives its lease up sooner.
        self.shortest_patience_s = min(self.shortest_patience_s, self.election.master_down_s)

    def demote(self, demotion: int) -> None:
        """A health check fails, or is well again: 0."""
        before, self.demotion = self.demotion, demotion
        if not self.alive:
            return
        self.world.say("{} demotion {}", self, demotion)
        self._trouble()
        if demotion and demotion != before:
            self.stepped_down = False
        self._feed(self._cause("demoted"), self.member.demote, CHECK, demotion, True)
