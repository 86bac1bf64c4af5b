"""What makes a packet believed: learned, rising, neither late nor early; and who is asked, how often."""

import random
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from carpsidecar.protocol.freshness import LEARNED_AGE_MAX_S, Belief, Freshness, Reply
from carpsidecar.protocol.hardened_packet import NONE, HardenedPacket, Kind, Role

A, B = IPv4Address("192.0.2.11"), IPv4Address("192.0.2.12")
YEAR_S = 365 * 86400.0
NOTHING = Reply(None)


class Peer:
    """One side of a conversation; its clock shows something else than the test's."""

    def __init__(self, source: IPv4Address, now: float, offset_s: float = 0.0, seed: int = 1) -> None:
        self.source = source
        self.offset_s = offset_s
        self.fresh = Freshness(now + offset_s, random.Random(f"{source}{seed}").randbytes)

    def packet(self, now: float, reply: Reply = NOTHING, kind: Kind = Kind.ADVERTISEMENT) -> HardenedPacket:
        return HardenedPacket(
            kind, Role.MASTER, 1, 1, 0, bytes(4), 0, bytes(8), self.fresh.session,
            self.fresh.next_time_us(now + self.offset_s),
            reply.asked, reply.answered, reply.target, reply.target_time_us,
        )  # fmt: skip

    def hear(self, now: float, other: "Peer", packet: HardenedPacket) -> Belief:
        return self.fresh.receive(now + self.offset_s, other.source, packet)

    def replies(self) -> list[Reply]:
        return self.fresh.take_replies()

    def ask_all(self, now: float) -> Reply:
        self.fresh.ask_all(now + self.offset_s)
        (question,) = self.replies()
        return question

    def expire(self, now: float) -> list[Reply]:
        self.fresh.timer_expired(now + self.offset_s)
        return self.replies()


def talk(now: float, first: Peer, second: Peer) -> int:
    """Deliver all replies, 1 ms each way, until nobody has any; how many there were."""
    count = 0
    for _ in range(10):
        for one, other in ((first, second), (second, first)):
            for reply in one.replies():
                count += 1
                now += 0.001
                other.hear(now, one, one.packet(now, reply))
    return count


@pytest.fixture
def a() -> Peer:
    return Peer(A, 0.0, offset_s=40 * YEAR_S)


@pytest.fixture
def b() -> Peer:
    return Peer(B, 0.0)


@pytest.fixture
def known(a: Peer, b: Peer) -> tuple[Peer, Peer]:
    b.hear(0.0, a, a.packet(0.0, a.ask_all(0.0)))
    talk(0.0, a, b)
    return a, b


def test_a_start_costs_each_two_packets_and_both_know_each_other(a: Peer, b: Peer) -> None:
    question = a.packet(0.0, a.ask_all(0.0), Kind.SOLICITATION)

    assert b.hear(0.001, a, question) is Belief.UNKNOWN
    (answer_and_question,) = b.replies()
    assert a.hear(0.002, b, b.packet(0.002, answer_and_question)) is Belief.BELIEVED
    (answer,) = a.replies()
    assert answer.asked == NONE
    assert b.hear(0.003, a, a.packet(0.003, answer)) is Belief.BELIEVED
    assert b.replies() == []
    assert a.hear(1.0, b, b.packet(1.0)) is Belief.BELIEVED
    assert b.hear(1.0, a, a.packet(1.0)) is Belief.BELIEVED
    assert a.replies() == b.replies() == []


def test_who_heard_an_answer_is_not_answered_again(known: tuple[Peer, Peer]) -> None:
    a, b = known
    for now in (0.11, 0.51):
        (again,) = a.expire(now)
        assert b.hear(now, a, a.packet(now, again)) is Belief.BELIEVED
        assert b.replies() == []
    assert a.fresh.deadline is None


@pytest.mark.parametrize("lost", range(1, 4))
def test_a_lost_packet_is_made_up_for(a: Peer, b: Peer, lost: int) -> None:
    """Of the question, the answer with a question, and the answer to that, one is lost."""
    question = a.packet(0.0, a.ask_all(0.0))
    if lost > 1:
        b.hear(0.0, a, question)
        (answer,) = b.replies()
        if lost > 2:
            a.hear(0.001, b, b.packet(0.001, answer))
            a.replies()
    now = 0.0
    while now < 1.0:
        now += 0.05
        for one, other in ((a, b), (b, a)):
            for reply in one.expire(now):
                other.hear(now, one, one.packet(now, reply))
            talk(now, a, b)

    assert a.hear(now, b, b.packet(now)) is Belief.BELIEVED
    assert b.hear(now, a, a.packet(now)) is Belief.BELIEVED


def test_of_an_unknown_session_nothing_is_believed_however_fresh(a: Peer, b: Peer) -> None:
    assert [b.hear(now, a, a.packet(now)) for now in (0.0, 1.0, 2.0)] == [Belief.UNKNOWN] * 3


def test_nothing_is_believed_twice_nor_what_was_overtaken(known: tuple[Peer, Peer]) -> None:
    a, b = known
    first, second = a.packet(0.1), a.packet(0.1)

    assert b.hear(0.2, a, second) is Belief.BELIEVED
    assert b.hear(0.2, a, second) is Belief.REPLAY
    assert b.hear(0.2, a, first) is Belief.REPLAY
    assert b.replies() == []


@pytest.mark.parametrize(
    ("sent", "heard", "belief"),
    [
        (1.0, 1.001, Belief.BELIEVED),
        (1.0, 2.9, Belief.BELIEVED),
        (1.0, 3.1, Belief.LATE),
        (1.0, 500.0, Belief.LATE),
    ],
)
def test_late_is_two_seconds_behind_the_fastest(
    known: tuple[Peer, Peer], sent: float, heard: float, belief: Belief
) -> None:
    a, b = known

    assert b.hear(heard, a, a.packet(sent)) is belief


@pytest.mark.parametrize("parts_per_million", [-190, 190])
def test_clocks_may_run_apart(parts_per_million: int) -> None:
    a, b = Peer(A, 0.0), Peer(B, 0.0)
    b.hear(0.0, a, a.packet(0.0, a.ask_all(0.0)))
    talk(0.0, a, b)
    rate = 1 + parts_per_million / 1e6

    for now in range(1, 590):
        assert b.hear(now, a, a.packet(now * rate)) is Belief.BELIEVED


def test_a_sender_whose_clock_stood_still_is_asked_and_believed_again(known: tuple[Peer, Peer]) -> None:
    a, b = known
    a.offset_s -= 30
    assert b.hear(40.0, a, a.packet(40.0)) is Belief.LATE

    talk(40.0, b, a)

    assert b.hear(41.0, a, a.packet(41.0)) is Belief.BELIEVED


def test_a_receiver_whose_clock_stood_still_finds_the_packets_early_and_asks(known: tuple[Peer, Peer]) -> None:
    a, b = known
    b.offset_s -= 30
    assert b.hear(40.0, a, a.packet(40.0)) is Belief.LATE

    talk(40.0, b, a)

    assert b.hear(41.0, a, a.packet(41.0)) is Belief.BELIEVED


def test_who_stalled_believes_nobody_before_he_asked(known: tuple[Peer, Peer]) -> None:
    a, b = known
    waiting = a.packet(1.0)
    b.fresh.stalled(2.0)

    assert b.hear(2.0, a, waiting) is Belief.LATE
    talk(2.0, b, a)
    assert b.hear(2.5, a, a.packet(2.5)) is Belief.BELIEVED


@pytest.mark.parametrize(("delay_s", "belief"), [(0.9, Belief.BELIEVED), (1.1, Belief.UNKNOWN)])
def test_an_answer_opens_a_session_within_a_second(a: Peer, b: Peer, delay_s: float, belief: Belief) -> None:
    question = b.ask_all(0.0)
    a.hear(0.0, b, b.packet(0.0, question))
    (answer,) = a.replies()

    assert b.hear(delay_s, a, a.packet(0.0, answer)) is belief


def test_a_nonce_opens_one_session_of_a_sender_and_an_older_one_none_after_it(b: Peer) -> None:
    former, later = Peer(A, 0.0, seed=1), Peer(A, 0.2, seed=2)
    answers = []
    for peer, question, now in ((former, b.ask_all(0.0), 0.0), (later, b.ask_all(0.3), 0.3)):
        peer.hear(now, b, b.packet(now, question))
        (answer,) = peer.replies()
        answers.append(peer.packet(now, answer))
    same_nonce = former.packet(0.31, Reply(A, answered=answers[1].answered))

    assert b.hear(0.4, later, answers[1]) is Belief.BELIEVED
    assert b.hear(0.5, former, answers[0]) is Belief.UNKNOWN
    assert b.hear(0.5, former, same_nonce) is Belief.UNKNOWN
    assert b.hear(0.6, later, later.packet(0.6)) is Belief.BELIEVED


def test_another_than_who_was_asked_opens_nothing(b: Peer) -> None:
    asked, other = Peer(A, 0.0, seed=1), Peer(A, 0.0, seed=2)
    b.hear(0.0, asked, asked.packet(0.0))
    (question,) = b.replies()

    assert b.hear(0.1, other, other.packet(0.1, Reply(B, answered=question.asked))) is Belief.UNKNOWN
    assert b.hear(0.1, asked, asked.packet(0.1, Reply(B, answered=question.asked))) is Belief.BELIEVED


def test_a_session_is_not_believed_for_ever(known: tuple[Peer, Peer]) -> None:
    a, b = known

    assert b.hear(LEARNED_AGE_MAX_S + 1, a, a.packet(LEARNED_AGE_MAX_S + 1)) is Belief.LATE


@pytest.mark.parametrize(("kind", "after_s"), [(Kind.ADVERTISEMENT, 61), (Kind.ANSWER, 601)])
def test_its_sender_is_asked_again_long_before(known: tuple[Peer, Peer], kind: Kind, after_s: float) -> None:
    a, b = known

    assert b.hear(after_s - 2, a, a.packet(after_s - 2, kind=kind)) is Belief.BELIEVED
    assert b.replies() == []
    assert b.hear(after_s, a, a.packet(after_s, kind=kind)) is Belief.BELIEVED
    (question,) = b.replies()
    assert question.target == a.fresh.session


def test_ones_own_packets_are_known(a: Peer) -> None:
    assert a.hear(0.0, a, a.packet(0.0)) is Belief.OWN
    assert a.replies() == []


def questions(b: Peer, packets: Callable[[int], tuple[IPv4Address, HardenedPacket]], seconds: float) -> int:
    """How many packets of b's a flood of 2,000 a second brings about."""
    count = 0
    for number in range(int(seconds * 2000)):
        now = number / 2000
        source, packet = packets(number)
        b.fresh.receive(now, source, packet)
        count += len(b.replies()) + len(b.expire(now))
    return count


def test_one_recording_played_for_a_minute_brings_about_a_handful_of_questions(a: Peer, b: Peer) -> None:
    recording = a.packet(0.0, a.ask_all(0.0))

    assert questions(b, lambda _: (A, recording), 60) < 12


def test_recordings_of_ever_new_sessions_have_a_limit_in_all_and_fill_no_memory(b: Peer) -> None:
    def recording(number: int) -> tuple[IPv4Address, HardenedPacket]:
        peer = Peer(IPv4Address(0x0A000000 + number), 0.0)
        return peer.source, peer.packet(0.0)

    assert questions(b, recording, 10) < 11 * 500
    assert len(b.fresh._unproven) <= 1024
    assert len(b.fresh._nonces) <= 1001
    assert len(b.fresh._retries) <= 1024
    assert not b.fresh._senders


def test_a_flood_of_recordings_does_not_keep_a_newcomer_from_being_answered(b: Peer) -> None:
    """He has heard our session time, and shows it, and no recording does."""
    a = Peer(A, 0.0)
    for number in range(5000):
        peer = Peer(IPv4Address(0x0A000000 + number), 0.0)
        b.fresh.receive(1.0, peer.source, peer.packet(0.0))
    b.replies()

    a.hear(1.0, b, b.packet(1.0))
    (question,) = a.replies()
    b.hear(1.0, a, a.packet(1.0, question))

    (answer,) = b.replies()
    assert answer.answered == question.asked
    assert a.hear(1.0, b, b.packet(1.0, answer)) is Belief.BELIEVED


def test_a_recorded_question_that_shows_an_old_time_is_treated_as_any_recording(b: Peer) -> None:
    a = Peer(A, 0.0)
    heard = b.packet(0.0)
    a.hear(0.0, b, heard)
    (question,) = a.replies()
    recording = a.packet(0.0, question)
    for _ in range(3):
        b.hear(0.0, a, recording)
    assert len(b.replies()) == 1, "the same nonce is answered once"

    seconds = 60
    count = 0
    for number in range(seconds * 100):
        now = 20 + number / 100
        b.hear(now, a, recording)
        count += len(b.replies()) + len(b.expire(now))
    assert count < 12
