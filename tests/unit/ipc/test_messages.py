"""What the engine and the reporter tell each other survives the way, and nothing else gets in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.ipc.messages import (
    TEXT_MAX,
    BadMessage,
    GroupCounters,
    GroupGone,
    GroupSnapshot,
    Heartbeat,
    KeepServiceAddresses,
    Notice,
    PeerHeard,
    ProbeAddress,
    Promote,
    Result,
    SendHeartbeat,
    SetDemotion,
    SetServiceAddress,
    StepDown,
    ToEngine,
    ToReporter,
    decode_for_engine,
    decode_for_reporter,
    encode,
)

COUNTERS = GroupCounters(
    advertisements_sent=1,
    advertisements_failed=2,
    advertisements_received=3,
    transitions={"master": {"master_silent": 1}},
    master_advertised_s=1.25,
    lease_renewals=4,
    lease_misses=5,
    addresses_put_back=6,
    foreign_claims=7,
    hooks={"ok": 1},
    lease_left_s=1.5,
    peers={"192.0.2.11": PeerHeard(interval_s=1.0, heard_s=2.0, authentic=True)},
)
SNAPSHOT = GroupSnapshot(
    group="web",
    role="master",
    reason="no advertisement from the master",
    since_s=1.5,
    interface="eth0",
    vhid=42,
    addresses=["192.0.2.100/32"],
    advbase=1,
    advskew=0,
    advskew_advertised=100,
    dead_ratio=5,
    demotions={"health": 100},
    demotion_texts={"health": "the disk is full"},
    link=False,
    master=None,
)
HEARTBEAT = Heartbeat(sent_s=2.5, counters={"web": COUNTERS}, drops={"eth0": {"digest": 1}}, bad_messages=0)


CONFLICT = Notice(kind="conflict", group="web", interface="eth0", peer="02:00:00:00:00:66", text="it claims it")
RESULT = Result(id=7, outcome="refused", reason="it is demoted")


@pytest.mark.parametrize("message", [SNAPSHOT, HEARTBEAT, GroupGone(group="web"), CONFLICT, RESULT])
def test_the_reporter_reads_what_the_engine_wrote(message: ToReporter) -> None:
    assert decode_for_reporter(encode(message)) == message


SERVICE = SetServiceAddress(
    address="192.0.2.7", vhid=1007, advskew=4, services=["web/front"], eligible=False, text="x"
)
DEMOTION = SetDemotion(cause="drain", amount=100, group="web", bow_out=True, text="kernel update")


@pytest.mark.parametrize(
    "message",
    [
        DEMOTION,
        StepDown(),
        StepDown(text="disk swap"),
        Promote(group="web", text="test"),
        SendHeartbeat(),
        SERVICE,
        KeepServiceAddresses(addresses=["192.0.2.7", "2001:db8::7"]),
        ProbeAddress(address="192.0.2.7"),
    ],
)
def test_the_engine_reads_what_the_reporter_wrote(message: ToEngine) -> None:
    assert decode_for_engine(encode(message)) == message


BAD = {
    "nothing": b"",
    "no json": b"{",
    "no text": b"\xff\xfe",
    "no object": b"[]",
    "no type": b'{"version":1}',
    "an unknown type": b'{"type":"reboot","version":1}',
    "another version": b'{"type":"step_down","version":2}',
    "a missing field": b'{"type":"demotion","version":1}',
    "a wrong type of a field": b'{"type":"demotion","version":1,"cause":"x","amount":"much"}',
    "too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_bad_message_is_refused_on_both_sides(data: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_for_engine(data)
    with pytest.raises(BadMessage):
        decode_for_reporter(data)


def test_neither_side_takes_the_messages_of_its_own() -> None:
    with pytest.raises(BadMessage):
        decode_for_engine(encode(SNAPSHOT))
    with pytest.raises(BadMessage):
        decode_for_reporter(encode(StepDown()))


def test_a_role_that_there_is_not_is_refused() -> None:
    with pytest.raises(BadMessage):
        decode_for_reporter(encode(SNAPSHOT).replace(b'"master","reason"', b'"king","reason"'))


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_for_engine(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_message_is_read_or_refused(place: int, byte: int) -> None:
    data = bytearray(encode(SNAPSHOT))
    data[place % len(data)] = byte
    try:
        decode_for_reporter(bytes(data))
    except BadMessage:
        return


@pytest.mark.parametrize("amount", [-1, 256])
def test_a_demotion_out_of_range_is_a_bad_message(amount: int) -> None:
    with pytest.raises(BadMessage):
        decode_for_engine(encode(SetDemotion(cause="drain", amount=amount)))


@pytest.mark.parametrize("cause", ["", "x" * 65])
def test_a_cause_of_no_length_or_too_much_is_a_bad_message(cause: str) -> None:
    with pytest.raises(BadMessage):
        decode_for_engine(encode(SetDemotion(cause=cause, amount=1)))


@pytest.mark.parametrize("text", ["x" * TEXT_MAX, "für 10 Minuten ✓", "", " 漢字 "])
@pytest.mark.parametrize("kind", [StepDown, Promote])
def test_words_of_people_are_taken_as_they_are(kind: type[StepDown | Promote], text: str) -> None:
    assert decode_for_engine(encode(kind(text=text))) == kind(text=text)


@pytest.mark.parametrize(
    "text", ["x" * (TEXT_MAX + 1), "a\nb", "a\n", "\0", "\x1b[2J", "\x85", "\u2028", "\u202ebew"]
)
@pytest.mark.parametrize("kind", [StepDown, Promote])
def test_words_that_would_spoil_a_line_are_a_bad_message(kind: type[StepDown | Promote], text: str) -> None:
    with pytest.raises(BadMessage):
        decode_for_engine(encode(kind(text=text)))
    with pytest.raises(BadMessage):
        decode_for_engine(encode(SetDemotion(cause="x", amount=1, text=text)))


@given(st.text())
def test_words_that_are_taken_are_one_line_of_bounded_length(text: str) -> None:
    try:
        data = encode(StepDown(text=text))
        words = decode_for_engine(data)
    except (BadMessage, UnicodeEncodeError):
        return
    assert words == StepDown(text=text)
    assert len(text.splitlines()) <= 1
    assert len(text) <= TEXT_MAX
