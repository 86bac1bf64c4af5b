"""Making groups master by hand: those that are bound together all at once, or none of them."""

from collections.abc import Collection, Iterator
from logging import WARNING

from carpsidecar.engine.group import Group
from carpsidecar.logs import log
from carpsidecar.protocol.effects import PromotionBlocker


def promote(groups: Collection[Group], text: str) -> str:
    """Promote these. Why some can't be, and what to do about it; empty where all could."""
    refusals = []
    for bound in _bound_together(groups):
        blocked = next((group for group in bound if group.election.promotion_blocker), None)
        for group in bound:
            if blocked is None:
                group.promote(text)
            else:
                refusals.append(_refusal(group, blocked))
    return "; ".join(refusals)


def _bound_together(groups: Collection[Group]) -> Iterator[list[Group]]:
    bound: dict[str, list[Group]] = {}
    for group in groups:
        if group.config.sync_group is None:
            yield [group]
        else:
            bound.setdefault(group.config.sync_group, []).append(group)
    yield from bound.values()


def _refusal(group: Group, blocked: Group) -> str:
    """Of those that are bound together, one is blocked."""
    name = group.config.name
    why = _blocker(group) or f"it moves with {blocked.config.name}, and of that one: {_blocker(blocked)}"
    text = f"{name} can't be promoted: {why}"
    peer = str(group.master) if group.master else None
    log(WARNING, "promotion_refused", text, group=name, interface=group.interface.name, peer=peer)
    return text


def _blocker(group: Group) -> str:
    """What is in the way, and what to do about it; empty where nothing is."""
    blocker = group.election.promotion_blocker
    if blocker is PromotionBlocker.INIT:
        return f"it takes no part in the election: {group.reason}"
    if blocker is PromotionBlocker.DEMOTED:
        causes = ", ".join(group.demotions) or "advertisements that can't be sent"
        return f"it is demoted by {causes}: take that back first"
    if blocker is PromotionBlocker.SLOWER:
        advbase = group.election.settings.advbase
        return (
            f"the master {group.master} advertises as fast as this node can with advbase {advbase}, or faster:"
            " let that one step down instead"
        )
    return ""
