"""The chart from a registry, with one value: the nodes pull its image by digest, and a second version follows."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar import __version__
from carpsidecar.lab.commands import run
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.probe import Probe
from docs.tools.registry import EXAMPLE
from tests.binary.conftest import DIST, NATIVE, SOURCE, built
from tests.binary.registry import registry
from tests.cluster.harness import CONTROL_PLANE, HANDOVER_S, VIP, Cluster, command_line
from tests.cluster.measure import record
from tests.support.manual.page import claim
from tests.support.waits import SOON_S

INSIDE = ("ip", "netns", "exec", CONTROL_PLANE)
REGISTRY = "10.77.0.1:5000"
# Helm takes plain HTTP from this name alone.
LOCAL = "localhost:5000/carp"
CHART = f"oci://{LOCAL}/charts/carpsidecar"
[PUBLISHED] = claim("docs/kubernetes.md", "helm install carp oci://")
INSTALL = shlex.split(PUBLISHED.text.replace("\\\n", "").replace(EXAMPLE, LOCAL).replace("192.0.2.100", VIP))[1:]
NEXT = "99.0.0"


@pytest.fixture(scope="module")
def versions(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """By version, the image that is in the registry: the release in dist/, and one that follows it."""
    archive = built(f"carpsidecar-image-{NATIVE}.tar")
    folder = tmp_path_factory.mktemp("published")
    with registry(folder / "registry", "0.0.0.0:5000", inside=INSIDE):
        first, second = folder / "first", folder / "second"
        first.mkdir()
        for path in DIST.glob("carpsidecar-image-*.tar"):
            shutil.copy(path, first)
        second.mkdir()
        _image_of_next(archive, second / archive.name)
        yield {
            __version__: _publish(SOURCE, first),
            NEXT: _publish(_source_of_next(folder / "source"), second),
        }


def _publish(source: Path, folder: Path) -> str:
    script = str(source / "packaging" / "release" / "publish.py")
    env = {**os.environ, "PLAIN_HTTP": "1", "SOURCE_DATE_EPOCH": "1700000000"}
    command = [*INSIDE, sys.executable, script, f"{REGISTRY}/carp", str(folder)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return str(json.loads((folder / "published.json").read_text())["image"])


def _source_of_next(folder: Path) -> Path:
    shutil.copytree(SOURCE / "packaging", folder / "packaging")
    shutil.copytree(SOURCE / "charts", folder / "charts")
    for name in ("CHANGELOG.md", "LICENSE"):
        shutil.copy(SOURCE / name, folder)
    (folder / "carpsidecar").mkdir()
    (folder / "carpsidecar" / "__init__.py").write_text(f'__version__ = "{NEXT}"\n')
    metadata = folder / "charts" / "carpsidecar" / "Chart.yaml"
    metadata.write_text(metadata.read_text().replace(__version__, NEXT))
    return folder


def _image_of_next(archive: Path, file: Path) -> None:
    """The same program in an image that differs."""
    script = (
        f"c=$(buildah from docker-archive:{archive}) && buildah config --label next=yes $c &&"
        f" buildah commit --quiet --rm $c docker-archive:{file}"
    )
    subprocess.run(["sh", "-ec", script], check=True, capture_output=True)


def images(cluster: Cluster) -> set[str]:
    """What the pods run, as the nodes' runtimes name it."""
    statuses = [status for pod in cluster.pods() for status in pod["status"].get("containerStatuses", [])]
    return {status["imageID"] for status in statuses}


def containers(cluster: Cluster) -> dict[str, set[tuple[str, str]]]:
    """By the command of a container's process, on all nodes: its user, and how its root is mounted."""
    found: dict[str, set[tuple[str, str]]] = {}
    for node in cluster.nodes.values():
        for pid in run(["ip", "netns", "pids", node.ns]).split():
            words = command_line(int(pid))
            if words[:1] == ["/carpsidecar"]:
                process = Path("/proc", pid)
                status, mounts = ((process / name).read_text() for name in ("status", "mountinfo"))
                user = re.search(r"^Uid:\t(\d+)", status, re.MULTILINE)
                options = re.search(r"^\S+ \S+ \S+ \S+ / (\w+)", mounts, re.MULTILINE)
                assert user
                assert options
                found.setdefault(words[1], set()).add((user[1], options[1]))
    return found


def test_one_value_installs_it_and_a_second_version_follows_under_a_client_s_eyes(
    cluster: Cluster, versions: dict[str, str], probe: Probe, watch: HolderWatch
) -> None:
    cluster.uninstall()
    cluster.helm(*INSTALL)
    try:
        master = cluster.wait_for_one_master()
        cluster.wait_for_rollout()
        assert images(cluster) == {versions[__version__]}
        assert containers(cluster) == {"run": {("0", "ro")}, "reporter": {("64112", "ro")}}
        probe.wait_until_answered_by(master, SOON_S)
        since = time.monotonic()
        cluster.helm("upgrade", "carp", CHART, "--version", NEXT, "--set", f"vip={VIP}")
        cluster.wait_for_rollout()
        cluster.wait_for_one_master()
        assert images(cluster) == {versions[NEXT]}
        outages_s = [outage.duration_s for outage in probe.outages(since)]
        record("upgrade from a registry", without_answer=max(outages_s, default=0.0), took=time.monotonic() - since)
        assert watch.two_holders_s(since) < HANDOVER_S
        assert max(outages_s, default=0.0) < 1
    finally:
        cluster.uninstall()
