"""What the reporter asked for: done at once, and kept for groups that come later where it is to last."""

from collections.abc import Callable, Collection
from ipaddress import ip_address
from logging import WARNING

from msgspec.structs import replace

from carpsidecar import drained
from carpsidecar.engine.group import Group
from carpsidecar.engine.promotion import Refuse, promote
from carpsidecar.logs import in_words, log
from carpsidecar.messages import Promote, SetAdvskew, SetDemotion, SetPeers, StepBack, Wish
from carpsidecar.protocol.packet import IPAddress

_CAUSES_MAX = 64
"""That demote one group, or all of them."""
_DEMOTIONS_MAX = 4096


class Wishes:
    """Keeps and grants them.

    Args:
        bound_to: finds the groups of a name, those that move with it, or all of them for None.
        refuse: is told of what can't be.
    """

    def __init__(self, bound_to: Callable[[str | None], Collection[Group]], refuse: Refuse) -> None:
        self._bound_to = bound_to
        self._refuse = refuse
        self._demotions: dict[tuple[str, str | None], SetDemotion] = {}
        self._advskew: int | None = None
        self._peers: tuple[IPAddress, ...] | None = None

    def grant(self, wish: Wish) -> None:
        if isinstance(wish, StepBack):
            for group in self._bound_to(wish.group):
                group.step_back(wish.text)
        elif isinstance(wish, Promote):
            promote(self._bound_to(wish.group), wish, self._refuse)
        elif isinstance(wish, SetDemotion):
            self._demote(wish)
        elif isinstance(wish, SetAdvskew):
            self._advskew = wish.advskew
            for group in self._bound_to(None):
                group.use_advskew(wish.advskew)
        else:
            self._use_peers(wish)

    def apply_to(self, group: Group) -> None:
        """To one that is new, before it takes part."""
        if self._advskew is not None:
            group.use_advskew(self._advskew)
        if self._peers is not None:
            _give_peers(group, self._peers)
        for wish in self._demotions.values():
            if group in self._bound_to(wish.group):
                group.demote(wish.cause, wish.amount, wish.bow_out, wish.text)

    def forget(self) -> None:
        """What a reporter asked for that gets other settings now.

        Not the peers, who are not gone for that, nor what an operator asked for through it.
        """
        for wish in list(self._demotions.values()):
            if wish.cause != drained.CAUSE:
                self._demote(replace(wish, amount=0))
        self.grant(SetAdvskew(advskew=None))

    def _demote(self, wish: SetDemotion) -> None:
        groups = self._bound_to(wish.group)
        if not self._keep(wish, {group.config.name for group in groups}):
            log(WARNING, "demand_refused", f"the reporter demotes for more than {_CAUSES_MAX} causes")
            return
        for group in groups:
            group.demote(wish.cause, wish.amount, wish.bow_out, wish.text)

    def _keep(self, wish: SetDemotion, meant: Collection[str]) -> bool:
        """Of several about one group the newest counts, whichever names it. False: there are too many."""
        kept = self._demotions
        if wish.amount and (wish.cause, wish.group) not in kept:
            of_this_group = sum(group == wish.group for _, group in kept)
            if of_this_group >= _CAUSES_MAX or len(kept) >= _DEMOTIONS_MAX:
                return False
        for cause, group in list(kept):
            if cause == wish.cause and (wish.group is None or group == wish.group or group in meant):
                del kept[cause, group]
        if wish.amount or (wish.cause, None) in kept:
            kept[wish.cause, wish.group] = wish
        return True

    def _use_peers(self, wish: SetPeers) -> None:
        try:
            self._peers = tuple(map(ip_address, wish.peers))
        except ValueError as error:
            log(WARNING, "demand_refused", f"the reporter gives peers that can't be used: {error}")
            return
        for group in self._bound_to(None):
            _give_peers(group, self._peers)


def _give_peers(group: Group, peers: tuple[IPAddress, ...]) -> None:
    try:
        group.use_peers(peers)
    except OSError as error:
        log(WARNING, "peers_refused", f"the peers can't be used: {in_words(error)}", group=group.config.name)
