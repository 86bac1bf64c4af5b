"""`helm upgrade` with more addresses, and a passphrase that is rotated: one master at every moment."""

import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.probe import Probe
from tests.cluster.harness import HANDOVER_S, NAMESPACE, RELEASE, VIP, Cluster
from tests.cluster.measure import record
from tests.cluster.workstation import Workstation
from tests.support.manual.page import claim
from tests.support.waits import SOON_S

THIRTEEN = [VIP, *(f"10.77.0.{number}" for number in range(130, 142))]
SECRET = f"{RELEASE}-carpsidecar-passphrase"
_PATCH = f"kubectl patch secret -n carp {SECRET} "
ROTATION = claim(
    "docs/recipes/change.md",
    f'{_PATCH}--patch \'{{"stringData": {{"previous"',
    f'{_PATCH}\\\n    --patch \'{{"stringData": {{"passphrase"',
    f"{_PATCH}--type json",
)


@pytest.fixture
def probe(cluster: Cluster) -> Iterator[Probe]:
    """A client that asks every 2 ms."""
    with Probe(cluster.client, VIP) as probe:
        yield probe


def test_twelve_more_addresses_by_an_upgrade(installed: Cluster, probe: Probe, watch: HolderWatch) -> None:
    installed.wait_for_rollout()
    probe.wait_until_answered_by(installed.wait_for_one_master(), SOON_S)
    since = time.monotonic()
    installed.install(f"vip={{{','.join(THIRTEEN)}}}")
    installed.wait_for_rollout()
    master = installed.wait_for_one_master()
    expect_one_master("twelve more addresses", probe, watch, since)
    held = installed.nodes[master].run(["ip", "-4", "addr", "show", "dev", "eth0"])
    assert all(f" {ip}/" in held for ip in THIRTEEN)


def test_a_rotation_of_the_passphrase(
    installed: Cluster, workstation: Workstation, probe: Probe, watch: HolderWatch
) -> None:
    old = '{"stringData": {"passphrase": "the old one"}}'
    installed.kubectl("patch", "secret", "-n", NAMESPACE, SECRET, "--patch", old)
    installed.kubectl("delete", "pods", "-n", NAMESPACE, "--all")
    installed.wait_for_rollout()
    probe.wait_until_answered_by(installed.wait_for_one_master(), SOON_S)
    since = time.monotonic()
    for step in ROTATION:
        workstation.run([step])
        installed.wait_for_one_master()
    expect_one_master("passphrase rotated", probe, watch, since)
    data = installed.kubectl("get", "secret", "-n", NAMESPACE, SECRET, "-o", "jsonpath={.data}")
    assert "previous" not in data


def expect_one_master(event: str, probe: Probe, watch: HolderWatch, since: float) -> None:
    outage_s, two_s = probe.longest_outage_s(since), watch.two_holders_s(since)
    record(event, without_answer=outage_s, two_holders=two_s, took=time.monotonic() - since)
    assert two_s < HANDOVER_S
    assert outage_s < 1
