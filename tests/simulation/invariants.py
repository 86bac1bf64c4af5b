"""What must hold in every world, at every moment: the contract of `tests.support.contract`, seen from inside.

1. Every transition has a cause that fits what happened (`became`).
2. An address is held only by a master; a live master never loses it to a lease that it forgot (`settled`,
   `lease_ended`).
3. A machine whose engine was killed or stopped has lost the address L + 0.5 s later, for a lifetime of L s, and
   an engine that wakes up does not renew what has run out (`stopped`, `renews`).
4. Two live machines that reach each other both hold the address for no longer than the better one's interval,
   one round trip and two late timers (`address_answers`). A pair with a lost, late or blocked packet
   between them, or one of them just started, hung or changed, has that much longer from then on.
   A machine whose engine was killed or hangs behind a fence never answers beside one that took over after silence.
5. No machine advertises more than some hundred times a second (`advertises`).
6. Of two masters that are equal, the one that yields says nothing that makes a BSD yield too
   (`_bsd_yields_to_an_equal`).
7. A backup takes over after silence only if all its questions stayed unanswered, nobody that is no member answered,
   and all that had arrived was read (`takeovers`).

A BSD is not ours and not judged, but what it makes of what ours say is.

What must become of a network that is left in peace is in `peace`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from carpsidecar.member.actions import (
    Action,
    AddAddresses,
    Announce,
    RemoveAddresses,
    RoleChanged,
    TryAdding,
    TrySending,
)
from carpsidecar.member.probe import GAP_MAX_S, QUESTIONS
from carpsidecar.member.recovery import GAP_MIN_S
from carpsidecar.member.takeover import CLAIM_S
from carpsidecar.protocol.effects import BOW_OUT, Advertise, Reason, State
from carpsidecar.protocol.timing import BOW_OUT_ADVBASE, BOW_OUT_ADVSKEW, TICKS_PER_S, interval_ticks
from tests.simulation.kernel import fence_ends_in_time
from tests.simulation.takeovers import Takeovers
from tests.simulation.world import NEVER, World
from tests.support.contract import (
    ASKING_S,
    TAKEOVER_WAIT_MAX_S,
    TIMERS_OF_A_TAKEOVER,
    both_hold_max_s,
    gone_within_s,
)

if TYPE_CHECKING:
    from tests.simulation.engine import Cause, Engine

EPSILON_S = 1e-6
SENT_PER_S_MAX = 3 * TICKS_PER_S

LEGAL = {
    (State.INIT, State.BACKUP),
    (State.BACKUP, State.MASTER),
    (State.MASTER, State.BACKUP),
    (State.BACKUP, State.INIT),
    (State.MASTER, State.INIT),
}
STATE_OF = {"init": State.INIT, "backup": State.BACKUP, "master": State.MASTER}
CAUSE_OF = {
    Reason.STARTED: ("start",),
    Reason.LINK_BACK: ("link",),
    Reason.LINK_LOST: ("link",),
    Reason.STOPPED: ("stop",),
    Reason.STEP_DOWN: ("step_down",),
    Reason.DEMOTED: ("demoted", "renewal"),
    Reason.PROMOTED: ("promoted",),
    Reason.BETTER_MASTER: ("packet",),
    Reason.PREEMPTED: ("packet",),
    Reason.MASTER_SILENT: ("timer",),
    Reason.MASTER_GONE: ("timer",),
    Reason.ADDRESS_IN_USE: ("timer", "answer"),
    Reason.MASTER_HEARD: ("packet",),
    Reason.MASTER_BOWED_OUT: ("timer",),
    Reason.MASTER_TOO_SLOW: ("timer",),
}


class Broken(AssertionError):
    """An invariant does not hold."""


class Monitor:
    """Watches one world, and raises at the first thing that must not be."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.takeovers = Takeovers(world)
        self.transitions = 0
        self.dead_overlaps: list[tuple[int, int]] = []
        """Who took the address while a machine with no running engine still held it."""
        self._takeover_failed_at = NEVER
        """When somebody advertised as the master, and then could not add the address."""
        self._bsd_took_over_at = NEVER
        self._sent: dict[int, tuple[int, int]] = {}
        self._shown: dict[int, State] = {}
        self._tried: dict[tuple[int, float, type], float] = {}
        self._said_as_backup_at: dict[int, float] = {}
        self._last_words_at: dict[int, float] = {}
        """Of a master that yields to an equal one."""
        self._leaving_heard_at: dict[tuple[int, Reason], float] = {}

    def _require(self, holds: bool, text: str, *args: object) -> None:
        if not holds:
            self._world.say("BROKEN: " + text, *args)
            raise Broken(f"at {self._world.now:.6f} s: " + text.format(*args))

    @property
    def slack_s(self) -> float:
        """One trip through a healthy network, and one late timer."""
        return self._world.calm.delay_max_s + self._world.latency_s + EPSILON_S

    @property
    def takeover_slack_s(self) -> float:
        """One trip, and all the late timers of a takeover."""
        return self.slack_s + TIMERS_OF_A_TAKEOVER * self._world.latency_s

    # Transitions.

    def started(self, node: "Engine") -> None:
        self._shown[node.index] = State.INIT

    def heard(self, node: "Engine", cause: "Cause") -> None:
        assert cause.heard is not None
        said = cause.heard
        self.takeovers.heard(node, cause)
        if (said.advbase, said.advskew) == (BOW_OUT_ADVBASE, BOW_OUT_ADVSKEW):
            self._leaving_heard_at[node.index, Reason.MASTER_BOWED_OUT] = cause.at
        elif interval_ticks(said.advbase, said.advskew) / TICKS_PER_S > node.shortest_patience_s:
            self._leaving_heard_at[node.index, Reason.MASTER_TOO_SLOW] = cause.at

    def claims(self, node: "Engine", cause: "Cause") -> None:
        """It advertises by its timer, as a backup that is about to take over, or as a master."""
        # Who was stopped meanwhile decided before what is unread came.
        blind = cause.kind == "timer" and cause.at == self._world.now and node.has_unread_packets
        self._require(node.is_master or not blind, "{} claims the address before it has read what arrived", node)

    def became(self, node: "Engine", change: RoleChanged, cause: "Cause") -> None:
        self._world.say("{} is {}: {}", node, change.role.upper(), change.reason)
        self.transitions += 1
        if not node.is_ours:
            self._bsd_became(node, cause)
            return
        state, reason = STATE_OF.get(change.role, node.election.state), change.reason
        self._require(state is node.election.state, "{} says {} and is {}", node, state, node.election.state)
        before = self._shown[node.index]
        if before is State.MASTER:
            node.master_until = self._world.now
        self._shown[node.index] = state
        in_name_only = before is state is State.BACKUP and reason in (Reason.ADDRESS_IN_USE, Reason.MASTER_HEARD)
        if reason is Reason.ADDRESS_IN_USE:
            # Of a machine that was killed, and that this node never heard: it waits for its lease to end.
            node._trouble()
            if cause.kind != "answer":
                self._somebody_holds_it(node)
        failed = before is state is State.BACKUP and reason in (Reason.LEASE_MISSED, Reason.DEMOTED)
        if failed:
            self._takeover_failed_at = self._world.now
        self._require(
            (before, state) in LEGAL or failed or in_name_only, "{} goes from {} to {}", node, before, state
        )
        if reason is Reason.LEASE_MISSED:
            missed = self._world.now - node.renewed_at + EPSILON_S >= min(
                node.election.lifetime_s, node.shortest_patience_s
            )
            self._require(missed and node.troubled_at >= node.renewed_at, "{} lost no lease", node)
        else:
            refused = reason is Reason.DEMOTED and node.adding_fails
            fits = cause.kind in CAUSE_OF[reason] or refused
            self._require(fits, "{}: '{}' by a {}", node, reason, cause.kind)
        if reason is Reason.DEMOTED:
            # Also by itself, where its kernel refused the address: that ends what somebody asked of it.
            node.stepped_down = False
        if reason in (Reason.LINK_BACK, Reason.LINK_LOST):
            self._require(node.link_seen == (reason is Reason.LINK_BACK), "{}: wrong '{}'", node, reason)
        if reason is Reason.BETTER_MASTER:
            self._require(_is_better(cause, node), "{} yields to a worse one", node)
            if _theirs_s(cause) == node.interval_s and self._said_as_backup_at.get(node.index) == cause.at:
                self._last_words_at[node.index] = cause.at
        if reason is Reason.PREEMPTED:
            may = node.settings.preempt and not node.stepped_down
            self._require(may and _theirs_s(cause) > node.interval_s, "{} must not preempt", node)
        if reason in (Reason.MASTER_BOWED_OUT, Reason.MASTER_TOO_SLOW):
            at = max(self._leaving_heard_at.get((node.index, reason), NEVER), node.troubled_at)
            self._require(
                cause.at - at <= TAKEOVER_WAIT_MAX_S + self.takeover_slack_s, "{}: no reason to '{}'", node, reason
            )
        if state is State.MASTER and reason not in (Reason.MASTER_SILENT, Reason.MASTER_GONE, Reason.PROMOTED):
            self._no_better_one_was_heard_by(node, cause)
        if reason is Reason.MASTER_SILENT:
            self._nobody_was_heard_by(node, cause)
        if reason is Reason.MASTER_GONE:
            self._nobody_was_there_to_answer(node, cause)
        if state is State.MASTER:
            wrong = self.takeovers.became_master(node, change, cause)
            self._require(not wrong, "{}", wrong)
            node.master_since = self._world.now
            node.stepped_down = False
            fresh = cause.at == self._world.now
            self._require(node.kernel.answers or not fresh, "{} is master without the address", node)

    def _bsd_became(self, bsd: "Engine", cause: "Cause") -> None:
        before, state = self._shown[bsd.index], bsd.election.state
        self._shown[bsd.index] = state
        if state is State.MASTER:
            bsd.master_since = self._bsd_took_over_at = self._world.now
        elif before is State.MASTER:
            bsd.master_until = self._world.now
            if cause.heard is not None and _theirs_s(cause) == bsd.interval_s:
                self._bsd_yields_to_an_equal(bsd, cause)

    def _bsd_yields_to_an_equal(self, bsd: "Engine", cause: "Cause") -> None:
        (sender,) = (n for n in self._world.nodes if cause.source in n.sources)
        last_words = self._last_words_at.get(sender.index) == cause.sent_at
        self._require(not last_words, "{} yields, and makes {} yield too", sender, bsd)
        # What each said to the other may have crossed, and whatever comes of it is no fault.
        self._world.disturb()

    def _nobody_was_heard_by(self, node: "Engine", cause: "Cause") -> None:
        """No master that this node would follow was within its reach for the whole of its patience."""
        at, patience_s = cause.at, node.patience_s
        for master in self._world.nodes:
            if master is node or not master.can_be_heard or not master.is_master:
                continue
            # Who was demoted since it last advertised does so less often from then on.
            interval_s = max(master.advertises_every_s, master.election.interval_s)
            if interval_s + self.slack_s >= patience_s:
                if interval_s - self.slack_s < patience_s:
                    # The two are so close that chance decides; whatever comes of it is no fault.
                    self._world.disturb()
                continue
            if node.settings.preempt and interval_s > node.interval_s:
                continue
            reached_since = max(master.master_since, self._world.trouble_since(master, node))
            self._require(
                at - reached_since < interval_s + CLAIM_S + self.slack_s + self._world.latency_s,
                "{} finds a silent master, but {} was there to be heard for {:.3f} s",
                node,
                master,
                at - reached_since,
            )

    def _nobody_was_there_to_answer(self, node: "Engine", cause: "Cause") -> None:
        """No machine that holds the address was within reach of all the questions and their answers."""
        if self.takeovers.may_mistake_the_stranger(node):
            return
        for holder in self._world.nodes:
            if holder is node or not holder.kernel.answers:
                continue
            trouble = max(self._world.trouble_since(holder, node), self._world.trouble_since(node, holder))
            since = max(holder.kernel.answers_since, trouble)
            answered = cause.at - since <= QUESTIONS * GAP_MAX_S + TAKEOVER_WAIT_MAX_S + 2 * self.slack_s
            self._require(answered, "{} finds that nobody answers, and {} was there to", node, holder)

    def _somebody_holds_it(self, node: "Engine") -> None:
        if node.troubled_at == self._world.now:
            # It wakes, and reads an answer of before.
            return
        recently = self._world.now - ASKING_S - 2 * self.slack_s
        others = [n for n in self._world.nodes if n is not node]
        stranger = self._world.stranger
        holds = stranger.answers or stranger.left_at >= recently
        holds = holds or any(n.kernel.answered_until >= recently for n in others)
        self._require(holds, "{} does not take an address that nobody has", node)

    def _no_better_one_was_heard_by(self, node: "Engine", cause: "Cause") -> None:
        """Nobody takes over on the word of one machine while another one, no worse than itself, is master."""
        for master in self._world.nodes:
            if master is node or not master.can_be_heard or not master.is_master:
                continue
            trouble_at = self._world.trouble_since(master, node)
            heard_at = master.master_since + self.slack_s
            if trouble_at >= master.master_since:
                heard_at = trouble_at + master.advertises_every_s + self.slack_s
            better = max(master.advertises_every_s, master.election.interval_s) <= node.interval_s
            # A BSD awaits no turn: who preempts it at once, and who still awaits his, come to meet.
            since_s = self._world.now - max(self._takeover_failed_at, self._bsd_took_over_at)
            rivals = self._had_a_rival(master) or since_s < TAKEOVER_WAIT_MAX_S + 2 * self.slack_s
            if better and cause.at >= heard_at and not rivals:
                self._require(False, "{} takes over from {}, which is no worse and was heard", node, master)

    def _had_a_rival(self, master: "Engine") -> bool:
        """Whether two were master for longer than they need to see each other: a backup may follow either."""
        for rival in self._world.nodes:
            until = self._world.now if rival.is_master else rival.master_until
            together_s = until - max(rival.master_since, master.master_since)
            if rival is not master and together_s > 2 * self.slack_s:
                return True
        return False

    def link_seen(self, node: "Engine") -> None:
        initial = node.election.state is State.INIT
        self._require(initial != node.link_seen, "{} is {}, link or not", node, node.election.state)

    def advertises(self, node: "Engine") -> None:
        """Rivals who answer each other must not fill the network."""
        second, count = self._sent.get(node.index, (0, 0))
        count = count + 1 if second == int(self._world.now) else 1
        self._sent[node.index] = (int(self._world.now), count)
        self._require(count <= SENT_PER_S_MAX, "{} floods the network", node)
        if not node.is_master:
            self._said_as_backup_at[node.index] = self._world.now

    def tries(self, node: "Engine", attempt: TrySending | TryAdding) -> None:
        """What failed is tried now and again, not all the time."""
        which = (node.index, node.booted_at, type(attempt))
        gap_s = self._world.now - self._tried.get(which, NEVER)
        self._tried[which] = self._world.now
        self._require(gap_s >= GAP_MIN_S - EPSILON_S, "{} tries again after {:.3f} s", node, gap_s)

    # Addresses.

    def settled(self, node: "Engine", cause: "Cause", performed: Sequence[Action]) -> None:
        """All actions of one event are performed."""
        if not node.is_ours:
            return
        election = node.election
        self._in_order(node, performed)
        ends_at = node.member.lease.ends_at
        if node.is_master and ends_at is not None:
            true_until = node.kernel.leased_at + node.election.lifetime_s
            self._require(ends_at <= true_until + EPSILON_S, "{} believes in a lease that is over sooner", node)
        holds_rightly = election.state is State.MASTER or not node.kernel.held
        self._require(holds_rightly, "{} is {} and holds the address", node, election.state)
        deadline = node.member.deadline
        if cause.kind == "timer" and cause.at == self._world.now and deadline is not None:
            self._require(deadline >= self._world.now, "{} has its deadline in the past", node)

    def _in_order(self, node: "Engine", performed: Sequence[Action]) -> None:
        """At a takeover: advertise, address, announcement, role. At a release: bow-out first, address next."""
        kinds = [type(a) for a in performed if not isinstance(a, RoleChanged) or a.role in ("master", "backup")]
        if BOW_OUT in performed and RemoveAddresses in kinds:
            first = performed.index(BOW_OUT) < kinds.index(RemoveAddresses)
            self._require(first, "{} bows out after it removed the address", node)
        if any(isinstance(a, RoleChanged) and a.role == "master" for a in performed):
            wanted = [kinds.index(kind) for kind in (Advertise, AddAddresses, Announce, RoleChanged)]
            self._require(wanted == sorted(wanted), "{} takes over in the wrong order", node)

    def announces(self, node: "Engine", cause: "Cause") -> None:
        # One that was hung may read a packet before the news that the kernel dropped the address meanwhile.
        knows = cause.at == self._world.now and not node.has_news_of_loss
        self._require(node.kernel.held or not knows, "{} announces an address that it does not hold", node)

    def answered(self, node: "Engine", too_late: bool) -> None:
        """An answer that comes when the lease has ended does not bring it back: somebody may have taken over."""
        self._require(not (too_late and node.alive and node.is_master), "{} goes on with a lease that ended", node)

    def renewal_failed(self, node: "Engine", stale: bool) -> None:
        """What was requested before the last takeover says nothing of this one."""
        held_on = node.is_master or not node.alive
        self._require(held_on or not stale, "{} steps down for a renewal of a former term", node)

    def lease_ended(self, index: int) -> None:
        node = self._world.nodes[index]
        self._world.say("{}: the kernel drops the address", node)
        excused = node.renewing or node.adding_fails or node.renewal_max_s > 0
        self._require(excused or not (node.alive and node.is_master), "{} is master and let its lease end", node)
        node.address_removed()

    def fence_ended(self, index: int) -> None:
        node = self._world.nodes[index]
        self._world.say("{}: the fence silences the address", node)
        silent_s = self._world.now - node.advertised_at
        excused = not node.alive or node.sends_fail or silent_s > node.advertises_every_s + self.slack_s
        self._require(excused or not node.is_master, "{} is master, advertises, and is silenced", node)

    def renews(self, node: "Engine") -> None:
        age_s = self._world.now - node.renewed_at
        self._require(age_s <= node.election.lifetime_s, "{} renews a lease of {:.3f} s ago", node, age_s)

    def stopped(self, node: "Engine") -> None:
        if node.kernel.held:
            last = max(self._world.now, node.renewal_ends_at)
            latest = last + gone_within_s(node.election.lifetime_s, EPSILON_S)
            self._world.at(latest, self._must_be_gone, node, node.epoch)

    def _must_be_gone(self, node: "Engine", epoch: int) -> None:
        self._require(node.epoch != epoch or not node.kernel.held, "{} is gone, its address is not", node)

    # Two holders.

    def address_answers(self, index: int) -> None:
        added = self._world.nodes[index]
        for other in self._world.nodes:
            if other is added or not other.kernel.answers:
                continue
            self._world.say("{} and {} both hold the address", other, added)
            if not other.alive:
                self.dead_overlaps.append((added.index, other.index))
                self._was_not_silent_in_time(added, other)
            self._check_pair(added, other, self._world.now)

    def _was_not_silent_in_time(self, added: "Engine", dead: "Engine") -> None:
        """Behind a fence the dead never answer beside a backup that has waited for them."""
        if not dead.kernel.fenced or added.election.reason not in (Reason.MASTER_SILENT, Reason.MASTER_GONE):
            return
        ways = (self._world.way_trouble_since(dead, added), self._world.way_trouble_since(added, dead))
        trouble = max(*ways, added.troubled_at)
        in_time = fence_ends_in_time(added.shortest_patience_s, dead.patience_s)
        excused = trouble >= dead.advertised_at or not in_time or dead.unheard
        self._require(excused, "{} takes over from {}, which is gone and still answers", added, dead)

    def _check_pair(self, one: "Engine", other: "Engine", since: float) -> None:
        world = self._world
        both = one.kernel.answers and other.kernel.answers
        if not both or since != max(one.kernel.answers_since, other.kernel.answers_since):
            return
        # Who was demoted since it last advertised does so less often from then on.
        every_s = [max(node.advertises_every_s, node.election.interval_s) for node in (one, other)]
        bound_s = both_hold_max_s(every_s[0], every_s[1], 2 * self.slack_s)
        apart = {(one.index, other.index), (other.index, one.index)} & world.blocked
        if apart or not (one.can_be_heard and other.can_be_heard):
            begun = world.now
        else:
            begun = max(since, world.trouble_since(one, other), world.trouble_since(other, one))
        self._require(
            world.now - begun < bound_s,
            "{} and {} have both held the address for {:.3f} s, and see each other",
            one,
            other,
            world.now - begun,
        )
        world.at(begun + bound_s + EPSILON_S, self._check_pair, one, other, since)


def _theirs_s(cause: "Cause") -> float:
    assert cause.heard is not None
    return interval_ticks(cause.heard.advbase, cause.heard.advskew) / TICKS_PER_S


def _is_better(cause: "Cause", node: "Engine") -> bool:
    assert cause.source is not None
    theirs_s, ours_s = _theirs_s(cause), node.interval_s
    same_family = [s for s in node.sources if s.version == cause.source.version]
    lower = any(cause.source.packed < s.packed for s in same_family)
    return theirs_s < ours_s or (theirs_s == ours_s and lower)
