"""One group's side of the hardened mode: signs what is sent, judges what is heard, and knows the members.

The layout is in `hardened_packet`, the keys in `keys`, what makes a packet believed in `freshness`. Times are
seconds of one monotonic clock.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from carpsidecar.protocol import hardened_packet
from carpsidecar.protocol.auth import Claim
from carpsidecar.protocol.freshness import Belief, Freshness, Reply
from carpsidecar.protocol.hardened_packet import KINDS, NONE, HardenedPacket, Kind, Role
from carpsidecar.protocol.keys import KeyRing, fingerprint
from carpsidecar.protocol.packet import Drop, IPAddress

_PRESENCE_S = 10.0
_MEMBERS_PER_S = 1.0
"""In a large group each reports more seldom, so that all together send one presence a second."""
_GONE_AFTER_PRESENCES = 3.5
_DROPS = {
    Belief.OWN: Drop.OWN,
    Belief.REPLAY: Drop.REPLAY,
    Belief.LATE: Drop.LATE,
    Belief.UNKNOWN: Drop.SESSION,
}


@dataclass(slots=True)
class Member:
    """Another node of the group, as its last believed packet has it."""

    session: bytes
    sources: dict[IPAddress, None]
    role: Role
    advbase: int
    advskew: int
    since_s: float
    heard_s: float
    key_id: bytes
    fingerprint: bytes
    name: str = ""
    version: str = ""
    addresses: tuple[IPAddress, ...] = ()
    """Its group's, as many as fit into its answer."""
    address_count: int = 0
    details_fingerprint: bytes = b""
    """What the fingerprint was when it told the addresses."""


class Hardened:
    """
    Args:
        now: when our session begins.
        random_bytes: so many bytes that nobody can foresee.
        name: of this node, for people.
        version: of this software.
    """

    def __init__(
        self,
        now: float,
        vhid: int,
        keys: KeyRing,
        addresses: Collection[IPAddress],
        random_bytes: Callable[[int], bytes],
        name: str = "",
        version: str = "",
    ) -> None:
        self.members: dict[bytes, Member] = {}
        """By session."""
        self._vhid = vhid
        self._name = name
        self._version = version
        self._freshness = Freshness(now, random_bytes)
        self._reported_s = now
        self.configure(keys, addresses)

    def configure(self, keys: KeyRing, addresses: Collection[IPAddress]) -> None:
        """Go on with these, in the same session."""
        self.keys = keys
        self.addresses = tuple(addresses)
        self.fingerprint = fingerprint(addresses)
        self._details = hardened_packet.pack_details(self._name, self._version, addresses)

    @property
    def deadline(self) -> float:
        """When `timer_expired` wants to be called."""
        presence_at = self._reported_s + self._presence_s
        deadline = self._freshness.deadline
        return presence_at if deadline is None else min(presence_at, deadline)

    def start(self, now: float) -> None:
        self._freshness.ask_all(now)

    def stalled(self, now: float) -> None:
        """We were not run for a while: nobody is believed before he is asked."""
        self._freshness.stalled(now)

    def timer_expired(self, now: float) -> list[Reply]:
        """What is to be sent now; harmless when it comes early."""
        self._freshness.timer_expired(now)
        replies = self._freshness.take_replies()
        if now >= self._reported_s + self._presence_s:
            self._forget_the_gone(now)
            replies.append(Reply(None))
        return replies

    def take_replies(self) -> list[Reply]:
        """What is to be sent after something was heard."""
        return self._freshness.take_replies()

    def advertisement(self, now: float, source: IPAddress, claim: Claim) -> bytes:
        return self._sealed(now, source, claim, Kind.ADVERTISEMENT, Reply(None))

    def reply(self, now: float, source: IPAddress, claim: Claim, reply: Reply) -> bytes:
        """A question, an answer, both in one, or only the report that we are there."""
        if reply.asked != NONE and reply.answered == NONE:
            kind = Kind.SOLICITATION
        else:
            kind = Kind.ADVERTISEMENT if claim.role is Role.MASTER else Kind.ANSWER
        return self._sealed(now, source, claim, kind, reply)

    def receive(self, now: float, payload: bytes, source: IPAddress) -> HardenedPacket | Drop:
        """Check a payload whose length, version and vhid were checked already."""
        if not self.keys.knows(payload) or not self.keys.verify(payload, source):
            return Drop.DIGEST
        packet = hardened_packet.unpack(payload)
        if packet is None:
            return Drop.LENGTH
        belief = self._freshness.receive(now, source, packet)
        if belief is not Belief.BELIEVED:
            return _DROPS[belief]
        self._note(now, source, packet)
        return packet

    def differs_in_vhid_only(self, payload: bytes, source: IPAddress) -> bool:
        """Whether a well-formed packet of another vhid, of either mode, has our passphrase and addresses."""
        if payload[0] not in KINDS or not self.keys.knows(payload) or not self.keys.verify(payload, source):
            return False
        packet = hardened_packet.unpack(payload)
        return packet is not None and packet.fingerprint == self.fingerprint

    def differing(self) -> list[Member]:
        """Members whose group has other addresses than ours."""
        return [member for member in self.members.values() if member.fingerprint != self.fingerprint]

    @property
    def _presence_s(self) -> float:
        return max(_PRESENCE_S, len(self.members) / _MEMBERS_PER_S)

    def _sealed(self, now: float, source: IPAddress, claim: Claim, kind: Kind, reply: Reply) -> bytes:
        self._reported_s = now
        packed = hardened_packet.pack(
            HardenedPacket(
                kind,
                claim.role,
                self._vhid,
                claim.advbase,
                claim.advskew,
                self.keys.ids[0],
                max(0, int(now - claim.since_s)),
                self.fingerprint,
                self._freshness.session,
                self._freshness.next_time_us(now),
                reply.asked,
                reply.answered,
                reply.target,
                reply.target_time_us,
                self._details if reply.answered != NONE else b"",
            )
        )
        return packed + self.keys.sign(packed, source)

    def _note(self, now: float, source: IPAddress, packet: HardenedPacket) -> None:
        member = self.members.get(packet.session)
        if packet.role == Role.STOPPED:
            self.members.pop(packet.session, None)
            return
        if member is None:
            self._forget_source(source)
            member = self.members[packet.session] = Member(
                packet.session, {}, Role.INIT, 0, 0, 0.0, now, packet.key_id, packet.fingerprint
            )
        member.sources[source] = None
        member.role = Role(packet.role) if packet.role in _ROLES else Role.INIT
        member.advbase, member.advskew = packet.advbase, packet.advskew
        member.since_s = now - packet.role_age_s
        member.heard_s = now
        member.key_id, member.fingerprint = packet.key_id, packet.fingerprint
        details = hardened_packet.unpack_details(packet.details) if packet.details else None
        if details is not None:
            member.name, member.version, member.addresses, member.address_count = details
        if packet.answered != NONE:
            member.details_fingerprint = packet.fingerprint
        elif member.details_fingerprint != packet.fingerprint:
            self._freshness.ask_again(now, source)

    def _forget_source(self, source: IPAddress) -> None:
        """It has another session now."""
        for session, member in list(self.members.items()):
            member.sources.pop(source, None)
            if not member.sources:
                del self.members[session]

    def _forget_the_gone(self, now: float) -> None:
        gone_s = _GONE_AFTER_PRESENCES * self._presence_s
        for session, member in list(self.members.items()):
            if now - member.heard_s > gone_s:
                del self.members[session]


_ROLES = frozenset(Role)
