"""What the reporter asked for: done at once, and kept for groups that come later where it is to last."""

from collections.abc import Callable, Collection
from ipaddress import ip_address
from logging import WARNING

from msgspec.structs import replace

from carpsidecar import drained
from carpsidecar.engine.group import Group
from carpsidecar.engine.promotion import Refuse, promote
from carpsidecar.ipc.messages import Command, Promote, SetAdvskew, SetDemotion, SetPeers, StepDown
from carpsidecar.logs import in_words, log
from carpsidecar.protocol.packet import IPAddress

_CAUSES_MAX = 64
"""That demote one group, or all of them."""
_DEMOTIONS_MAX = 4096


class Commands:
    """Handles them.

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

    def handle(self, command: Command) -> None:
        if isinstance(command, StepDown):
            for group in self._bound_to(command.group):
                group.step_down(command.text)
        elif isinstance(command, Promote):
            promote(self._bound_to(command.group), command, self._refuse)
        elif isinstance(command, SetDemotion):
            self._demote(command)
        elif isinstance(command, SetAdvskew):
            self._advskew = command.advskew
            for group in self._bound_to(None):
                group.use_advskew(command.advskew)
        else:
            self._use_peers(command)

    def apply_to(self, group: Group) -> None:
        """To one that is new, before it takes part."""
        if self._advskew is not None:
            group.use_advskew(self._advskew)
        if self._peers is not None:
            _give_peers(group, self._peers)
        for command in self._demotions.values():
            if group in self._bound_to(command.group):
                group.demote(command.cause, command.amount, command.bow_out, command.text)

    def forget(self) -> None:
        """What a reporter asked for that gets other settings now.

        Not the peers, who are not gone for that, nor what an operator asked for through it.
        """
        for command in list(self._demotions.values()):
            if command.cause != drained.CAUSE:
                self._demote(replace(command, amount=0))
        self.handle(SetAdvskew(advskew=None))

    def _demote(self, command: SetDemotion) -> None:
        groups = self._bound_to(command.group)
        if not self._keep(command, {group.config.name for group in groups}):
            log(WARNING, "reporter_refused", f"the reporter demotes for more than {_CAUSES_MAX} causes")
            return
        for group in groups:
            group.demote(command.cause, command.amount, command.bow_out, command.text)

    def _keep(self, command: SetDemotion, meant: Collection[str]) -> bool:
        """Of several about one group the newest counts, whichever names it. False: there are too many."""
        kept = self._demotions
        if command.amount and (command.cause, command.group) not in kept:
            of_this_group = sum(group == command.group for _, group in kept)
            if of_this_group >= _CAUSES_MAX or len(kept) >= _DEMOTIONS_MAX:
                return False
        for cause, group in list(kept):
            if cause == command.cause and (command.group is None or group == command.group or group in meant):
                del kept[cause, group]
        if command.amount or (command.cause, None) in kept:
            kept[command.cause, command.group] = command
        return True

    def _use_peers(self, command: SetPeers) -> None:
        try:
            self._peers = tuple(map(ip_address, command.peers))
        except ValueError as error:
            log(WARNING, "reporter_refused", f"the reporter gives peers that can't be used: {error}")
            return
        for group in self._bound_to(None):
            _give_peers(group, self._peers)


def _give_peers(group: Group, peers: tuple[IPAddress, ...]) -> None:
    try:
        group.use_peers(peers)
    except OSError as error:
        log(WARNING, "peers_refused", f"the peers can't be used: {in_words(error)}", group=group.config.name)
