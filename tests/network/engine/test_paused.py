"""A backup whose machine was paused: it heard nothing, and its time to wait is over."""

import pytest

from tests.support.cluster import FAST, VHID, client_of, cluster_of
from tests.support.tap import Tap
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

BETTER = (*FAST, "--advskew", "40")
WORSE = (*FAST, "--advskew", "80")
MORE_THAN_ITS_PATIENCE = 8
"""Advertisements of the better one."""


def test_it_listens_before_it_takes_over_from_a_master_that_is_well() -> None:
    with cluster_of("a", "b") as cluster, client_of(cluster), Tap(cluster.lab.nodes["client2"]) as tap:
        _, b = cluster.start_one_by_one(("a", BETTER), ("b", WORSE))
        tap.wait_for_more(1, VHID, SOON_S)
        cluster["b"].drop_incoming()
        b.hang()
        tap.wait_for_more(MORE_THAN_ITS_PATIENCE, VHID, SOON_S)
        b.resume()
        b.wait_for("listens for an interval more", SOON_S)
        cluster["b"].rejoin()
        tap.wait_for_more(MORE_THAN_ITS_PATIENCE, VHID, SOON_S)
        assert cluster.watch.holders_now() == {"a"}
        assert "became master" not in b.log
