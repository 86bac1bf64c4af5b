"""docs/recipes/no-multicast.md, its part for clusters, on nodes that drop multicast."""

import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.holders import HolderWatch
from tests.cluster.harness import HANDOVER_S, Cluster, api_stopped
from tests.cluster.workstation import Workstation
from tests.support.manual.page import claim
from tests.support.waits import SOON_S

(INSTALL,) = claim("docs/recipes/no-multicast.md", "helm upgrade --install carp")
DROP = (
    "nft 'add table ip mc; add chain ip mc i { type filter hook input priority 0; };"
    " add rule ip mc i ip daddr 224.0.0.18 drop'"
)


@pytest.fixture
def without_multicast(cluster: Cluster) -> Iterator[Cluster]:
    cluster.uninstall()
    for node in cluster.nodes.values():
        node.shell(DROP)
    try:
        yield cluster
    finally:
        for node in cluster.nodes.values():
            node.shell("nft delete table ip mc")
        cluster.uninstall()


def test_peers_are_discovered_and_kept_while_the_api_is_away(
    without_multicast: Cluster, workstation: Workstation, watch: HolderWatch
) -> None:
    since = time.monotonic()
    assert "Phase:          Succeeded" in workstation.run([INSTALL])
    master = without_multicast.wait_for_one_master()
    assert watch.two_holders_s(since) < HANDOVER_S
    with api_stopped():
        without_multicast.nodes[master].cut_off()
        try:
            watch.wait_until(lambda holders: len(holders - {master}) == 1, SOON_S, "another holder")
        finally:
            without_multicast.nodes[master].rejoin()
        rejoined = time.monotonic()
        watch.wait_for_exactly_one(SOON_S)
        watch.wait_until_quiet(4, SOON_S)
    without_multicast.wait_for_one_master(120)
    assert watch.two_holders_s(rejoined) < 2
