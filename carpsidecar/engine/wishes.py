"""What the reporter asked for, kept for groups that come later."""

from collections.abc import Callable, Collection
from ipaddress import ip_address
from logging import WARNING

from msgspec.structs import replace

from carpsidecar.engine.group import Group
from carpsidecar.logs import in_words, log
from carpsidecar.messages import SetAdvskew, SetDemotion, SetPeers, StepBack, ToEngine
from carpsidecar.protocol.packet import IPAddress

_DEMOTIONS_MAX = 64


class Wishes:
    """`bound_to` finds the groups of a name, those that move with it, or all of them for None."""

    def __init__(self, bound_to: Callable[[str | None], Collection[Group]]) -> None:
        self._bound_to = bound_to
        self._demotions: dict[tuple[str, str | None], SetDemotion] = {}
        self._advskew: int | None = None
        self._peers: tuple[IPAddress, ...] | None = None

    def grant(self, wish: ToEngine) -> None:
        if isinstance(wish, StepBack):
            for group in self._bound_to(wish.group):
                group.step_back()
        elif isinstance(wish, SetDemotion):
            self._demote(wish)
        elif isinstance(wish, SetAdvskew):
            self._advskew = wish.advskew
            for group in self._bound_to(None):
                group.use_advskew(wish.advskew)
        else:
            self._use_peers(wish)

    def apply_to(self, group: Group) -> None:
        """To one that is new."""
        if self._advskew is not None:
            group.use_advskew(self._advskew)
        if self._peers is not None:
            _give_peers(group, self._peers)
        for wish in self._demotions.values():
            if group in self._bound_to(wish.group):
                group.demote(wish.cause, wish.amount, wish.bow_out)

    def forget(self) -> None:
        """What a reporter with other settings asked for, except the peers, who are not gone for that."""
        for wish in list(self._demotions.values()):
            self._demote(replace(wish, amount=0))
        self.grant(SetAdvskew(advskew=None))

    def _demote(self, wish: SetDemotion) -> None:
        key = (wish.cause, wish.group)
        if wish.amount:
            if key not in self._demotions and len(self._demotions) >= _DEMOTIONS_MAX:
                log(WARNING, "demand_refused", f"the reporter demotes for more than {_DEMOTIONS_MAX} causes")
                return
            self._demotions[key] = wish
        else:
            self._demotions.pop(key, None)
        for group in self._bound_to(wish.group):
            group.demote(wish.cause, wish.amount, wish.bow_out)

    def _use_peers(self, wish: SetPeers) -> None:
        try:
            self._peers = tuple(map(ip_address, wish.peers))
        except ValueError as error:
            log(WARNING, "peers_refused", f"the reporter gives peers that can't be used: {error}")
            return
        for group in self._bound_to(None):
            _give_peers(group, self._peers)


def _give_peers(group: Group, peers: tuple[IPAddress, ...]) -> None:
    try:
        group.use_peers(peers)
    except OSError as error:
        log(WARNING, "peers_refused", f"the peers can't be used: {in_words(error)}", group=group.config.name)
