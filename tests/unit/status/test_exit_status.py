"""The exit status of `carpsidecar status`."""

import pytest

from carpsidecar.status.exit_status import exit_status
from carpsidecar.status.model import KernelView, NodeStatus, Unreachable
from tests.unit.status.builders import backup, engine, group

LEFT = Unreachable(socket="/run/carpsidecar/7.sock", why="nobody listens there any more")
BARE = KernelView(link="up", held={})


@pytest.mark.parametrize(
    ("expected", "engines", "unreachable"),
    [
        (0, [engine(group())], []),
        (0, [engine(group(kernel=None))], []),
        (0, [engine(backup()), engine(group())], []),
        (0, [engine()], []),
        (1, [], []),
        (1, [], [LEFT]),
        (3, [engine(group(), backup(master=None))], []),
        (3, [engine(backup(role="init", master=None))], []),
        (4, [engine(backup(role="fault", master=None))], []),
        (4, [engine(backup(master=None), group(kernel=BARE))], []),
        (4, [engine(group(), answers=False)], []),
        (4, [engine(group())], [LEFT]),
    ],
)
def test_a_fault_counts_more_than_no_master(
    expected: int, engines: list[NodeStatus], unreachable: list[Unreachable]
) -> None:
    assert exit_status(engines, unreachable) == expected
