"""Rules as both kinds of firewall have them, and what becomes of a packet that walks through.

Whether a rule matches is known, or known not to, or can't be known (a rate limit, a mark): True, False, None.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Literal

from msgspec import Struct

from carpsidecar.linux.netlink import IPAddress

PROTOCOL = 112
PROTOCOL_NAMES = {"112", "vrrp", "carp"}
_DEPTH_MAX = 32

Match = bool | None
Direction = Literal["in", "out"]


class Traffic(Struct, frozen=True):
    """Advertisements of one family that come in, or go out, by one interface."""

    direction: Direction
    interface: str
    sources: tuple[IPAddress, ...]
    """Empty: nobody knows."""
    destination: IPAddress | None
    """None: several."""
    family: Literal[4, 6]

    @property
    def multicast(self) -> bool:
        return self.destination is not None and self.destination.is_multicast


class Rule(Struct, frozen=True):
    """`action` is accept, drop, return, jump or goto; empty where the packet goes on. `about_us`: it names us."""

    match: Match
    action: Literal["accept", "drop", "return", "jump", "goto", ""]
    target: str = ""
    text: str = ""
    about_us: bool = False


class Base(Struct, frozen=True):
    """Where a packet enters: one chain of a hook, and what becomes of it at the end."""

    chain: str
    policy: Literal["accept", "drop"]
    label: str


class Drop(Struct, frozen=True):
    """A packet that is dropped, or (not `certain`) may be."""

    where: str
    certain: bool


class _Walk:
    def __init__(self, chains: Mapping[str, Sequence[Rule]]) -> None:
        self._chains = chains
        self.uncertain = False
        self.maybe = ""

    def through(self, chain: str, depth: int = 0) -> tuple[str, str] | None:
        """What the chain decides, and by which rule; None: the packet returns from it."""
        if depth > _DEPTH_MAX:
            return None
        for rule in self._chains.get(chain, ()):
            if rule.match is False or not rule.action:
                continue
            if rule.action in ("jump", "goto"):
                before = self.uncertain
                decided = self.through(rule.target, depth + 1)
                if rule.match is True:
                    if decided is not None:
                        return decided
                    if rule.action == "goto":
                        return None
                elif decided is not None:
                    self.uncertain = before or decided[0] == "accept"
                continue
            if rule.match is None:
                if rule.action != "drop":
                    self.uncertain = True
                elif rule.about_us:
                    self.maybe = self.maybe or rule.text
                continue
            return None if rule.action == "return" else (rule.action, rule.text)
        return None


def drops(bases: Iterable[Base], chains: Mapping[str, Sequence[Rule]]) -> list[Drop]:
    """Each hook's chain that takes the packet away, or may."""
    found = []
    for base in bases:
        walk = _Walk(chains)
        verdict, text = walk.through(base.chain) or (base.policy, "its policy is drop, and no rule lets 112 pass")
        if verdict == "drop":
            found.append(Drop(f"{base.label}: {text}", certain=not walk.uncertain))
        elif walk.maybe:
            found.append(Drop(f"{base.label}: {walk.maybe}", certain=False))
    return found


def both(matches: Iterable[Match]) -> Match:
    """Whether all match."""
    result: Match = True
    for match in matches:
        if match is False:
            return False
        if match is None:
            result = None
    return result


def negate(match: Match) -> Match:
    return None if match is None else not match


def in_network(address: IPAddress, text: str) -> Match:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    return address.version == network.version and address in network


def source_in(traffic: Traffic, text: str) -> Match:
    """True where all senders are in there, False where none is."""
    found = {in_network(source, text) for source in traffic.sources}
    return found.pop() if len(found) == 1 else None


def destination_in(traffic: Traffic, text: str) -> Match:
    return None if traffic.destination is None else in_network(traffic.destination, text)


def is_new(states: Iterable[str], traffic: Traffic) -> Match:
    """Connection tracking sees no answer to multicast, so that every advertisement is a new connection to it."""
    names = {state.lower() for state in states}
    if "new" in names:
        return True
    return False if traffic.multicast and "untracked" not in names else None
