"""The reporter's commands: followed at once, and kept for groups that come later where they last."""

from collections.abc import Callable, Collection
from ipaddress import ip_address
from logging import WARNING

from msgspec.structs import replace

from carpsidecar import drained
from carpsidecar.engine.drain_files import DrainFiles
from carpsidecar.engine.group import Group
from carpsidecar.engine.promotion import promote
from carpsidecar.ipc.messages import (
    Drain,
    GroupCommand,
    Promote,
    Result,
    SetAdvskew,
    SetDemotion,
    SetPeers,
    StepDown,
    Withhold,
)
from carpsidecar.logs import in_words, log
from carpsidecar.member.demotions import is_own
from carpsidecar.protocol.packet import IPAddress

_CAUSES_MAX = 64
"""That demote one group, or all of them."""
_DEMOTIONS_MAX = 4096


class Refused(Exception):
    """Why a command can't be followed."""


class Commands:
    """
    Args:
        bound_to: finds the groups of a name, those that move with it, or all of them for None.
        files: where drains outlast the engine.
    """

    def __init__(self, bound_to: Callable[[str | None], Collection[Group]], files: DrainFiles) -> None:
        self._files = files
        self._bound_to = bound_to
        self._demotions: dict[tuple[str, str | None], SetDemotion] = {}
        self._withheld: dict[str, Withhold] = {}
        self._advskew: int | None = None
        self._peers: tuple[IPAddress, ...] | None = None

    def handle(self, command: GroupCommand, answer: Callable[[Result], object]) -> None:
        """`answer` is called once; at once, but for what is to be stored."""
        try:
            if isinstance(command, Drain):
                self._drain(command, answer)
                return
            self._follow(command)
        except Refused as refused:
            answer(Result(id=command.id, outcome="refused", reason=str(refused)))
        else:
            answer(Result(id=command.id, outcome="done"))

    def demote_as_before(self, demotion: SetDemotion) -> None:
        """By a drain that the last engine left."""
        self._follow(demotion)

    def apply_to(self, group: Group) -> None:
        """To one that is new, before it takes part."""
        if self._advskew is not None and not group.services:
            group.use_advskew(self._advskew)
        if self._peers is not None:
            _use_peers(group, self._peers)
        if (withheld := self._withheld.get(group.config.name)) is not None:
            group.withhold(withheld.role, withheld.text)
        for command in self._demotions.values():
            if group in self._bound_to(command.group):
                group.demote(command.cause, command.amount, command.bow_out, command.text)

    def forget_group(self, name: str) -> None:
        """It is gone, and what a later one of this name does has nothing to do with it."""
        self._withheld.pop(name, None)
        drains = {(drained.CAUSE, None), (drained.CAUSE, name)} & self._demotions.keys()
        if drains:
            self._files.store([name], None, lambda _problem: None)
        for cause, group in list(self._demotions):
            if group == name:
                del self._demotions[cause, group]

    def forget(self) -> None:
        """What a reporter set that gets other settings now.

        Not the peers, who are not gone for that, nor what an operator set through it.
        """
        for command in list(self._demotions.values()):
            if command.cause != drained.CAUSE:
                self._follow(replace(command, amount=0))
        for withheld in list(self._withheld.values()):
            self._follow(replace(withheld, text=""))
        self._follow(SetAdvskew(advskew=None))

    def _drain(self, command: Drain, answer: Callable[[Result], object]) -> None:
        """Raises: Refused."""
        groups = self._groups(command.group)
        if command.group is None and command.on:
            names = [drained.NODE, *(group.config.name for group in groups if not group.services)]
        else:
            names = [drained.NODE] if command.group is None else []
            names += [group.config.name for group in groups]
        amount = drained.DEMOTION if command.on else 0
        self._demote(
            SetDemotion(
                cause=drained.CAUSE, amount=amount, group=command.group, bow_out=command.on, text=command.text
            )
        )
        self._files.store(
            names,
            command.text if command.on else None,
            lambda problem: _done(command.id, problem, answer),
        )

    def _follow(self, command: GroupCommand) -> None:
        """Raises: Refused."""
        match command:
            case StepDown():
                for group in self._groups(command.group):
                    group.step_down(command.text)
            case Promote():
                refusal = promote(self._groups(command.group), command.text)
                if refusal:
                    raise Refused(refusal)
            case Withhold():
                self._withhold(command)
            case SetDemotion():
                self._demote(command)
            case SetAdvskew():
                self._advskew = command.advskew
                for group in self._bound_to(None):
                    if not group.services:  # each of theirs has a rank of its own
                        group.use_advskew(command.advskew)
            case SetPeers():
                self._use_peers(command)

    def _groups(self, name: str | None) -> Collection[Group]:
        """Raises: Refused."""
        groups = self._bound_to(name)
        if not groups and name is not None:
            raise Refused("there is no such group here")
        return groups

    def _withhold(self, command: Withhold) -> None:
        """Raises: Refused."""
        groups = self._groups(command.group)
        if command.text and any(group.is_master for group in groups):
            raise Refused("it is master, and goes on")
        self._withheld.pop(command.group, None)
        if command.text:
            self._withheld[command.group] = command
        for group in groups:
            if group.config.name == command.group:
                group.withhold(command.role, command.text)

    def _demote(self, command: SetDemotion) -> None:
        """Raises: Refused."""
        if is_own(command.cause):
            raise _refused(f"the reporter demotes for {command.cause}, which is the engine's own cause")
        groups = self._bound_to(command.group)
        if not self._keep(command, {group.config.name for group in groups}):
            raise _refused(f"the reporter demotes for more than {_CAUSES_MAX} causes")
        for group in groups:
            group.demote(command.cause, command.amount, command.bow_out, command.text)

    def _keep(self, command: SetDemotion, groups: Collection[str]) -> bool:
        """Of several about one group the newest counts, whichever names it. False: there are too many."""
        kept = self._demotions
        if command.amount and (command.cause, command.group) not in kept:
            of_this_group = sum(group == command.group for _, group in kept)
            if of_this_group >= _CAUSES_MAX or len(kept) >= _DEMOTIONS_MAX:
                return False
        for cause, group in list(kept):
            if cause == command.cause and (command.group is None or group == command.group or group in groups):
                del kept[cause, group]
        if command.amount or (command.cause, None) in kept:
            kept[command.cause, command.group] = command
        return True

    def _use_peers(self, command: SetPeers) -> None:
        """Raises: Refused."""
        try:
            self._peers = tuple(map(ip_address, command.peers))
        except ValueError as error:
            raise _refused(f"the reporter gives peers that can't be used: {error}") from None
        problems = [problem for group in self._bound_to(None) if (problem := _use_peers(group, self._peers))]
        if problems:
            raise Refused("; ".join(problems))


def _done(command_id: int, problem: str, answer: Callable[[Result], object]) -> None:
    answer(Result(id=command_id, outcome="done", reason=problem))


def _refused(text: str) -> Refused:
    log(WARNING, "reporter_refused", text)
    return Refused(text)


def _use_peers(group: Group, peers: tuple[IPAddress, ...]) -> str:
    """Why they can't be used; empty where they can."""
    try:
        group.use_peers(peers)
    except OSError as error:
        log(WARNING, "peers_refused", f"the peers can't be used: {in_words(error)}", group=group.config.name)
        return f"{group.config.name}: the peers can't be used: {in_words(error)}"
    return ""
