"""One group in the hardened mode: who its members are, with which key and addresses; and what changes nothing."""

import os
import random
from ipaddress import IPv4Address, IPv6Address

import pytest

from carpsidecar.protocol.auth import Claim
from carpsidecar.protocol.freshness import Reply
from carpsidecar.protocol.hardened import Hardened, Member
from carpsidecar.protocol.hardened_packet import HardenedPacket, Kind, Role
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import Drop, IPAddress

PACKETS = int(os.environ.get("CARP_FUZZ_PACKETS", "200000"))
VHID = 4242
A, B = IPv4Address("192.0.2.11"), IPv4Address("192.0.2.12")
ONE, TWO = IPv4Address("192.0.2.100"), IPv4Address("192.0.2.101")
BACKUP, MASTER = Claim(Role.BACKUP, 1, 100, 0.0), Claim(Role.MASTER, 1, 0, 0.0)


def group(
    name: str, addresses: list[IPAddress] | None = None, passphrases: list[bytes] | None = None, now: float = 0.0
) -> Hardened:
    ring = KeyRing(passphrases or [b"sesame"])
    return Hardened(now, VHID, ring, addresses or [ONE], random.Random(name).randbytes, name, "1.0")


def talk(now: float, a: Hardened, b: Hardened, claims: tuple[Claim, Claim] = (BACKUP, MASTER)) -> None:
    """Deliver the replies of both until nobody has any."""
    for _ in range(6):
        for one, source, claim, other in ((a, A, claims[0], b), (b, B, claims[1], a)):
            for reply in one.take_replies():
                other.receive(now, one.reply(now, source, claim, reply), source)


def met(a: Hardened, b: Hardened, now: float = 0.0) -> None:
    a.start(now)
    talk(now, a, b)


def member_of(one: Hardened) -> Member:
    (member,) = one.members.values()
    return member


def test_each_lists_the_other_with_all_that_people_ask_for() -> None:
    a, b = group("alpha"), group("beta")

    a.start(5.0)
    talk(5.0, a, b)

    beta = member_of(a)
    assert (beta.name, beta.version, beta.role, beta.advskew, list(beta.sources)) == (
        "beta",
        "1.0",
        Role.MASTER,
        0,
        [B],
    )
    assert (beta.since_s, beta.heard_s, beta.addresses) == (0.0, 5.0, (ONE,))
    assert member_of(b).role is Role.BACKUP


def test_the_master_is_heard_within_one_round_trip() -> None:
    a, b = group("alpha"), group("beta")
    a.start(0.0)
    (question,) = a.take_replies()
    asked = b.receive(0.001, a.reply(0.0, A, BACKUP, question), A)
    (answer,) = b.take_replies()

    heard = a.receive(0.002, b.reply(0.001, B, MASTER, answer), B)

    assert asked is Drop.SESSION
    assert isinstance(heard, HardenedPacket)
    assert heard.kind == Kind.ADVERTISEMENT


def test_a_backup_answers_with_what_claims_nothing() -> None:
    a, b = group("alpha"), group("beta")
    a.start(0.0)
    (question,) = a.take_replies()
    asked = a.reply(0.0, A, BACKUP, question)
    b.receive(0.0, asked, A)
    (answer,) = b.take_replies()

    assert asked[0] == Kind.SOLICITATION
    assert b.reply(0.0, B, BACKUP, answer)[0] == Kind.ANSWER


def test_a_node_with_both_families_is_one_member() -> None:
    a, b = group("alpha"), group("beta")
    met(a, b)
    other = IPv6Address("2001:db8::12")

    a.receive(1.0, b.advertisement(1.0, other, MASTER), other)
    for reply in a.take_replies():
        b.receive(1.0, a.reply(1.0, A, BACKUP, reply), A)
    for reply in b.take_replies():
        a.receive(1.0, b.reply(1.0, other, MASTER, reply), other)

    assert list(member_of(a).sources) == [B, other]


def test_members_with_other_addresses_hear_each_other_and_are_named_with_both_lists() -> None:
    a, b = group("alpha", [ONE]), group("beta", [ONE, TWO])
    met(a, b)

    assert isinstance(a.receive(1.0, b.advertisement(1.0, B, MASTER), B), HardenedPacket)
    (differing,) = a.differing()
    assert (differing.name, differing.addresses) == ("beta", (ONE, TWO))

    a.configure(a.keys, [TWO, ONE])
    assert a.differing() == []


def test_new_addresses_are_asked_for_and_known_at_once() -> None:
    a, b = group("alpha", [ONE]), group("beta", [ONE])
    met(a, b)

    b.configure(b.keys, [ONE, TWO])
    a.receive(1.0, b.advertisement(1.0, B, MASTER), B)
    talk(1.0, a, b)

    assert [member.addresses for member in a.differing()] == [(ONE, TWO)]
    a.receive(2.0, b.advertisement(2.0, B, MASTER), B)
    assert a.take_replies() == []


def test_a_passphrase_is_changed_in_two_rolls_while_all_hear_all() -> None:
    a, b = group("alpha", passphrases=[b"old"]), group("beta", passphrases=[b"old"])
    met(a, b)
    rings = {name: KeyRing([p.encode() for p in name.split()]) for name in ("old new", "new old", "new")}

    now = 1.0
    for ring in rings.values():
        for one in (a, b):
            one.configure(ring, [ONE])
            for sender, source, hearer in ((a, A, b), (b, B, a)):
                now += 0.1
                assert isinstance(
                    hearer.receive(now, sender.advertisement(now, source, MASTER), source), HardenedPacket
                )
    assert member_of(a).key_id == rings["new"].ids[0]


def test_which_key_a_member_signs_with_is_seen() -> None:
    a, b = group("alpha", passphrases=[b"old", b"new"]), group("beta", passphrases=[b"new", b"old"])
    met(a, b)

    assert member_of(a).key_id == a.keys.ids[1]
    assert member_of(b).key_id == b.keys.ids[1]


def test_a_backup_reports_now_and_then_and_who_falls_silent_is_no_member_any_more() -> None:
    a, b = group("alpha"), group("beta")
    met(a, b)
    now = 0.0
    for _ in range(10):
        now = b.deadline
        for reply in b.timer_expired(now):
            a.receive(now, b.reply(now, B, BACKUP, reply), B)
    assert now >= 90
    assert member_of(a).heard_s == now

    while now < 200:
        now = a.deadline
        for reply in a.timer_expired(now):
            a.reply(now, A, BACKUP, reply)
    assert a.members == {}


def test_who_says_that_it_stops_is_no_member_any_more() -> None:
    a, b = group("alpha"), group("beta")
    met(a, b)

    a.receive(1.0, b.advertisement(1.0, B, Claim(Role.STOPPED, 255, 255, 0.0)), B)

    assert a.members == {}


def test_a_restarted_node_takes_the_place_of_its_former_self() -> None:
    a, b = group("alpha"), group("beta")
    met(a, b)
    again = group("again", now=5.0)

    again.start(5.0)
    for reply in again.take_replies():
        a.receive(5.0, again.reply(5.0, B, BACKUP, reply), B)
    talk(5.0, a, again)

    assert member_of(a).name == "again"


def test_a_role_of_a_later_version_is_no_error() -> None:
    a, b = group("alpha"), group("beta")
    met(a, b)
    packet = b.advertisement(1.0, B, Claim(9, 1, 0, 0.0))  # type: ignore[arg-type]

    assert isinstance(a.receive(1.0, packet, B), HardenedPacket)
    assert member_of(a).role is Role.INIT


@pytest.mark.timeout(300)
def test_whatever_is_changed_in_a_packet_nothing_is_raised_and_nothing_moves() -> None:
    rng = random.Random(1)
    a, b = group("alpha"), group("beta")
    met(a, b)
    good = [b.advertisement(1.0, B, MASTER)]
    good += [
        b.reply(1.0, B, claim, Reply(A, bytes(8), bytes([n]) * 8)) for n in (0, 1) for claim in (BACKUP, MASTER)
    ]
    before = (repr(a.members), repr(a._freshness._senders), a._freshness.deadline)

    for _ in range(PACKETS):
        packet = bytearray(rng.choice(good))
        for _ in range(1 + int(rng.random() * 3)):
            packet[int(rng.random() * len(packet))] ^= 1 + int(rng.random() * 255)
        if rng.random() < 0.1:
            del packet[int(rng.random() * len(packet)) :]
        elif rng.random() < 0.1:
            packet += rng.randbytes(int(rng.random() * 500))
        mutated = bytes(packet)
        if mutated not in good:
            assert a.receive(1.0, mutated, B) is Drop.DIGEST
    assert (repr(a.members), repr(a._freshness._senders), a._freshness.deadline) == before
    assert a.take_replies() == []


@pytest.mark.parametrize(
    ("passphrases", "addresses", "differs"),
    [(None, [ONE], True), ([b"of another pond"], [ONE], False), (None, [TWO], False)],
)
def test_a_packet_of_another_vhid_is_known_by_passphrase_and_addresses(
    passphrases: list[bytes] | None, addresses: list[IPAddress], differs: bool
) -> None:
    other = Hardened(0.0, VHID + 1, KeyRing(passphrases or [b"sesame"]), addresses, random.Random(1).randbytes)
    payload = other.advertisement(0.0, B, MASTER)
    assert group("alpha").differs_in_vhid_only(payload, B) is differs
    assert not group("alpha").differs_in_vhid_only(payload, A), "signed for another source"
    assert not group("alpha").differs_in_vhid_only(b"\x21" + payload[1:], B)
