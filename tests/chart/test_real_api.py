"""Against a real kube-apiserver: it takes everything, upgrades keep what they must, and nothing is left behind."""

import base64
import json
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from carpsidecar.cli import one_master, release_services, unmark
from tests.chart.apiserver import TOKEN, TOKEN_WITHOUT_RIGHTS, ApiServer, MissingError, running
from tests.chart.cases import CASES, VIP, WORKLOAD
from tests.chart.conftest import Select
from tests.chart.helm import CHART, NAMESPACE, RELEASE, ROOT, Helm3, Values
from tests.support.manual.page import blocks, claim

INGRESS = {block.title: block.text for block in blocks("docs/recipes/ingress.md") if block.language == "yaml"}
DOCUMENTS = sorted((ROOT / "docs/kubernetes").glob("*.yaml"))
OURS = "app.kubernetes.io/name=carpsidecar,app.kubernetes.io/instance=carp"
SERVICES = CASES["Services beside a vip"]
[OFF] = claim("docs/services.md", "kubectl patch service web --subresource")
APPLY = ("apply", "--server-side", "--validate=false")
"""The server knows every field, and refuses others."""
SERVER_CHECKS = ("--disable-openapi-validation",)
KINDS = "daemonset,configmap,secret,serviceaccount,role,rolebinding,service,pod,clusterrole,clusterrolebinding"


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    try:
        with running() as server:
            for namespace in (NAMESPACE, "web", "carp", "ingress"):
                server.kubectl("create", "namespace", namespace)
            yield server
    except MissingError as error:
        pytest.skip(str(error))


@dataclass
class Release:
    """One that Helm 3 installs; nothing runs, since there is only the API server."""

    api: ApiServer
    helm: str

    def deploy(self, values: Values, *flags: str) -> str:
        """Install or upgrade, and return what NOTES.txt says."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(dict(values), file)
            file.flush()
            return self.run(
                "upgrade", "--install", *SERVER_CHECKS, *flags, RELEASE, str(CHART), "--values", file.name
            ).partition("NOTES:")[2]

    def run(self, *arguments: str) -> str:
        command = [self.helm, "--kubeconfig", str(self.api.kubeconfig), "--namespace", NAMESPACE, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    def get(self, kind: str, name: str = "carp-carpsidecar") -> dict[str, Any]:
        output = self.api.kubectl("get", kind, name, "-n", NAMESPACE, "-o", "json")
        found: dict[str, Any] = json.loads(output.stdout)
        return found

    @property
    def strategy(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("daemonset")["spec"]["updateStrategy"]
        return found


@pytest.fixture
def release(api: ApiServer, helm3: Helm3) -> Iterator[Release]:
    made = Release(api, helm3.binary)
    yield made
    # A hook is a Job, which nothing here runs.
    made.run("uninstall", RELEASE, "--no-hooks")
    left = api.kubectl("get", KINDS, "-A", "-l", "app.kubernetes.io/instance=carp", "-o", "name")
    assert left.stdout == ""


@pytest.mark.parametrize("case", CASES)
def test_it_takes_what_the_chart_makes(api: ApiServer, rendered: Select, case: str) -> None:
    manifests = [m for m in rendered(CASES[case], "") if not m["apiVersion"].startswith("monitoring.coreos.com/")]
    done = api.kubectl(*APPLY, "--dry-run=server", "-f", "-", text=yaml.safe_dump_all(manifests))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_it_takes_the_documents(api: ApiServer, path: Any) -> None:
    done = api.kubectl(*APPLY, "--dry-run=server", "-f", str(path))
    assert done.returncode == 0, done.stderr


def test_it_takes_what_the_ingress_recipe_has(api: ApiServer, rendered: Select) -> None:
    [values] = yaml.safe_load_all(INGRESS["carp.yaml"])
    values["existingSecret"] = "carp-passphrase"
    manifests = [INGRESS["ingress.yaml"], INGRESS["service.yaml"], yaml.safe_dump_all(rendered(values, ""))]
    done = api.kubectl(*APPLY, "--dry-run=server", "-f", "-", text="---\n".join(manifests))
    assert done.returncode == 0, done.stderr


def test_the_passphrase_is_kept_over_upgrades(release: Release) -> None:
    def passphrase() -> str:
        return str(release.get("secret", "carp-carpsidecar-passphrase")["data"]["passphrase"])

    generated = {**VIP, "existingSecret": ""}
    release.deploy(generated)
    first = passphrase()
    assert len(base64.b64decode(first)) == 19
    release.deploy({**generated, "preempt": True})
    assert passphrase() == first


def test_only_the_upgrade_that_switches_services_off_takes_their_addresses_off(release: Release) -> None:
    def hooks(values: Values) -> set[str]:
        # A hook is a Job, which nothing here runs.
        release.deploy(values, "--no-hooks")
        found = [one for one in yaml.safe_load_all(release.run("get", "hooks", RELEASE)) if one]
        return {
            f"{one['metadata']['annotations']['helm.sh/hook']} {one['kind']}"
            for one in found
            if one["metadata"]["name"].endswith("-release-services")
        }

    kinds = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job")
    assert hooks(VIP) == set()
    assert hooks(SERVICES) == {f"post-delete {kind}" for kind in kinds}
    assert hooks(SERVICES) == {f"post-delete {kind}" for kind in kinds}
    assert hooks(VIP) == {f"post-upgrade {kind}" for kind in kinds}
    assert hooks(VIP) == set()


def test_another_list_of_addresses_replaces_all_pods_at_once_where_the_digest_covers_it(release: Release) -> None:
    before = {**VIP, "auth": "carp"}
    release.deploy(before)
    one_by_one = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}, "type": "RollingUpdate"}
    all_at_once = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "100%"}, "type": "RollingUpdate"}
    assert release.strategy == one_by_one
    more = {**before, "vip": ["192.0.2.100", "192.0.2.101"]}
    assert "all pods are replaced at once" in release.deploy(more)
    assert release.strategy == all_at_once
    assert "at once" not in release.deploy({**more, "preempt": True})
    assert release.strategy == one_by_one
    # The hardened mode needs no gap for it, but for the change of the mode itself.
    assert "at once" in release.deploy(VIP)
    assert "at once" not in release.deploy({**more, "auth": "hardened"})
    assert release.strategy == one_by_one


def test_where_ready_means_elected_the_notes_say_how_to_replace_pods(release: Release) -> None:
    values = {**VIP, **WORKLOAD}
    assert "delete pods" not in release.deploy(values)
    assert release.strategy == {"type": "OnDelete"}
    output = release.deploy({**values, "preempt": True})
    assert output.index("carp-role!=master") < output.index("carp-role=master")


def test_notes_name_the_commands(release: Release) -> None:
    output = release.deploy({**VIP, "vip": "192.0.2.100/24", "workload": {"selector": "app=web"}})
    assert "floats 192.0.2.100 over the nodes" in output
    assert f"kubectl -n {NAMESPACE} get pods -l {OURS},carp-role=master -o wide" in output
    assert f"helm test {RELEASE} -n {NAMESPACE}" in output
    assert "carpsidecar.io/elected" in output


@dataclass
class Pods:
    api: ApiServer

    def make(self, name: str, role: str, elected: str = "") -> None:
        labels = {"app.kubernetes.io/name": "carpsidecar", "app.kubernetes.io/instance": "carp", "carp-role": role}
        spec = {"containers": [{"name": "carpsidecar", "image": "carpsidecar"}], "nodeName": name}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}
        self.api.kubectl("-n", NAMESPACE, *APPLY, "-f", "-", text=json.dumps(pod))
        if elected:
            condition = {"type": "carpsidecar.io/elected", "status": elected}
            patch = json.dumps({"status": {"conditions": [condition]}})
            self.api.kubectl("-n", NAMESPACE, "patch", "pod", name, "--subresource=status", "-p", patch)

    def remove(self) -> None:
        done = self.api.kubectl("-n", NAMESPACE, "delete", "pods", "--all", "--force", "--grace-period=0")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def account(api: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """In place, as a hook's pod has it."""
    (tmp_path / "token").write_text(TOKEN)
    certificate = api.kubeconfig.parent / "certificates/apiserver.crt"
    (tmp_path / "ca.crt").write_bytes(certificate.read_bytes())
    monkeypatch.setattr("carpsidecar.reporter.kubernetes.credentials.SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", api.url.rpartition(":")[2])


@pytest.fixture
def pods(api: ApiServer, account: None) -> Iterator[Pods]:
    made = Pods(api)
    yield made
    made.remove()


def one_master_says(capsys: pytest.CaptureFixture[str], *, groups: int = 1) -> tuple[int, str]:
    status = one_master.main([NAMESPACE, OURS, str(groups), "0"])
    return status, "".join(capsys.readouterr())


def test_helm_test_is_content_with_one_master(pods: Pods, capsys: pytest.CaptureFixture[str]) -> None:
    pods.make("node-a", "master", "True")
    pods.make("node-b", "backup", "False")
    status, output = one_master_says(capsys)
    assert status == 0, output
    assert "node-a on node-a: carp-role=master" in output


@pytest.mark.parametrize(
    ("roles", "groups", "word"),
    [
        ([], 1, "no pods match"),
        ([("backup", "False")], 1, "carp-role: 0 masters, not one"),
        ([("master", "True"), ("master", "True")], 1, "carp-role: 2 masters, not one: node-0, node-1"),
        ([("master", "False")], 1, "its condition carpsidecar.io/elected is not True"),
        ([("master", "True")], 2, "1 of 2 groups are seen"),
    ],
)
def test_helm_test_says_what_is_wrong(
    pods: Pods, capsys: pytest.CaptureFixture[str], roles: list[tuple[str, str]], groups: int, word: str
) -> None:
    for index, (role, elected) in enumerate(roles):
        pods.make(f"node-{index}", role, elected)
    status, output = one_master_says(capsys, groups=groups)
    assert status == 1
    assert word in output


def test_helm_test_says_which_right_is_missing(
    pods: Pods, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    (tmp_path / "token").write_text(TOKEN_WITHOUT_RIGHTS)
    status, output = one_master_says(capsys)
    assert status == 1
    assert f"not allowed to list pods in namespace {NAMESPACE}" in output


def test_one_master_without_arguments_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert one_master.main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_role_is_taken_off_the_pods_that_match_and_off_no_others(
    pods: Pods, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("web-1", "web-2", "other"):
        pods.make(name, "backup", "False")
        pods.api.kubectl("-n", NAMESPACE, "label", "pod", name, f"app={name.partition('-')[0]}")
    assert unmark.main(["app=web", NAMESPACE, "web"]) == 0
    assert f"{NAMESPACE}/web-2: its role is taken off" in capsys.readouterr().out
    for name, conditions in (("web-1", 0), ("web-2", 0), ("other", 1)):
        found = json.loads(pods.api.kubectl("-n", NAMESPACE, "get", "pod", name, "-o", "json").stdout)
        assert ("carp-role" in found["metadata"]["labels"]) == bool(conditions)
        elected = [c for c in found["status"].get("conditions", []) if c["type"] == "carpsidecar.io/elected"]
        assert len(elected) == conditions


def test_a_selector_that_never_selected_anything_does_not_hold_up_the_end(
    pods: Pods, capsys: pytest.CaptureFixture[str]
) -> None:
    assert unmark.main(["app in web", NAMESPACE]) == 0
    assert "unable to parse requirement" in capsys.readouterr().out


def test_what_can_not_be_taken_off_is_reported(
    pods: Pods, capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unmark, "PATIENCE_S", 0.0)
    (tmp_path / "token").write_text(TOKEN_WITHOUT_RIGHTS)
    assert unmark.main(["app=web", NAMESPACE]) == 1
    assert f"not allowed to list pods in namespace {NAMESPACE}" in capsys.readouterr().err


class Allocated:
    """A Service as an allocator of this class leaves it, with a condition of somebody else's."""

    def __init__(self, api: ApiServer, name: str, class_: str) -> None:
        self.api, self.name = api, name
        spec = {"type": "LoadBalancer", "loadBalancerClass": class_, "ports": [{"port": 80}]}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
        api.kubectl("-n", NAMESPACE, *APPLY, "-f", "-", text=json.dumps(body))
        allocation = json.dumps({"192.0.2.200": 1000})
        names = {"class": class_, "allocation": allocation, "node": "node1"}
        conditions = [
            {"type": kind, "status": "True", "reason": "Test", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            for kind in ("carpsidecar.io/allocated", "carpsidecar.io/held")
        ]
        patch = {
            "metadata": {"annotations": {f"carpsidecar.io/{key}": text for key, text in names.items()}},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.200"}]}, "conditions": conditions},
        }
        arguments = ("patch", "service", name, "--subresource=status", "--type=merge", "-p", json.dumps(patch))
        done = api.kubectl("-n", NAMESPACE, *arguments)
        assert done.returncode == 0, done.stderr
        assert not self.is_free

    @property
    def is_free(self) -> bool:
        found = json.loads(self.api.kubectl("-n", NAMESPACE, "get", "service", self.name, "-o", "json").stdout)
        names = [name for name in found["metadata"].get("annotations", {}) if name.startswith("carpsidecar.io/")]
        return not names and found["status"] == {"loadBalancer": {}}


@pytest.fixture
def allocated(api: ApiServer) -> Iterator[tuple[Allocated, Allocated]]:
    yield Allocated(api, "web", "carpsidecar.io/carp"), Allocated(api, "other", "example.com/lb")
    api.kubectl("-n", NAMESPACE, "delete", "service", "web", "other")


def test_the_addresses_are_taken_off_the_services_of_the_class_and_off_no_others(
    allocated: tuple[Allocated, Allocated], account: None, capsys: pytest.CaptureFixture[str]
) -> None:
    web, other = allocated
    assert release_services.main(["carpsidecar.io/carp"]) == 0
    assert f"{NAMESPACE}/web: its addresses are taken off" in capsys.readouterr().out
    assert (web.is_free, other.is_free) == (True, False)


def test_addresses_that_can_not_be_taken_off_are_reported(
    account: None, capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_services, "PATIENCE_S", 0.0)
    (tmp_path / "token").write_text(TOKEN_WITHOUT_RIGHTS)
    assert release_services.main(["carpsidecar.io/carp"]) == 1
    assert "not allowed to list services" in capsys.readouterr().err
    assert release_services.main([]) == 2


def test_the_manuals_command_takes_it_off_one(api: ApiServer, allocated: tuple[Allocated, Allocated]) -> None:
    web, other = allocated
    kubectl, *arguments = shlex.split(OFF.text)
    assert kubectl == "kubectl"
    done = api.kubectl("-n", NAMESPACE, *arguments)
    assert done.returncode == 0, done.stderr
    assert (web.is_free, other.is_free) == (True, False)
