"""Starts that cannot work on this machine: one line that says why, and the right exit status."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from carpsidecar.lab.commands import environment
from tests.support.cluster import PASSPHRASE, VIP, Cluster, addresses, cluster_of, holds, run_command
from tests.support.daemon import wait_for_start
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

FAILED, MISUSED = 1, 2
WITHOUT_PRIVILEGE = ("setpriv", "--bounding-set", "-net_admin,-net_raw")


@dataclass
class End:
    status: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("a") as cluster:
        yield cluster


def start(cluster: Cluster, *argv: str, name: str = "a") -> End:
    """Start it as a shell would, and wait for its end."""
    done = subprocess.run(
        ["ip", "netns", "exec", cluster[name].ns, *argv],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environment({"CARP_PASSPHRASE": PASSPHRASE}),
    )
    return End(done.returncode, done.stdout, done.stderr)


def refuses(end: End, status: int, why: str) -> None:
    assert end.status == status, end.stderr
    assert end.stdout == ""
    assert re.fullmatch(rf"carpsidecar: {why}\n", end.stderr), end.stderr
    assert "Traceback" not in end.stderr


def test_without_privilege(cluster: Cluster) -> None:
    end = start(cluster, *WITHOUT_PRIVILEGE, *run_command())
    refuses(end, FAILED, "needs CAP_NET_ADMIN and CAP_NET_RAW: run it as root, or give it these capabilities")


def test_the_address_is_the_machines_own(cluster: Cluster) -> None:
    own = str(cluster["a"].address)
    before = addresses(cluster["a"])
    end = start(cluster, *run_command(vip=own))
    refuses(end, MISUSED, rf"vip: {re.escape(own)} is this machine's own.* address: give one that no.*")
    own6 = str(cluster["a"].address6)
    end = start(cluster, *run_command("--vip", own6))
    refuses(end, MISUSED, rf"vip: {own6} is this machine's own.* address: give one that no.*")
    assert addresses(cluster["a"]) == before, "and it is left alone"


def test_a_second_engine_for_the_same_group(cluster: Cluster) -> None:
    first = cluster.start("a", "--advbase", "0", "--advskew", "40")
    first.wait_for("became master", SOON_S)
    heard = wait_for_start(first)
    end = start(cluster, *run_command())
    refuses(end, FAILED, "vhid 42 on eth0: another carpsidecar serves it on this machine: stop that one first")
    # It did not even touch the first one's address.
    assert first.log[heard:] == ""
    assert holds(cluster["a"], VIP)

    # Another group is another matter, and the first one's successor is welcome.
    other = cluster.start("a", "--advbase", "0", "--advskew", "40", vip="10.99.0.101", vhid=43)
    other.wait_for("became master", SOON_S)
    assert (first.stop(), other.stop()) == (0, 0)
    successor = cluster.start("a", "--advbase", "0", "--advskew", "40")
    successor.wait_for("became master", SOON_S)
    assert successor.stop() == 0


def test_two_groups_that_turn_out_to_share_an_interface(cluster: Cluster, tmp_path: Path) -> None:
    """Only the route to the first one's address tells."""
    unnamed = {"vip": VIP, "vhid": 7}
    named = {"vip": "10.99.0.101", "vhid": 7, "interface": "eth0", "name": "other"}
    file = tmp_path / "carp.yaml"
    file.write_text(yaml.safe_dump({"groups": [unnamed, named]}))
    end = start(cluster, *run_command("--config", str(file), vip=None, vhid=None, interface=None))
    refuses(end, MISUSED, "vhid: 7 is given to two groups on eth0: give each its own")


@pytest.mark.parametrize("flags", [(), ("--source", "10.99.0.77")])
def test_an_interface_that_does_not_exist_is_waited_for(cluster: Cluster, flags: tuple[str, ...]) -> None:
    process = cluster.start("a", *flags, interface="eth7")
    process.wait_for("waiting: interface eth7 is not there", SOON_S)
    with pytest.raises(TimeoutError):
        process.wait(0.3)
    assert process.stop() == 0


def test_the_least_that_works_is_an_address_and_a_passphrase(cluster: Cluster) -> None:
    process = cluster.start("a", vip="10.99.0.123", vhid=None, interface=None)
    process.wait_for("vhid-123: became backup: started", SOON_S)
    assert process.stop() == 0
