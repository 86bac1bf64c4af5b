"""The answer to `status`: what the engine last told, after it was asked to tell once more."""

import time
from collections.abc import Callable

from carpsidecar import __version__
from carpsidecar.ipc.messages import Beat, GroupCounters, GroupSnapshot, ToEngine
from carpsidecar.reporter.state import State
from carpsidecar.status.documents import Demotion, EngineStatus, GroupStatus, Peer

FRESH_S = 0.1
"""What was told so lately need not be told again; the engine would keep us waiting."""
ANSWERS_WITHIN_S = 0.2

_COUNTERS = (
    "advertisements_sent",
    "advertisements_failed",
    "advertisements_received",
    "lease_renewals",
    "lease_misses",
    "addresses_put_back",
    "foreign_claims",
)


class StatusReport:
    """Args:
    pid: of the engine.
    node: the name of this machine.
    """

    def __init__(self, state: State, ask: Callable[[ToEngine], None], pid: int, node: str) -> None:
        self._state = state
        self._ask = ask
        self._pid = pid
        self._node = node

    async def make(self, group: str | None) -> EngineStatus:
        """Of this group, or of all."""
        state = self._state
        answers = self._is_fresh(FRESH_S)
        if not answers:
            asked = time.monotonic()
            self._ask(Beat())
            answers = await state.until(lambda: self._is_fresh(time.monotonic() - asked), ANSWERS_WITHIN_S)
        return EngineStatus(
            software=__version__,
            pid=self._pid,
            node=self._node,
            now_s=time.time(),
            answers=answers,
            silent_s=state.engine_silent_s,
            groups=[
                self._group(one, state.counters.get(one.group))
                for one in state.groups.values()
                if group in (None, one.group)
            ],
            drops={
                interface: found
                for interface, drops in state.drops.items()
                if (found := {reason: count for reason, count in drops.items() if count})
            },
        )

    def _is_fresh(self, within_s: float) -> bool:
        """Whether the engine told so lately of itself and all groups that it runs."""
        state = self._state
        silent_s = state.engine_silent_s
        return (
            silent_s is not None
            and silent_s <= within_s
            and all(state.counted_s_ago(group) <= within_s for group in state.counters)
        )

    def _group(self, group: GroupSnapshot, count: GroupCounters | None) -> GroupStatus:
        lease_left_s = count.lease_left_s if count else None
        if lease_left_s is not None:
            lease_left_s = max(0.0, lease_left_s - self._state.counted_s_ago(group.group))
        peers = [
            Peer(address=address, interval_s=heard.interval_s, heard_s=heard.heard_s, authentic=heard.authentic)
            for address, heard in (count.peers if count else {}).items()
        ]
        return GroupStatus(
            group=group.group,
            role=group.role,
            reason=group.reason,
            since_s=group.since_s,
            interface=group.interface,
            link=group.link,
            vhid=group.vhid,
            addresses=group.addresses,
            lease_left_s=lease_left_s,
            advbase=group.advbase,
            advskew=group.advskew,
            advskew_advertised=group.advskew_advertised,
            interval_s=group.advbase + group.advskew_advertised / 256,
            dead_ratio=group.dead_ratio,
            demotions=[
                Demotion(cause=cause, amount=amount, text=group.texts.get(cause, ""))
                for cause, amount in group.demotions.items()
            ],
            master=group.master,
            master_advertised_s=count.master_advertised_s if count else None,
            peers=sorted(peers, key=lambda peer: -peer.heard_s),
            counters=_counters(count) if count else {},
        )


def _counters(count: GroupCounters) -> dict[str, int]:
    counted = {name: getattr(count, name) for name in _COUNTERS}
    counted["transitions"] = sum(sum(reasons.values()) for reasons in count.transitions.values())
    counted |= {f"hooks_{result}": number for result, number in count.hooks.items()}
    return {name: number for name, number in counted.items() if number}
