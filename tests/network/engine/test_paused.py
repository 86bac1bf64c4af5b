"""A backup whose machine was paused: it heard nothing, and its time to wait is over."""

import pytest

from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, VHID, Cluster, client_of, cluster_of
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
        seen = pause_deaf(cluster, b)
        tap.wait_for_more(MORE_THAN_ITS_PATIENCE, VHID, SOON_S)
        b.resume()
        b.wait_for("listens for an interval more", SOON_S, seen)
        cluster["b"].rejoin()
        tap.wait_for_more(MORE_THAN_ITS_PATIENCE, VHID, SOON_S)
        assert cluster.watch.holders_now() == {"a"}
        assert "became master" not in b.log[seen:]


def pause_deaf(cluster: Cluster, b: Process) -> int:
    """Stop it right after it hears nothing more, so that nothing waits in its sockets; where its log ends then.

    On a machine that is so busy that its patience is over before we have stopped it, once more.
    """
    while True:
        seen = b.log_size
        cluster["b"].drop_incoming()
        b.hang()
        if "became master" not in b.log[seen:]:
            return b.log_size
        b.resume()
        cluster["b"].rejoin()
        b.wait_for("became backup", SOON_S, seen)
