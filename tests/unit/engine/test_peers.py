"""Who is logged to have been heard, whatever strangers send."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.engine.peers import PeersHeard
from carpsidecar.ipc.messages import HEARD_MAX, PeerHeard

REAL = [IPv4Address("192.0.2.11"), IPv4Address("192.0.2.12")]
FORGED = [IPv4Address(0x0A000000 + number) for number in range(1000)]
HEARD = st.tuples(st.integers(0, 40), st.booleans())


def test_each_is_told_with_the_last_that_was_heard() -> None:
    peers = PeersHeard()
    peers.heard(REAL[0], 1.0, 100.0)
    peers.heard(REAL[0], 1.5, 101.0)
    peers.heard_unauthentic(REAL[1], 2.0, 102.0)
    assert peers.report() == {
        "192.0.2.11": PeerHeard(interval_s=1.5, heard_s=101.0, authentic=True),
        "192.0.2.12": PeerHeard(interval_s=2.0, heard_s=102.0, authentic=False),
    }


def test_one_with_another_passphrase_is_doubtful_until_it_has_the_right_one() -> None:
    peers = PeersHeard()
    peers.heard_unauthentic(REAL[0], 1.0, 100.0)
    peers.heard(REAL[0], 1.0, 101.0)
    assert peers.report()["192.0.2.11"].authentic


def test_one_that_has_the_wrong_passphrase_since_its_restart_becomes_unauthentic() -> None:
    peers = PeersHeard()
    peers.heard(REAL[0], 1.0, 100.0)
    peers.heard_unauthentic(REAL[0], 1.0, 109.0)
    assert peers.report()["192.0.2.11"].authentic, "somebody may only pretend to be it"
    peers.heard_unauthentic(REAL[0], 1.0, 111.0)
    assert not peers.report()["192.0.2.11"].authentic


def test_a_flood_of_forged_senders_pushes_out_no_authentic_peer() -> None:
    peers = PeersHeard()
    for source in REAL:
        peers.heard(source, 1.0, 100.0)
    for source in FORGED + REAL:
        peers.heard_unauthentic(source, 1.0, 101.0)
    reported = peers.report()
    assert [reported[str(source)].authentic for source in REAL] == [True, True]
    assert len(reported) <= HEARD_MAX
    assert set(reported) - set(map(str, REAL)) <= set(map(str, FORGED[-HEARD_MAX:])), "of the others, the latest"


def test_of_too_many_authentic_ones_the_longest_silent_goes_first() -> None:
    peers = PeersHeard()
    for time_s, source in enumerate(FORGED[: HEARD_MAX + 1]):
        peers.heard(FORGED[0], 1.0, time_s)
        peers.heard(source, 1.0, time_s)
    assert set(peers.report()) == {str(source) for source in FORGED[: HEARD_MAX + 1]} - {str(FORGED[1])}


@given(st.lists(HEARD, max_size=200))
def test_whatever_is_heard_no_more_than_the_limit_is_kept_and_authentic_ones_first(
    heard: list[tuple[int, bool]],
) -> None:
    peers = PeersHeard()
    for number, (sender, authentic) in enumerate(heard):
        hear = peers.heard if authentic else peers.heard_unauthentic
        hear(FORGED[sender], 1.0, number / 1000)
        assert len(peers._authentic) + len(peers._unauthentic) <= HEARD_MAX
    lately = {sender: None for sender, authentic in reversed(heard) if authentic}
    kept = {str(FORGED[sender]) for sender in list(lately)[:HEARD_MAX]}
    reported = peers.report()
    assert {source for source, peer in reported.items() if peer.authentic} == kept


def test_another_master_that_has_to_yield_is_news_after_a_time_without_such() -> None:
    peers = PeersHeard()
    assert peers.outranked_s is None
    assert [peers.outranked(at_s) for at_s in (100.0, 100.4, 100.8, 102.4)] == [True, False, False, True]
    assert peers.outranked_s == 102.4


def test_so_is_one_soon_after_as_on_a_link_that_flaps_but_not_each_second_for_ever() -> None:
    peers = PeersHeard()
    assert [peers.outranked(100.0 + number) for number in range(6)] == [True, True, True, True, False, False]
    assert peers.outranked(107.0)
