"""Groups that move together: one in trouble takes all with it, and they are promoted all or none."""

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar


class Bound(Protocol):
    """What may be bound to others of its kind."""

    @property
    def sync_group(self) -> str | None: ...


B = TypeVar("B", bound=Bound)


def siblings(of: B, among: Iterable[B]) -> list[B]:
    """The others that move with this one."""
    if of.sync_group is None:
        return []
    return [other for other in among if other is not of and other.sync_group == of.sync_group]


def bound_together(members: Collection[B]) -> list[list[B]]:
    """All of them, each with its siblings, in their order."""
    together: dict[object, list[B]] = {}
    for member in members:
        key = member.sync_group if member.sync_group is not None else id(member)
        together.setdefault(key, []).append(member)
    return list(together.values())
