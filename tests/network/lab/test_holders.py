"""Who holds the address: every way to gain and lose it is noticed, and so is every overlap."""

import socket
import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.network import Lab
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

ADDRESSES = ["10.99.0.100", "fd99::100"]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        for name in ("one", "two", "three"):
            lab.node(name)
        yield lab


@pytest.fixture(params=ADDRESSES)
def watch(lab: Lab, request: pytest.FixtureRequest) -> Iterator[HolderWatch]:
    with HolderWatch(list(lab.nodes.values()), request.param) as watch:
        yield watch


def change(lab: Lab, name: str, verb: str, watch: HolderWatch, more: str = "") -> None:
    length = "32" if watch.address.version == 4 else "128"
    lab.nodes[name].shell(f"ip addr {verb} {watch.address}/{length} dev eth0 {more}")


def test_holders_come_and_go(lab: Lab, watch: HolderWatch) -> None:
    assert watch.holders_now() == set()
    change(lab, "one", "add", watch)
    watch.wait_for_holder("one", SOON_S)
    assert watch.wait_for_exactly_one(SOON_S) == "one"
    change(lab, "one", "del", watch)
    watch.wait_for_holder(None, SOON_S)
    assert [(change.node, change.held) for change in watch.changes[3:]] == [("one", True), ("one", False)]
    assert watch.overlaps() == []


def test_who_held_it_before_the_watch_began_is_known(lab: Lab, watch: HolderWatch) -> None:
    change(lab, "two", "add", watch)
    with HolderWatch(list(lab.nodes.values()), watch.address) as later:
        assert later.holders_now() == {"two"}


def test_a_renewed_lease_is_no_change_and_one_that_runs_out_is(lab: Lab, watch: HolderWatch) -> None:
    for _ in range(3):
        change(lab, "one", "replace", watch, "valid_lft 3 preferred_lft 0")
    watch.wait_for_holder("one", SOON_S)
    watch.wait_for_holder(None, SOON_S)
    assert len(watch.changes) == 5


def test_an_overlap_is_measured_and_names_the_nodes(lab: Lab, watch: HolderWatch) -> None:
    change(lab, "one", "add", watch)
    began = time.monotonic()
    change(lab, "two", "add", watch)
    watch.wait_for_holder("two", SOON_S)
    both = time.monotonic()
    with pytest.raises(TimeoutError, match=r"exactly one holder.*held by: one, two"):
        watch.wait_for_exactly_one(0.2)
    change(lab, "one", "del", watch)
    assert watch.wait_for_exactly_one(SOON_S) == "two"
    ended = time.monotonic()
    (overlap,) = watch.overlaps()
    assert overlap.nodes == {"one", "two"}
    assert began <= overlap.start <= both
    assert 0.2 <= overlap.duration_s <= ended - began
    assert watch.two_holders_s() == overlap.duration_s
    assert watch.two_holders_s(ended) == 0


def test_an_overlap_that_lasts_counts_up_to_now_and_only_from_the_time_asked_for(
    lab: Lab, watch: HolderWatch
) -> None:
    change(lab, "one", "add", watch)
    change(lab, "two", "add", watch)
    watch.wait_for_holder("two", SOON_S)
    since = time.monotonic()
    assert 0 < watch.two_holders_s(since) < time.monotonic() - since + 0.01
    assert watch.overlaps(since)[0].start == since


def test_a_third_holder_begins_an_overlap_of_three(lab: Lab, watch: HolderWatch) -> None:
    for name in ("one", "two", "three"):
        change(lab, name, "add", watch)
        watch.wait_for_holder(name, 1)
    assert [len(overlap.nodes) for overlap in watch.overlaps()] == [2, 3]


@pytest.mark.parametrize("fault", ["delete_interface", "power_off"])
def test_a_node_loses_the_address_with_its_interface_or_its_power(fault: str, lab: Lab, watch: HolderWatch) -> None:
    change(lab, "one", "add", watch)
    watch.wait_for_holder("one", SOON_S)
    delay = Delay()
    getattr(lab.nodes["one"], fault)()
    gone_at = time.monotonic()
    watch.wait_for_holder(None, SOON_S)
    assert watch.changes[-1].at - gone_at < 0.2 + delay.s


def test_a_pulled_cable_alone_does_not_take_the_address(lab: Lab, watch: HolderWatch) -> None:
    change(lab, "one", "add", watch)
    watch.wait_for_holder("one", SOON_S)
    lab.nodes["one"].pull_cable()
    watch.wait_until_quiet(0.2, SOON_S)
    assert watch.holders_now() == {"one"}


def test_an_address_on_two_interfaces_is_held_until_it_has_left_both(lab: Lab, watch: HolderWatch) -> None:
    change(lab, "one", "add", watch)
    length = "32" if watch.address.version == 4 else "128"
    lab.nodes["one"].shell(f"ip addr add {watch.address}/{length} dev lo")
    change(lab, "one", "del", watch)
    watch.wait_until_quiet(0.2, SOON_S)
    assert watch.holders_now() == {"one"}
    lab.nodes["one"].shell(f"ip addr del {watch.address}/{length} dev lo")
    watch.wait_for_holder(None, SOON_S)


def test_a_thousand_other_addresses_do_not_hide_the_one(lab: Lab) -> None:
    begin = "".join(f"addr add 10.97.{n // 250}.{n % 250 + 1}/32 dev eth0\n" for n in range(1000))
    batch = lab.directory / "batch"
    batch.write_text(f"{begin}addr add 10.99.0.100/32 dev eth0\n")
    with HolderWatch(list(lab.nodes.values()), "10.99.0.100") as watch:
        for node in lab.nodes.values():
            node.run(["ip", "-batch", str(batch)])
        watch.wait_until(lambda holders: len(holders) == 3, SOON_S, "three holders")


def test_a_watch_that_missed_messages_asks_again(lab: Lab) -> None:
    node = lab.nodes["one"]
    flood = lab.directory / "flood"
    flood.write_text("".join(f"addr add 10.97.{n // 250}.{n % 250 + 1}/32 dev eth0\n" for n in range(1000)))
    with HolderWatch([node], "10.99.0.100") as watch:
        watch._monitors["one"].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        node.shell("ip addr add 10.99.0.100/32 dev eth0")
        watch.wait_for_holder("one", SOON_S)
        with watch._changed:  # The watch stands still while this is held.
            node.run(["ip", "-batch", str(flood)])
            node.shell("ip addr del 10.99.0.100/32 dev eth0")
        watch.wait_for_holder(None, SOON_S)
        node.shell("ip addr add 10.99.0.100/32 dev eth0")
        watch.wait_for_holder("one", SOON_S)
