"""VRRP shares protocol number and group with CARP: keepalived is beside us, and nobody's address moves.

One thing keepalived 2.2.7 does not bear, from us as little as from ucarp: as a master it begins its interval anew
with each packet of its own number, whatever it is (vrrp_scheduler.c, vrrp_dispatcher_read). Beside a CARP group of
its number and its interval it falls silent, and its backup, if there is one, takes turns with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.process import Process
from tests.support.peers import SLOWER, VHID, Segment, client_of, keepalived, needs_keepalived, segment
from tests.support.waits import SOON_S

pytestmark = [pytest.mark.network, needs_keepalived, pytest.mark.at_once]

ROUTED = "10.99.0.200"
AS_MANY_AS_AUTHLEN = [f"10.99.0.{number}" for number in range(200, 207)]

both_versions = pytest.mark.parametrize("version", [2, 3])


@contextmanager
def peace_of_routers(made: Segment, routers: list[Process], address: str = ROUTED) -> Iterator[HolderWatch]:
    """The first of them holds its address at the end as at the start, and none has changed its state."""
    with HolderWatch(list(made.nodes.values()), address) as watch:
        holder = watch.wait_for_exactly_one(SOON_S)
        changes = len(watch.changes)
        states = [router.log.count(" STATE") for router in routers]
        yield watch
        assert watch.holders_now() == {holder}
        assert watch.changes[changes:] == []
        assert [router.log.count(" STATE") for router in routers] == states


def router_pair(made: Segment, version: int, number: int) -> list[Process]:
    master = keepalived(made, "router1", version, [ROUTED], 150, number)
    master.wait_for("Entering MASTER STATE", SOON_S)
    backup = keepalived(made, "router2", version, [ROUTED], 100, number)
    backup.wait_for("Entering BACKUP STATE", SOON_S)
    return [master, backup]


@both_versions
def test_a_router_with_our_number_keeps_its_address_and_we_say_once_what_we_heard(version: int) -> None:
    reported = f"10.99.0.13 on eth0 speaks VRRP {version}, virtual router 42"
    with segment("first", "second", "router") as made, client_of(made) as client:
        router = keepalived(made, "router", version, [ROUTED])
        router.wait_for("Entering MASTER STATE", SOON_S)
        with peace_of_routers(made, [router]):
            ours, backup = made.join_pair("ours", "ours")
            made.expect_peace(ours)
            client.wait_until_answered_by("first", SOON_S)
            # Before it became master itself; beside a master, the router may be silent.
            assert ours.log.count(reported) == ours.log.count("speaks VRRP") == 1
            assert backup.log.count("speaks VRRP") <= 1
            made.expect_no_complaints()
            ours.process.stop()
            made.expect_holder(backup)
            assert "the master bowed out" in backup.wait_for_role("master", SOON_S)
            client.wait_until_answered_by("second", SOON_S)


@both_versions
def test_a_pair_of_routers_with_another_number_does_not_notice_us_at_all(version: int) -> None:
    with segment("first", "second", "router1", "router2") as made:
        routers = router_pair(made, version, VHID + 1)
        with peace_of_routers(made, routers):
            ours, backup = made.join_pair("ours", "ours")
            made.expect_peace(ours, 6)
            assert backup.transitions == ["backup"]
        assert "short" not in routers[0].log


@both_versions
def test_a_pair_of_routers_with_our_number_stands_us_where_it_advertises_faster_than_we(version: int) -> None:
    with segment("first", "second", "router1", "router2") as made:
        routers = router_pair(made, version, VHID)
        with peace_of_routers(made, routers):
            ours = made.join("ours", "first", advskew=SLOWER)
            made.expect_holder(ours)
            made.expect_peace(ours, 8)


@both_versions
def test_a_pair_of_routers_with_our_number_that_takes_turns_does_not_touch_us(version: int) -> None:
    with segment("first", "second", "router1", "router2") as made, client_of(made) as client:
        router_pair(made, version, VHID)
        ours, backup = made.join_pair("ours", "ours")
        made.expect_peace(ours, 8)
        assert backup.transitions == ["backup"]
        client.wait_until_answered_by("first", SOON_S)


@pytest.mark.parametrize("auth", ["carp", "hardened"])
@both_versions
def test_a_router_with_seven_addresses_looks_most_like_carp_and_is_still_none(version: int, auth: str) -> None:
    # VRRP counts its addresses where CARP has its authlen, and in version 3 it is 36 bytes long then, too.
    with segment("first", "second", "router") as made:
        router = keepalived(made, "router", version, AS_MANY_AS_AUTHLEN)
        router.wait_for("Entering MASTER STATE", SOON_S)
        with peace_of_routers(made, [router], AS_MANY_AS_AUTHLEN[-1]):
            ours, backup = made.join_pair("ours", "ours", "--auth", auth)
            made.expect_peace(ours)
            assert ours.transitions == ["backup", "master"]
            assert backup.transitions == ["backup"]
