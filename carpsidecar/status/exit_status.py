"""What `carpsidecar status` makes of it all: its exit status."""

from collections.abc import Sequence
from typing import Literal

from carpsidecar.status.model import GroupStatus, NodeStatus, Unreachable

ExitStatus = Literal[0, 1, 3, 4]
OK: ExitStatus = 0
NO_ENGINE: ExitStatus = 1
NO_MASTER: ExitStatus = 3
FAULT: ExitStatus = 4


def exit_status(engines: Sequence[NodeStatus], unreachable: Sequence[Unreachable]) -> ExitStatus:
    if not engines:
        return NO_ENGINE
    groups = [group for engine in engines for group in engine.groups]
    if unreachable or not all(engine.answers for engine in engines) or any(map(is_faulty, groups)):
        return FAULT
    if any(group.master is None for group in groups):
        return NO_MASTER
    return OK


def is_faulty(group: GroupStatus) -> bool:
    return group.role == "fault" or lacks_address(group)


def lacks_address(group: GroupStatus) -> bool:
    """Whether it is master, and the kernel does not have all addresses."""
    kernel = group.kernel
    return group.role == "master" and kernel is not None and len(kernel.held) < len(group.addresses)
