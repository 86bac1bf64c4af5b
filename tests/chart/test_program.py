"""What the chart writes is what the program reads: its configuration, its rights, its metrics."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from carpsidecar.config.sources import Config, load
from carpsidecar.reporter.http import metrics
from carpsidecar.reporter.kubernetes.rbac import rules
from tests.chart.cases import CASES, VIP
from tests.chart.conftest import Select
from tests.chart.helm import CHART, NAMESPACE, Values, granted, is_hook
from tests.support.manual.page import blocks


@dataclass
class Program:
    """Reads the chart's configuration as it would in a pod of this node."""

    rendered: Select
    folder: Path

    def read(self, values: Values, node: str = "node-b") -> Config:
        file, secret = self.folder / "carpsidecar.yaml", self.folder / "passphrase"
        [content] = [m["data"] for m in self.rendered(values, "ConfigMap") if "carpsidecar.yaml" in m["data"]]
        file.write_text(content["carpsidecar.yaml"])
        secret.write_text("chart tests")
        secret.chmod(0o600)
        pod = {"CARP_POD_NAME": "carp-x", "CARP_POD_NAMESPACE": NAMESPACE, "CARP_NODE_NAME": node}
        return load({}, {**pod, "CARP_PASSPHRASE_FILE": str(secret)}, str(file))


@pytest.fixture
def program(rendered: Select, tmp_path: Path) -> Program:
    return Program(rendered, tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_the_program_takes_the_configuration(program: Program, case: str) -> None:
    config = program.read(CASES[case])
    expected = CASES[case].get("groups") or ([VIP] if "vip" in CASES[case] else [])
    assert len(config.groups) == len(expected)
    assert config.reporter is not None


def test_defaults_are_hardened_and_ordered_by_the_nodes_addresses(program: Program) -> None:
    [group] = program.read(VIP).groups
    assert (group.auth, group.auto_advskew, group.settings.preempt) == ("hardened", True, False)


def test_realtime_arrives_where_it_is_asked_for(program: Program) -> None:
    assert program.read(CASES["real-time"]).realtime
    assert not program.read(VIP).realtime


def test_the_map_by_node_wins(program: Program) -> None:
    [mapped] = program.read(CASES["without the API"], "node-b").groups
    [other] = program.read(CASES["without the API"], "node-c").groups
    assert (mapped.settings.advskew, mapped.auto_advskew, other.auto_advskew) == (100, False, True)


@pytest.mark.parametrize("page", ["README.md", "docs/kubernetes.md"])
def test_two_groups_of_the_documentation_are_on_two_nodes(program: Program, page: str) -> None:
    [block] = [block for block in blocks(page) if "node_advskew" in block.text and "groups:" in block.text]
    values = {**yaml.safe_load(block.text), "existingSecret": "carp-passphrase"}
    for node, advskews in (("node1", [0, 100]), ("node2", [100, 0])):
        assert [group.settings.advskew for group in program.read(values, node).groups] == advskews


def test_checks_and_demotions_arrive(program: Program) -> None:
    reporter = program.read(CASES["checks"]).reporter
    assert reporter is not None
    assert reporter.kubernetes is not None
    assert [check.name for check in reporter.checks] == ["web", "database", "disk"]
    assert (reporter.kubernetes.unready_demotion, reporter.kubernetes.cordon_demotion) == (240, 120)


def test_our_own_pods_are_those_of_the_daemon_set(program: Program) -> None:
    reporter = program.read(VIP).reporter
    assert reporter is not None
    assert reporter.kubernetes is not None
    [found] = program.rendered(VIP, "DaemonSet")
    labels = found["spec"]["selector"]["matchLabels"]
    assert reporter.kubernetes.pod_selector == ",".join(f"{key}={value}" for key, value in labels.items())
    assert reporter.kubernetes.container_name == found["spec"]["template"]["spec"]["containers"][0]["name"]


@pytest.mark.parametrize("case", CASES)
def test_it_is_granted_what_it_uses_and_no_more(program: Program, case: str) -> None:
    reporter = program.read(CASES[case]).reporter
    used = set(rules(reporter.kubernetes)) if reporter and reporter.kubernetes else set()
    roles = program.rendered(CASES[case], "Role") + program.rendered(CASES[case], "ClusterRole")
    assert granted([role for role in roles if not is_hook(role)]) == used


@pytest.mark.parametrize("case", CASES)
def test_every_role_is_bound_to_the_pods_account(program: Program, case: str) -> None:
    [found] = program.rendered(CASES[case], "DaemonSet")
    account = found["spec"]["template"]["spec"]["serviceAccountName"]
    for kind in ("Role", "ClusterRole"):
        roles, bindings = (
            [manifest for manifest in program.rendered(CASES[case], name) if not is_hook(manifest)]
            for name in (kind, f"{kind}Binding")
        )
        assert [role["metadata"]["name"] for role in roles] == [binding["roleRef"]["name"] for binding in bindings]
        for binding in bindings:
            [subject] = binding["subjects"]
            assert subject == {"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}


def test_alerts_and_dashboard_name_metrics_that_there_are(rendered: Select) -> None:
    source = Path(metrics.__file__).read_text()
    known = set(re.findall(r'"(carp_[a-z_]+)"', source))
    known |= {f"{name}_total" for name in known}
    [rule] = rendered(CASES["monitoring"], "PrometheusRule")
    for text in (yaml.safe_dump(rule), (CHART / "files/dashboard.json").read_text()):
        used = set(re.findall(r"\b(carp_[a-z_]+)\b", text))
        assert used
        assert used <= known
