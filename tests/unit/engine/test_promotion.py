"""Promoting groups: together where they are bound, and with a word where it can't be."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from msgspec.structs import replace

from carpsidecar.engine.group import Group
from carpsidecar.engine.promotion import promote
from carpsidecar.protocol.effects import PromotionBlocker
from tests.support.logs import Logged
from tests.unit.engine.loops import group_config


class FakeGroup:
    """What a promotion needs of a group."""

    interface = SimpleNamespace(name="eth7")

    def __init__(
        self, name: str, promotion_blocker: PromotionBlocker | None = None, sync_group: str | None = None
    ) -> None:
        self.config = replace(group_config(name=name), sync_group=sync_group)
        self.sync_group = sync_group
        self.member = SimpleNamespace(
            election=SimpleNamespace(settings=self.config.settings),
            promotion_blocker=promotion_blocker,
            demotions=SimpleNamespace(amounts={"operator": 240, "check:web": 10}),
            master="192.0.2.11",
            reason="the link of eth7 is down",
        )
        self.promoted: list[str] = []

    def promote(self, text: str) -> None:
        self.promoted.append(text)


def ask(*groups: FakeGroup) -> list[str]:
    """The refusals."""
    refusal = promote(cast(Sequence[Group], groups), "test")
    return refusal.split("; ") if refusal else []


def test_each_that_can_is_promoted_whatever_the_others_say(logged: Logged) -> None:
    one, other, third = FakeGroup("one"), FakeGroup("other", PromotionBlocker.DEMOTED), FakeGroup("third")
    [refused] = ask(one, other, third)
    assert (one.promoted, other.promoted, third.promoted) == (["test"], [], ["test"])
    why = "it is demoted by operator, check:web: take that back first (carpsidecar undrain)"
    assert refused == f"other can't be promoted: {why}"
    assert logged.lines == [refused]


def test_those_that_are_bound_together_are_promoted_all_or_none() -> None:
    inside, outside = FakeGroup("inside", sync_group="firewall"), FakeGroup("outside", sync_group="firewall")
    alone = FakeGroup("alone", sync_group="other")
    assert ask(inside, outside, alone) == []
    assert (inside.promoted, outside.promoted, alone.promoted) == (["test"], ["test"], ["test"])
    blocked = FakeGroup("dmz", PromotionBlocker.INIT, "firewall")
    texts = ask(inside, blocked, outside, alone)
    assert (len(inside.promoted), len(outside.promoted), len(alone.promoted)) == (1, 1, 2)
    why = "it takes no part in the election: the link of eth7 is down"
    assert texts == [
        f"inside can't be promoted: it moves with dmz, and of that one: {why}",
        f"dmz can't be promoted: {why}",
        f"outside can't be promoted: it moves with dmz, and of that one: {why}",
    ]


def test_a_master_that_can_not_be_outrun_is_named() -> None:
    [refused] = ask(FakeGroup("web", PromotionBlocker.SLOWER))
    assert refused == (
        "web can't be promoted: the master 192.0.2.11 advertises as fast as this node can with advbase 1,"
        " or faster: let that one step down instead"
    )
