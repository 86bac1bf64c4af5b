"""One engine a group in a network namespace, and no other user can stand in its way."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from carpsidecar.linux import instance_lock
from carpsidecar.linux.instance_lock import AlreadyLocked, InstanceLock, holders
from tests.network.linux.helpers import Node

pytestmark = pytest.mark.network

NOBODY, REFUSED = 65534, 7


@pytest.fixture(params=["with IPv6", "without"])
def node(
    nodes: tuple[Node, Node], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Node]:
    if request.param == "without":
        monkeypatch.setattr(instance_lock, "_IPV6_TABLE", Path("/proc/net/nonexistent"))
    with nodes[0].inside():
        yield nodes[0]


def test_a_group_has_one_engine(node: Node) -> None:
    first = InstanceLock("eth0", 42)
    with pytest.raises(AlreadyLocked):
        InstanceLock("eth0", 42)
    assert len(holders("eth0", 42)) == 1
    first.close()
    assert not holders("eth0", 42)
    InstanceLock("eth0", 42).close()


@pytest.mark.parametrize(("interface", "vhid"), [("eth0", 43), ("eth1", 42), ("eth0", 42 + 256)])
def test_another_group_is_another_matter(node: Node, interface: str, vhid: int) -> None:
    first = InstanceLock("eth0", 42)
    InstanceLock(interface, vhid).close()
    first.close()


def test_another_network_namespace_is_another_machine(nodes: tuple[Node, Node]) -> None:
    with nodes[0].inside():
        first = InstanceLock("eth0", 42)
    with nodes[1].inside():
        assert not holders("eth0", 42)
        InstanceLock("eth0", 42).close()
    first.close()


def test_another_user_can_not_have_it(node: Node) -> None:
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            InstanceLock("eth0", 42)
        except PermissionError:
            os._exit(REFUSED)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == REFUSED


def test_two_that_start_at_one_moment_do_not_both_have_it(node: Node) -> None:
    for _ in range(20):
        with ThreadPoolExecutor(2) as pool:
            locks = [lock for lock in pool.map(try_to_lock, range(2)) if lock is not None]
        assert len(locks) <= 1
        for lock in locks:
            lock.close()


def try_to_lock(_number: int) -> InstanceLock | None:
    try:
        return InstanceLock("eth0", 42)
    except AlreadyLocked:
        return None
