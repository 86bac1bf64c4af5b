"""The hardened mode's side of a group: what its members ask and answer is sent, and who they are is reported."""

import asyncio
import time
from collections.abc import Callable, Iterable
from logging import INFO, WARNING

from carpsidecar.engine.group_log import GroupLog
from carpsidecar.ipc.messages import MEMBERS_MAX, MemberView, Notice
from carpsidecar.protocol.freshness import LATENESS_MAX_S, Reply
from carpsidecar.protocol.hardened import Hardened, Member
from carpsidecar.protocol.hardened_packet import Role
from carpsidecar.protocol.packet import IPAddress

_STALL_MIN_S = LATENESS_MAX_S / 2
"""What a shorter one lets through is not old enough to matter."""
_REPORT_AFTER_S = 0.05
"""Members that are heard one after another are reported together."""


class Membership:
    """
    Args:
        send: sends a question, an answer, or that we are there.
        changed: called when the list of members, or what is said of one, is another.
        notice: called when a member has other addresses than we.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        hardened: Hardened,
        log: GroupLog,
        send: Callable[[Reply], None],
        changed: Callable[[], None],
        notice: Callable[[Notice], None],
    ) -> None:
        self._loop = loop
        self._hardened = hardened
        self._log = log
        self._send = send
        self._changed = changed
        self._notice = notice
        self._timer: asyncio.TimerHandle | None = None
        self._reporting: asyncio.TimerHandle | None = None
        self._reported: dict[bytes, tuple[object, ...]] = {}
        self._differing: set[IPAddress] = set()

    def start(self) -> None:
        """Ask who is there: after the start, and when the link is back."""
        self._hardened.start(self._loop.time())
        self.advance()

    def stalled(self, late_s: float) -> None:
        """This machine did not run us for so long: what is read now may be old."""
        if late_s > _STALL_MIN_S:
            self._hardened.stalled(self._loop.time())
            self.advance()

    def leave(self) -> None:
        """Say for the last time what we are, and nothing any more."""
        self._send(Reply(None))
        self.close()

    def close(self) -> None:
        for timer in (self._timer, self._reporting):
            if timer is not None:
                timer.cancel()
        self._timer = self._reporting = None

    def advance(self) -> None:
        """Send what is to be sent, and arm the timer; after every packet of the hardened mode."""
        for reply in self._hardened.take_replies():
            self._send(reply)
        if self._timer is None or self._timer.when() > self._hardened.deadline or self._timer.cancelled():
            self._arm()
        if self._reporting is None and self._facts() != self._reported:
            self._reporting = self._loop.call_later(_REPORT_AFTER_S, self._report)

    def configured(self) -> None:
        """Our own keys or addresses are others."""
        self._send(Reply(None))
        self._report()
        self.advance()

    @property
    def sources(self) -> list[IPAddress]:
        """The addresses that members send from."""
        return [source for member in self._hardened.members.values() for source in member.sources]

    @property
    def master(self) -> IPAddress | None:
        """The address of the member that was heard last of those that are master; None where there is none."""
        masters = [member for member in self._hardened.members.values() if member.role is Role.MASTER]
        last = max(masters, key=lambda member: member.heard_s, default=None)
        return next(iter(last.sources)) if last is not None else None

    @property
    def heard_s(self) -> dict[str, float]:
        """When the members that `views` lists were heard last, by their first source; seconds since the epoch."""
        clocks_apart_s = time.time() - self._loop.time()
        return {str(next(iter(member.sources))): clocks_apart_s + member.heard_s for member in self._shown}

    @property
    def views(self) -> list[MemberView]:
        """For the status; the last heard first."""
        now, now_s = self._loop.time(), time.time()
        return [
            MemberView(
                sources=list(map(str, member.sources)),
                name=member.name,
                version=member.version,
                role=member.role.name.lower(),
                advbase=member.advbase,
                advskew=member.advskew,
                since_s=now_s - (now - member.since_s),
                heard_s=now_s - (now - member.heard_s),
                key=self._key_number(member),
                addresses=list(map(str, member.addresses)),
                agrees=member.fingerprint == self._hardened.fingerprint,
            )
            for member in self._shown
        ]

    @property
    def _shown(self) -> list[Member]:
        return sorted(self._hardened.members.values(), key=lambda member: -member.heard_s)[:MEMBERS_MAX]

    def _key_number(self, member: Member) -> int:
        ids = self._hardened.keys.ids
        return ids.index(member.key_id) + 1 if member.key_id in ids else 0

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._hardened.deadline, self._timer_expired)

    def _timer_expired(self) -> None:
        self._timer = None
        for reply in self._hardened.timer_expired(self._loop.time()):
            self._send(reply)
        self.advance()

    def _facts(self) -> dict[bytes, tuple[object, ...]]:
        """What is worth a report when it changes."""
        return {
            session: (
                m.role, m.advbase, m.advskew, m.key_id, m.fingerprint, m.name, m.addresses, len(m.sources)
            )
            for session, m in self._hardened.members.items()
        }  # fmt: skip

    def _report(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
            self._reporting = None
        self._reported = self._facts()
        self._report_differing(self._hardened.differing())
        self._changed()

    def _report_differing(self, members: Iterable[Member]) -> None:
        differing = {next(iter(member.sources)): member for member in members}
        for source in differing.keys() - self._differing:
            member = differing[source]
            who = f"{member.name} ({source})" if member.name else str(source)
            theirs = ", ".join(map(str, member.addresses)) or "which ones is not known yet"
            more = member.address_count - len(member.addresses)
            theirs += f" and {more} more" if more > 0 else ""
            ours = ", ".join(map(str, self._hardened.addresses))
            text = f"{who} has other addresses in this group: {theirs}; here they are {ours}"
            if self._log.log_sometimes(WARNING, "config_differs", text, source.packed, source=str(source)):
                self._notice(
                    Notice(
                        kind="config_differs",
                        group=self._log.group,
                        interface=self._log.interface,
                        peer=str(source),
                        text=text,
                    )
                )
        for source in self._differing - differing.keys():
            if any(source in member.sources for member in self._hardened.members.values()):
                text = f"{source} has the same addresses as this node again"
                self._log.log_sometimes(INFO, "config_agrees", text, source.packed, source=str(source))
        self._differing = set(differing)
