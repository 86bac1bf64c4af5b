"""Making groups master by hand: those that are bound together all at once, or none of them."""

from collections.abc import Collection
from logging import WARNING

from carpsidecar import drained
from carpsidecar.engine.group import Group
from carpsidecar.logs import log
from carpsidecar.member.demotions import is_own
from carpsidecar.member.sync_groups import bound_together
from carpsidecar.protocol.effects import PromotionBlocker


def promote(groups: Collection[Group], text: str) -> str:
    """Promote these. Why some can't be, and what to do about it; empty where all could."""
    refusals = []
    for bound in bound_together(groups):
        blocked = next((group for group in bound if group.member.promotion_blocker), None)
        for group in bound:
            if blocked is None:
                group.promote(text)
            else:
                refusals.append(_refusal(group, blocked))
    return "; ".join(refusals)


def _refusal(group: Group, blocked: Group) -> str:
    """Of those that are bound together, one is blocked."""
    name = group.config.name
    why = _blocker(group) or f"it moves with {blocked.config.name}, and of that one: {_blocker(blocked)}"
    text = f"{name} can't be promoted: {why}"
    peer = str(group.member.master) if group.member.master else None
    log(WARNING, "promotion_refused", text, group=name, interface=group.interface.name, peer=peer)
    return text


def _blocker(group: Group) -> str:
    """What is in the way, and what to do about it; empty where nothing is."""
    blocker = group.member.promotion_blocker
    if blocker is PromotionBlocker.INIT:
        return f"it takes no part in the election: {group.member.reason}"
    if blocker is PromotionBlocker.DEMOTED:
        causes = [cause for cause in group.member.demotions.amounts if not is_own(cause)]
        how = " (carpsidecar undrain)" if drained.CAUSE in causes else ""
        return f"it is demoted by {', '.join(causes)}: take that back first{how}"
    if blocker is PromotionBlocker.SLOWER:
        advbase = group.member.election.settings.advbase
        return (
            f"the master {group.member.master} advertises as fast as this node can with advbase {advbase}, or"
            " faster: let that one step down instead"
        )
    if blocker is PromotionBlocker.IN_USE:
        return f"{group.member.reason}: take it off that machine, or set in_use: take"
    return ""
