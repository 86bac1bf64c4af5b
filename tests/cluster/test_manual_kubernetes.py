"""docs/kubernetes.md and the few lines of the READMEs, command by command."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar import __version__
from carpsidecar.lab.holders import HolderWatch
from docs.tools.registry import EXAMPLE
from tests.binary.registry import registry
from tests.cluster.conftest import IMAGE
from tests.cluster.harness import HANDOVER_S, NAMESPACE, ROOT, Cluster
from tests.cluster.workstation import Workstation
from tests.support.manual.page import Block, claim
from tests.support.waits import SOON_S

(
    PUBLISHED,
    INSTALL,
    MAKE,
    PUSH,
    LOAD,
    LOOK,
    STATUS,
    STATUS_SAYS,
    DOCTOR,
    PORT_FORWARD,
    ANNOTATE,
    DRAIN,
    GROUPS,
    PASSPHRASE,
) = claim("docs/kubernetes.md")
READMES = [block for page in ("README.md", "charts/carpsidecar/README.md") for block in claim(page, "helm install")]
[README_MAKE] = claim("README.md", "make image")


@pytest.fixture(scope="module")
def page(cluster: Cluster, workstation: Workstation) -> Iterator[Cluster]:
    """Installed as the page says, in a namespace that was not there."""
    cluster.uninstall()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    assert "Phase:          Succeeded" in workstation.run([INSTALL])
    cluster.wait_for_one_master()
    yield cluster
    cluster.uninstall()


def test_the_published_chart_takes_what_the_other_takes() -> None:
    """tests/cluster/test_published.py installs it."""
    assert PUBLISHED.title == "the published chart"
    assert "--set vip=192.0.2.100" in INSTALL.text


def test_make_image_has_been_run() -> None:
    """Else there would be no cluster."""
    for block in (MAKE, README_MAKE):
        assert block.text.startswith("make image ")
        assert IMAGE.name in block.text


def test_the_image_goes_to_a_registry(tmp_path: Path) -> None:
    if not IMAGE.exists():
        pytest.skip(f"{IMAGE.name} has not been built: make image")
    with registry(tmp_path / "registry") as address:
        command = PUSH.text.replace(EXAMPLE, f"{address}/carp").replace("copy", "copy --dest-tls-verify=false", 1)
        subprocess.run(["sh", "-ec", command], cwd=IMAGE.parent.parent, check=True, capture_output=True)
        shown = ["skopeo", "list-tags", "--tls-verify=false", f"docker://{address}/carp/carpsidecar"]
        tags = json.loads(subprocess.run(shown, check=True, capture_output=True).stdout)["Tags"]
    assert tags == [__version__]


def test_the_image_is_loaded_on_a_node(cluster: Cluster) -> None:
    for node in cluster.nodes:
        environment = {**os.environ, "CONTAINERD_ADDRESS": str(ROOT / node / "containerd.sock")}
        load = ["sh", "-ec", LOAD.text]
        done = subprocess.run(load, cwd=IMAGE.parent, env=environment, check=True, capture_output=True, text=True)
        assert f"localhost/carpsidecar:{__version__}" in done.stdout


def test_who_holds_it(page: Cluster, workstation: Workstation) -> None:
    master = page.wait_for_one_master()
    output = workstation.run([LOOK])
    assert master in output
    assert "CarpMaster" in output
    assert "condition met" in output


def test_what_the_node_itself_knows(page: Cluster, workstation: Workstation) -> None:
    page.wait_for_one_master()
    workstation.run([STATUS, STATUS_SAYS])
    assert "10.77.0.100" in workstation.run([DOCTOR])


def test_the_status_page_by_port_forward(page: Cluster, workstation: Workstation) -> None:
    with workstation.left_running(PORT_FORWARD):
        page.wait_for(lambda: "<html" in workstation.shell("curl --silent http://127.0.0.1:9112/"), "the page")


def test_the_annotation_sends_the_address_elsewhere(
    page: Cluster, workstation: Workstation, watch: HolderWatch
) -> None:
    _expect_a_handover(page, workstation, watch, ANNOTATE)


def test_drain_by_command_sends_the_address_elsewhere(
    page: Cluster, workstation: Workstation, watch: HolderWatch
) -> None:
    assert "disk swap" in _expect_a_handover(page, workstation, watch, DRAIN)


def _expect_a_handover(page: Cluster, workstation: Workstation, watch: HolderWatch, block: Block) -> str:
    former = page.wait_for_one_master()
    watch.wait_for_exactly_one(SOON_S)
    since = time.monotonic()
    output = workstation.run([block])
    watch.wait_until(lambda holders: bool(holders - {former}), SOON_S, "another holder")
    page.wait_for(lambda: page.wait_for_one_master() != former, "another master")
    assert watch.two_holders_s(since) < HANDOVER_S
    return output


def test_the_passphrase_can_be_read(page: Cluster, workstation: Workstation) -> None:
    [secret] = page.get(
        "secrets", "-n", NAMESPACE, "-l", "app.kubernetes.io/instance=carp", "--field-selector", "type=Opaque"
    )
    assert workstation.run([PASSPHRASE]) == base64.b64decode(secret["data"]["passphrase"]).decode()


@pytest.mark.parametrize("readme", READMES, ids=lambda block: block.page)
def test_a_readme_installs_it(cluster: Cluster, workstation: Workstation, readme: Block) -> None:
    """As typed, from a checkout: the nodes have what `make image` makes, by the name that the chart asks for."""
    cluster.uninstall()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    workstation.run([readme])
    cluster.wait_for_one_master()
    cluster.uninstall()
