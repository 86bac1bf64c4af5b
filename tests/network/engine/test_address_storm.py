"""Thousands of address changes a second on the group's own interface cost no master its lease."""

import subprocess
from pathlib import Path

import pytest

from carpsidecar.lab.namespace import in_namespace
from tests.support.cluster import FAST, cluster_of
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

CHANGES = 120_000


def test_a_storm_of_addresses_leaves_the_master_alone(tmp_path: Path) -> None:
    batch = tmp_path / "batch"
    batch.write_text(
        "".join(
            f"address {verb} 198.51.100.{number % 250 + 1}/32 dev eth0\n"
            for number in range(CHANGES // 2)
            for verb in ("add", "del")
        )
    )
    with cluster_of("a", "b") as cluster:
        a, b = cluster.start_one_by_one(("a", (*FAST, "--advskew", "40")), ("b", (*FAST, "--advskew", "80")))
        heard = a.log_size, b.log_size
        with in_namespace(cluster["a"].ns):
            storm = subprocess.run(["ip", "-batch", batch], check=False, timeout=SOON_S)
        assert storm.returncode == 0
        assert "became" not in a.log[heard[0] :]
        assert "became" not in b.log[heard[1] :]
        assert (a.stop(), b.stop()) == (0, 0)
