"""The client's view: outages are found, measured and attributed, and nothing else is taken for one."""

import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.network import Lab
from carpsidecar.lab.outages import Outage, Question, outages
from carpsidecar.lab.probe import EchoServer, Probe
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

ADDRESSES = ["10.99.0.100", "fd99::100"]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        for name in ("one", "two"):
            EchoServer(lab.node(name))
        lab.node("client")
        yield lab


def take(lab: Lab, name: str, address: str) -> None:
    """As a daemon would: the address, then its announcement."""
    length = "128 nodad" if ":" in address else "32"
    lab.nodes[name].shell(f"ip addr add {address}/{length} dev eth0")
    lab.nodes["client"].shell("ip neigh flush all")


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_outage_lasts_from_the_fault_to_the_takeover(address: str, lab: Lab) -> None:
    take(lab, "one", address)
    with Probe(lab.nodes["client"], address) as probe:
        assert probe.wait_until_answered(SOON_S) == "one"
        healthy_since, delay = time.monotonic(), Delay(probe._process, *lab.nodes["one"].processes)
        probe.wait_until_answered_by("one", SOON_S)
        assert probe.longest_outage_s(healthy_since) <= delay.s
        lost_at = time.monotonic()
        lab.nodes["one"].power_off()
        gone_at, delay = time.monotonic(), Delay(probe._process, *lab.nodes["two"].processes)
        with pytest.raises(TimeoutError, match=r"not answered in 0\.5 s; last answer by one"):
            probe.wait_until_answered(0.5)
        ongoing = probe.outages(lost_at)[-1]
        assert (ongoing.before_node, ongoing.after_node) == ("one", None)
        taken_at = time.monotonic()
        take(lab, "two", address)
        probe.wait_until_answered_by("two", SOON_S)
        back_at = time.monotonic()
        outage = probe.outages(lost_at)[-1]
        assert (outage.before_node, outage.after_node) == ("one", "two")
        assert lost_at <= outage.start < gone_at + 0.1 + delay.s
        assert taken_at < outage.end <= back_at
        assert probe.longest_outage_s(lost_at) == outage.duration_s
        assert probe.longest_outage_s(back_at) <= delay.s


def test_questions_are_asked_every_two_milliseconds_even_while_the_lab_is_busy(lab: Lab) -> None:
    take(lab, "one", ADDRESSES[0])
    with Probe(lab.nodes["client"], ADDRESSES[0]) as probe:
        probe.wait_until_answered(SOON_S)
        delay = Delay(probe._process, *lab.nodes["one"].processes)
        begin, end = time.monotonic(), time.monotonic() + 0.5
        while time.monotonic() < end:
            sum(range(1000))
        probe.wait_until_answered(SOON_S)
        asked = [question for question in probe.questions if begin <= question.sent_at < end]
        assert 200 - delay.s / 0.002 <= len(asked) <= 251
        assert probe.longest_outage_s(begin) <= delay.s


def test_a_server_that_has_no_processor_for_a_while_is_no_outage(lab: Lab) -> None:
    take(lab, "one", ADDRESSES[0])
    (server,) = lab.nodes["one"].processes
    with Probe(lab.nodes["client"], ADDRESSES[0]) as probe:
        probe.wait_until_answered(SOON_S)
        begin, delay = time.monotonic(), Delay(probe._process)
        server.hang()
        time.sleep(0.4)
        server.resume()
        probe.wait_until_answered(SOON_S)
        assert max(question.waited_s for question in probe.questions) > 0.3
        assert probe.longest_outage_s(begin) <= delay.s


def test_the_echo_comes_from_the_address_that_was_asked(lab: Lab) -> None:
    take(lab, "one", ADDRESSES[0])
    for address in (ADDRESSES[0], str(lab.nodes["two"].address), str(lab.nodes["two"].address6)):
        with Probe(lab.nodes["client"], address) as probe:
            assert probe.wait_until_answered(SOON_S) == ("one" if address == ADDRESSES[0] else "two")


def question(sent_at: float, answered_at: float | None = None, by: str = "one") -> Question:
    return Question(sent_at, answered_at, by if answered_at else None)


def test_each_lost_question_is_an_outage_up_to_the_next_answer() -> None:
    asked = [question(1, 1.01), question(2), question(3, 3.01), question(4), question(5), question(6, 6.01, "two")]
    assert outages(asked, 0, 9) == [Outage(2, 3.01, "one", "one"), Outage(4, 6.01, "one", "two")]
    assert outages(asked, 3.5, 9) == [Outage(4, 6.01, "one", "two")]
    assert outages(asked, 0, 3.5) == [Outage(2, 3.01, "one", "one")]


def test_questions_that_waited_for_arp_were_not_answered_when_they_were_asked() -> None:
    waited = [question(2 + n / 100, 3, "two") for n in range(100)]
    asked = [question(1, 1.01), *waited, question(3, 3.01, "two"), question(4, 4.01, "two")]
    assert outages(asked, 0, 9) == [Outage(2, 3, "one", "two")]


def test_a_question_just_asked_is_not_yet_unanswered_but_an_old_one_is() -> None:
    asked = [question(1, 1.01), question(2), question(2.01)]
    assert outages(asked, 0, 2.05) == []
    assert outages(asked, 0, 2.5) == [Outage(2, 2.5, "one", None)]
