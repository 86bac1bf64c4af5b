"""Making groups master by hand: those that are bound together all at once, or none of them."""

from collections.abc import Callable, Collection, Iterator
from logging import WARNING

from carpsidecar.engine.group import Group
from carpsidecar.ipc.messages import Notice, Promote
from carpsidecar.logs import log
from carpsidecar.protocol.effects import PromotionBlocker

Refuse = Callable[[Notice], None]


def promote(groups: Collection[Group], command: Promote, refuse: Refuse) -> None:
    """Promote these; whatever can't be is told with the reason."""
    if not groups and command.group is not None:
        refuse(
            Notice(kind="refused", group=command.group, interface="", peer="", text="there is no such group here")
        )
    for bound in _bound_together(groups):
        blocked = next((group for group in bound if group.election.promotion_blocker), None)
        for group in bound:
            if blocked is None:
                group.promote(command.text)
            else:
                _refuse(group, blocked, refuse)


def _bound_together(groups: Collection[Group]) -> Iterator[list[Group]]:
    bound: dict[str, list[Group]] = {}
    for group in groups:
        if group.config.sync_group is None:
            yield [group]
        else:
            bound.setdefault(group.config.sync_group, []).append(group)
    yield from bound.values()


def _refuse(group: Group, blocked: Group, refuse: Refuse) -> None:
    """Of those that are bound together, one is blocked."""
    name, interface = group.config.name, group.interface.name
    why = (
        _promotion_blocker(group)
        or f"it moves with {blocked.config.name}, and of that one: {_promotion_blocker(blocked)}"
    )
    text = f"{name} can't be promoted: {why}"
    peer = str(group.master or "")
    log(WARNING, "promotion_refused", text, group=name, interface=interface, peer=peer or None)
    refuse(Notice(kind="refused", group=name, interface=interface, peer=peer, text=text))


def _promotion_blocker(group: Group) -> str:
    """What is in the way, and what to do about it; empty where nothing is."""
    promotion_blocker = group.election.promotion_blocker
    if promotion_blocker is PromotionBlocker.INIT:
        return f"it takes no part in the election: {group.reason}"
    if promotion_blocker is PromotionBlocker.DEMOTED:
        causes = ", ".join(group.demotions) or "advertisements that can't be sent"
        return f"it is demoted by {causes}: take that back first"
    if promotion_blocker is PromotionBlocker.SLOWER:
        advbase = group.election.settings.advbase
        return (
            f"the master {group.master} advertises as fast as this node can with advbase {advbase}, or faster:"
            " let that one step down instead"
        )
    return ""
