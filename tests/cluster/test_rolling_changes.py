"""`helm upgrade` with other addresses or groups, and a passphrase that is rotated: one master at every moment."""

import json
import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.probe import Probe
from tests.cluster.harness import HANDOVER_S, NAMESPACE, OURS, RELEASE, VIP, Cluster
from tests.cluster.measure import record
from tests.cluster.workstation import Workstation
from tests.support.manual.page import claim
from tests.support.waits import SOON_S

OTHER = "10.77.0.120"
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
    assert set(THIRTEEN) <= held_on(installed, master)


def test_another_group_by_an_upgrade(installed: Cluster, probe: Probe, watch: HolderWatch) -> None:
    installed.wait_for_rollout()
    probe.wait_until_answered_by(installed.wait_for_one_master(), SOON_S)
    since = time.monotonic()
    installed.install(*groups_of(VIP, OTHER))
    installed.wait_for_rollout()
    installed.wait_for_one_master()
    expect_one_master("another group", probe, watch, since)
    masters = installed.pods(f"{OURS},carp-role-mail=master")
    assert [OTHER in held_on(installed, pod["spec"]["nodeName"]) for pod in masters] == [True]


def test_another_address_by_an_upgrade(installed: Cluster, watch: HolderWatch) -> None:
    installed.wait_for_rollout()
    since = time.monotonic()
    with HolderWatch(list(installed.nodes.values()), OTHER) as others:
        installed.install(f"vip={OTHER}")
        installed.wait_for_rollout()
        master = installed.wait_for_one_master()
        others.wait_until(lambda holders: holders == {master}, SOON_S, "a holder of the new address")
        watch.wait_until(lambda holders: not holders, SOON_S, "the end of the old address")
        taken_at = next(change.at for change in others.changes if change.held)
        left_at = next(change.at for change in reversed(watch.changes) if not change.held)
        record("another address", without_either=max(0.0, taken_at - left_at), took=time.monotonic() - since)
        assert others.two_holders_s() < HANDOVER_S
    assert watch.two_holders_s(since) < HANDOVER_S


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


def groups_of(*vips: str) -> list[str]:
    names = ("web", "mail")
    return [
        value
        for number, vip in enumerate(vips)
        for value in (f"groups[{number}].name={names[number]}", f"groups[{number}].vip={vip}")
    ]


def held_on(cluster: Cluster, node: str) -> set[str]:
    shown = json.loads(cluster.nodes[node].run(["ip", "-4", "-json", "addr", "show", "dev", "eth0"]))
    return {one["local"] for one in shown[0]["addr_info"]}


def expect_one_master(event: str, probe: Probe, watch: HolderWatch, since: float) -> None:
    outage_s, two_s = probe.longest_outage_s(since), watch.two_holders_s(since)
    record(event, without_answer=outage_s, two_holders=two_s, took=time.monotonic() - since)
    assert len({change.node for change in watch.changes if change.held}) > 1, "it moved when its pod was replaced"
    assert two_s < HANDOVER_S
    assert outage_s < 1
