"""What must hold of how a backup comes to be master: its questions, their answers, and what it had not read yet."""

from collections import Counter
from typing import TYPE_CHECKING

from carpsidecar.member.actions import RoleChanged
from carpsidecar.member.claim_guard import HEARD_INTERVALS
from carpsidecar.member.probe import QUESTIONS
from carpsidecar.member.takeover import CLAIM_S
from carpsidecar.protocol.effects import Reason
from carpsidecar.protocol.timing import TICKS_PER_S, interval_ticks
from tests.simulation.world import NEVER, Machine, World
from tests.support.contract import ASKING_S, TAKEOVER_WAIT_MAX_S, TIMERS_OF_A_TAKEOVER

if TYPE_CHECKING:
    from tests.simulation.engine import Cause, Engine


class Takeovers:
    """Watches the backups of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._unanswered: Counter[int] = Counter()
        """Questions in a row, since an answer or an advertisement."""
        self._gone_at: dict[int, float] = {}
        """When so many were unanswered, and the last one had its time."""
        self._member_until: dict[int, float] = {}
        """A member advertised a moment ago: whoever answers may be it."""
        self.questions: Counter[int] = Counter()
        """By node, from the first on."""
        self._mistaken: set[tuple[int, float]] = set()
        """Who heard the stranger answer while its master advertised, and takes it for that one."""

    def asks(self, node: "Engine") -> None:
        self.questions[node.index] += 1
        if node.is_master:
            return
        self._unanswered[node.index] += 1
        if self._unanswered[node.index] >= QUESTIONS:
            self._gone_at[node.index] = self._world.now + node.member.takeover.probe.gap_s

    def answered(self, node: "Engine", holder: Machine) -> None:
        self._unanswered[node.index] = 0
        if holder is self._world.stranger and node.member.takeover.probe.calibrates(self._world.now):
            self._mistaken.add((node.index, node.booted_at))

    def heard(self, node: "Engine", cause: "Cause") -> None:
        assert cause.heard is not None
        if cause.source is not None and node.election.follows(cause.source):
            self._unanswered[node.index] = 0
        interval_s = interval_ticks(cause.heard.advbase, cause.heard.advskew) / TICKS_PER_S
        until = max(self._member_until.get(node.index, NEVER), cause.at + HEARD_INTERVALS * interval_s)
        self._member_until[node.index] = until

    def became_master(self, node: "Engine", change: RoleChanged, cause: "Cause") -> str:
        """What must not be, in words, or nothing."""
        if change.reason is Reason.MASTER_GONE:
            # Another backup's claim may have been heard since.
            late_s = TAKEOVER_WAIT_MAX_S + TIMERS_OF_A_TAKEOVER * self._world.latency_s
            if cause.at - max(self._gone_at.get(node.index, NEVER), node.troubled_at) > late_s:
                return f"{node} takes over after {self._unanswered[node.index]} questions without an answer"
        if change.reason is Reason.MASTER_SILENT and self._a_stranger_had_it(node, cause):
            return f"{node} takes what a stranger has"
        return ""

    def may_mistake_the_stranger(self, node: "Engine") -> bool:
        return (node.index, node.booted_at) in self._mistaken

    def _may_be_a_member(self, node: "Engine") -> bool:
        until = self._member_until.get(node.index, NEVER)
        return self.may_mistake_the_stranger(node) or until > self._world.now - CLAIM_S - ASKING_S

    def _a_stranger_had_it(self, node: "Engine", cause: "Cause") -> bool:
        world, stranger = self._world, self._world.stranger
        trouble = max(world.trouble_since(node, stranger), world.trouble_since(stranger, node))
        late_s = TIMERS_OF_A_TAKEOVER * world.latency_s + 2 * world.calm.delay_max_s
        seen = max(trouble, stranger.came_at) < cause.at - CLAIM_S - ASKING_S - late_s
        return stranger.answers and seen and not self._may_be_a_member(node)
