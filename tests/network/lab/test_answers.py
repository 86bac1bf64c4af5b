"""Who answers for an address: what stands on an interface counts only while its node answers for it."""

import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.network import Lab
from tests.support.answers import AnswerWatch
from tests.support.waits import wait_until

pytestmark = pytest.mark.network

VIP = "10.99.0.100"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        for name in ("one", "two", "asker"):
            lab.node(name)
        yield lab


@pytest.fixture
def watch(lab: Lab) -> Iterator[AnswerWatch]:
    with AnswerWatch(lab.nodes["asker"], [lab.nodes["one"], lab.nodes["two"]], VIP) as watch:
        yield watch


def change(lab: Lab, name: str, verb: str) -> float:
    lab.nodes[name].shell(f"ip addr {verb} {VIP}/32 dev eth0")
    return time.monotonic()


def await_answers(watch: AnswerWatch, name: str, number: int = 1) -> None:
    wait_until(lambda: len(watch.spans(name)) >= number, f"answers of {name}")


def test_nobody_answers_for_an_address_that_nobody_has(lab: Lab, watch: AnswerWatch) -> None:
    change(lab, "one", "add")
    await_answers(watch, "one")
    assert watch.spans("two") == []
    assert watch.two_holders_s() == 0
    assert not watch.still_two()


def test_the_time_in_which_two_answer_is_measured(lab: Lab, watch: AnswerWatch) -> None:
    change(lab, "one", "add")
    await_answers(watch, "one")
    begun = change(lab, "two", "add")
    await_answers(watch, "two")
    wait_until(watch.still_two, "two that answer")
    wait_until(lambda: watch.two_holders_s() >= 0.05, "50 ms with two")
    ended = change(lab, "one", "del")
    wait_until(lambda: not watch.still_two(), "one that answers")
    assert 0.05 <= watch.two_holders_s() <= ended - begun + 0.05
    assert watch.two_holders_s(since=ended + 0.01) == 0


def test_an_address_that_is_fenced_is_not_held(lab: Lab, watch: AnswerWatch) -> None:
    change(lab, "one", "add")
    await_answers(watch, "one")
    lab.nodes["one"].shell(
        f"nft 'add table arp t; add chain arp t c {{ type filter hook input priority 0; }};"
        f" add rule arp t c arp daddr ip {VIP} drop'"
    )
    fenced_at = time.monotonic()
    change(lab, "two", "add")
    await_answers(watch, "two")
    assert watch.two_holders_s(since=fenced_at) == 0
    assert watch.spans("one")[-1].end < fenced_at + 0.05
