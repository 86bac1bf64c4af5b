"""A release in a registry: one image for both architectures, and a chart that has it by digest."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from carpsidecar import __version__
from tests.binary.conftest import DIST, NATIVE, SOURCE, built
from tests.binary.registry import registry
from tests.support.manual.page import claim

[RELEASE] = claim("docs/install.md", "make release\nmake publish")
SOURCE_URL = "https://forge.example.com/carpsidecar"
HELM = shutil.which("helm") or str(SOURCE / ".venv/helm/node_modules/.bin/helm")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What `make publish` said, of a release that has been built, as the manual has it; and where it is."""
    built(f"carpsidecar-image-{NATIVE}.tar")
    release, publish = RELEASE.text.splitlines()
    assert release == "make release"
    folder = tmp_path_factory.mktemp("registry")
    with registry(folder / "registry") as address:
        command = publish.replace("registry.example.com/carp", f"{address}/carp").split()
        env = {**os.environ, "PLAIN_HTTP": "1", "SOURCE_URL": SOURCE_URL}
        done = subprocess.run(command, cwd=SOURCE, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        yield {**json.loads((DIST / "published.json").read_text()), "registry": f"{address}/carp"}


def inspect(reference: str) -> dict[str, Any]:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}"]
    shown: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return shown


def helm(*arguments: str) -> str:
    """What it prints, which begins with what was pulled."""
    if not Path(HELM).exists():
        pytest.skip("needs helm")
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=True).stdout


def test_one_name_is_the_image_of_every_architecture_that_was_built(published: dict[str, str]) -> None:
    index = inspect(f"{published['registry']}/carpsidecar:{__version__}")
    found = {one["platform"]["architecture"]: one["digest"] for one in index["manifests"]}
    archives = {path.stem.rpartition("-")[2] for path in DIST.glob("carpsidecar-image-*.tar")}
    assert found.keys() == archives
    assert {f"image_{name}": digest for name, digest in found.items()} == {
        key: reference.partition("@")[2] for key, reference in published.items() if key.startswith("image_")
    }
    assert inspect(published["image"]) == index


def test_the_chart_s_image_is_that_one_by_its_digest(published: dict[str, str]) -> None:
    chart = ["template", "carp", f"oci://{published['registry']}/charts/carpsidecar", "--version", __version__]
    rendered = helm(*chart, "--set", "vip=192.0.2.100", "--set", "existingSecret=carp")
    images = {
        container["image"]
        for manifest in yaml.safe_load_all(rendered)
        if manifest and manifest.get("kind") == "DaemonSet"
        for container in manifest["spec"]["template"]["spec"]["containers"]
    }
    assert images == {published["image"]}


def test_the_chart_says_what_it_is(published: dict[str, str]) -> None:
    chart = f"oci://{published['registry']}/charts/carpsidecar"
    printed = helm("show", "chart", chart, "--version", __version__)
    shown = yaml.safe_load(printed[printed.index("annotations:") :])
    assert shown["appVersion"] == __version__
    assert shown["icon"].startswith("data:image/svg+xml,")
    assert [shown["home"], *shown["sources"]] == [SOURCE_URL, SOURCE_URL]
    assert shown["maintainers"]
    assert shown["kubeVersion"]
    assert shown["annotations"]["artifacthub.io/license"] == "Apache-2.0"
    assert yaml.safe_load(shown["annotations"]["artifacthub.io/images"])[0]["image"] == published["image"]
    assert yaml.safe_load(shown["annotations"]["artifacthub.io/changes"])


def test_its_page_leads_to_itself_and_to_the_repository(published: dict[str, str]) -> None:
    chart = f"oci://{published['registry']}/charts/carpsidecar"
    page = helm("show", "readme", chart, "--version", __version__)
    assert f"helm install carp {chart} --version {__version__} " in page
    assert f"]({SOURCE_URL}/blob/v{__version__}/docs/kubernetes.md)" in page
    assert "](../" not in page


def test_krew_finds_the_plugin(published: dict[str, str], tmp_path: Path) -> None:
    plugin = yaml.safe_load((DIST / "carp.yaml").read_text())
    [platform] = [one for one in plugin["spec"]["platforms"] if one["selector"]["matchLabels"]["arch"] == NATIVE]
    archive = DIST / platform["uri"].rpartition("/")[2]
    assert platform["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    subprocess.run(["tar", "-C", tmp_path, "-xzf", archive], check=True)
    shown = subprocess.run([tmp_path / platform["bin"], "--help"], capture_output=True, text=True, check=False)
    assert shown.stdout.startswith("usage: kubectl carp ")


def test_the_checksums_are_of_everything(published: dict[str, str]) -> None:
    summed = {line.split()[1] for line in (DIST / "SHA256SUMS").read_text().splitlines()}
    wanted = {f"carpsidecar-{__version__}.tgz", f"carpsidecar-linux-{NATIVE}", f"carpsidecar-image-{NATIVE}.tar"}
    assert wanted | {"carp.yaml", f"carpsidecar_{__version__}_{NATIVE}.deb"} <= summed


def test_the_same_release_is_the_same_again(published: dict[str, str], tmp_path: Path) -> None:
    with registry(tmp_path / "again") as address:
        command = ["make", "publish", f"REGISTRY={address}/carp"]
        env = {**os.environ, "PLAIN_HTTP": "1"}
        subprocess.run(command, cwd=SOURCE, env=env, capture_output=True, check=True)
    again = json.loads((DIST / "published.json").read_text())
    # The chart names its registry, and this is another one.
    assert {key: name.partition("@")[2] for key, name in again.items() if key != "chart"} == {
        key: name.partition("@")[2] for key, name in published.items() if key.startswith("image")
    }
