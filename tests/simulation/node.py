"""A machine as the world sees it: started, killed, hung, cut off, asked, promoted, demoted.

When its engine starts, it takes off the addresses that a former run left, and bows out for it.
"""

from collections.abc import Callable

from carpsidecar.protocol.auth import CompatibleAuth, HardenedAuth
from carpsidecar.protocol.effects import BOW_OUT, Reason
from carpsidecar.protocol.receiver import Receiver
from tests.simulation.engine import PASSPHRASE, VHID, VIPS, Engine


class Node(Engine):
    """A machine, its engine and its kernel."""

    # What befalls a machine.

    def boot(self) -> None:
        if self.running:
            return
        world = self.world
        self.running, self.hung = True, False
        self.stepped_down = False
        self.booted_at = world.now
        self.caught_up_at.clear()
        self._forget_process()
        self.election = self._election_type(self.settings, self.sources[0])
        self.election.demotion = self.demotion
        if self.hardened:
            self._authenticator = HardenedAuth(PASSPHRASE, VHID, VIPS)
            self.was_set_back = self._wall_clock_us <= self._last_counter
        else:
            self._authenticator = CompatibleAuth(PASSPHRASE, VHID, VIPS, world.rng.getrandbits(64))
        self._receiver = Receiver()
        self._receiver.add(VHID, self._authenticator)
        world.say("{} starts", self)
        world.monitor.started(self)
        if self.kernel.held:
            self.kernel.remove()
            self._transmit(BOW_OUT)
        self.link_seen = self.link_up
        self._act(self._cause("start"), self.election.start(world.now, self.link_up))

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

    def step_wall_clock(self, seconds: float) -> None:
        self.world.say("{} has its wall clock stepped by {:.1f} s", self, seconds)
        self.wall_offset_s += seconds
        self._trouble()

    # What people and health checks ask of it.

    def stop(self) -> None:
        if not self.alive:
            return
        self.world.say("{} is stopped cleanly", self)
        self._act(self._cause("stop"), self.election.stop(self.world.now))
        self.running = False
        self._forget_process()

    def step_down(self) -> None:
        if not self.alive:
            return
        self.world.say("{} is asked to step down", self)
        self._trouble()
        self.stepped_down = True
        self._act(self._cause("asked"), self.election.step_down(self.world.now, Reason.STEP_DOWN))

    def promote(self) -> None:
        if not self.alive:
            return
        self.world.say("{} is promoted ({})", self, self.election.promotion_blocker or "nothing is in the way")
        self._trouble()
        self._act(self._cause("promoted"), self.election.promote(self.world.now))
        # Faster for a while, it gives its lease up sooner.
        self.shortest_patience_s = min(self.shortest_patience_s, self.election.master_down_s)

    def demote(self, demotion: int) -> None:
        """A health check fails, or is well again: 0."""
        self.demotion = demotion
        if not self.alive:
            return
        self.world.say("{} demotion {}", self, demotion)
        self._trouble()
        self._act(self._cause("demotion"), self.election.demotion_changed(self.world.now, demotion))
        if demotion and self.alive:
            self.stepped_down = False
            self._act(self._cause("demoted"), self.election.step_down(self.world.now, Reason.DEMOTED))

    # A process comes and goes.

    def _wake(self, epoch: int) -> None:
        if not self.hung or epoch != self.epoch:
            return
        self.world.say("{} wakes", self)
        self.hung = False
        self._touch()
        if self._interrupted is not None:
            effects, cause = self._interrupted
            self._interrupted = None
            self._act(cause, effects)
        timer_first = self.world.rng.random() < 0.5
        if timer_first and self.alive:
            self._run_timer()
        while self._inbox and self.alive:
            self._inbox.popleft()()
        if self.alive:
            self._run_timer()

    def _forget_process(self) -> None:
        self._inbox.clear()
        self._timer_at = None
        self._ambush = self._interrupted = None
        self._touch()

    def _touch(self) -> None:
        self.epoch += 1
        self._trouble()
