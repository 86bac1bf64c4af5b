"""K3s, RKE2, Talos: what the pages have made. Argo CD, Flux, Kustomize: rendered twice, nothing changes."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from carpsidecar import __version__
from carpsidecar.lab.network import Lab
from docs.tools.registry import EXAMPLE
from tests.chart.helm import Manifest, find_helm3
from tests.support.manual.machine import Machine
from tests.support.manual.page import SOURCE, claim
from tests.support.manual.runner import Runner

K3S = claim("docs/recipes/k3s.md")
TALOS = claim("docs/recipes/talos.md")
GITOPS = {block.title: block for block in claim("docs/recipes/gitops.md") if block.title != "once"}
IMAGE = f"{EXAMPLE}/carpsidecar:{__version__}"
FOLDERS = ("/var/lib/rancher/k3s/agent/pod-manifests", "/var/lib/rancher/rke2/agent/pod-manifests")


def test_k3s_and_rke2_get_their_static_pods(lab: Lab) -> None:
    server = Machine(lab, "server", [["192.0.2.11/24"]])
    Runner([server]).run(K3S)
    for folder in FOLDERS:
        pod = yaml.safe_load(server.run(f"cat {folder}/carpsidecar.yaml"))
        assert pod["spec"]["containers"][0]["image"] == IMAGE
        assert "vip:\n- 192.0.2.100/32\n" in pod["metadata"]["annotations"]["carpsidecar.io/config"]
        secrets = [v["hostPath"]["path"] for v in pod["spec"]["volumes"] if v["name"] == "passphrase"]
        assert server.run(f"stat -c %a {secrets[0]}") == "600\n"
    assert yaml.safe_load(server.run("cat /etc/rancher/k3s/config.yaml")) == {"tls-san": ["192.0.2.100"]}


def test_talos_gets_a_patch(lab: Lab) -> None:
    workstation = Machine(lab, "workstation", [["192.0.2.50/24"]])
    Runner([workstation]).run(TALOS)
    [pod] = yaml.safe_load(workstation.run("cat carp.yaml"))["machine"]["pods"]
    assert pod["spec"]["containers"][0]["image"] == IMAGE


def values(title: str, kind: str) -> dict[str, Any]:
    [found] = [one for one in yaml.safe_load_all(GITOPS[title].text) if one["kind"] == kind]
    spec = found["spec"]
    given: dict[str, Any] = spec["source"]["helm"]["valuesObject"] if kind == "Application" else spec["values"]
    return given


@pytest.mark.parametrize(("title", "kind"), [("argo-cd.yaml", "Application"), ("flux.yaml", "HelmRelease")])
def test_what_is_rendered_twice_is_the_same(title: str, kind: str) -> None:
    helm = find_helm3()
    if helm is None:
        pytest.skip("needs helm")
    first, second = (helm.render(values(title, kind)) for _ in range(2))
    assert first == second
    assert _secrets(first) == []
    assert "192.0.2.100" in str(first)


def test_kustomize_too(tmp_path: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("needs kubectl")
    shutil.copy(SOURCE / "docs/kubernetes/carpsidecar.yaml", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(GITOPS["kustomization.yaml"].text)
    change, build = GITOPS["where both files are"].text.splitlines()
    subprocess.run(["sh", "-c", change], cwd=tmp_path, check=True)
    first, second = (
        subprocess.run(build.split(), cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == second
    assert f"image: {IMAGE}" in first
    assert f"localhost/carpsidecar:{__version__}" not in first
    assert "192.0.2.101" in first
    assert "192.0.2.100" not in first


def _secrets(manifests: list[Manifest]) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == "Secret"]
