"""The alerts, run by promtool over hours of made-up metrics: each fires for its fault, and none in peace."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from carpsidecar.ipc.messages import Role
from carpsidecar.protocol.packet import Drop
from carpsidecar.reporter.http.metrics import Metrics
from carpsidecar.status.model import ServiceView
from carpsidecar.status.state import ENGINE_SILENT_AFTER_S, State
from carpsidecar.status.stats import Stats
from tests.chart.cases import CASES
from tests.chart.conftest import Select
from tests.support.builders import counters, heartbeat, snapshot

PROMTOOL = shutil.which("promtool") or str(Path(sys.prefix) / "prometheus/usr/bin/promtool")

pytestmark = pytest.mark.skipif(not shutil.which(PROMTOOL), reason="promtool is not here: it is in prometheus")

EVER = "x200"
POD = 'namespace="ha",pod="carp-carpsidecar-{}",group="vhid-100"'


def role(pod: str, name: str, values: str) -> dict[str, str]:
    return {"series": f'carp_role{{{POD.format(pod)},role="{name}"}}', "values": values}


def engine(pod: str, is_up: bool) -> dict[str, str]:
    series = f'carp_engine_up{{namespace="ha",pod="carp-carpsidecar-{pod}"}}'
    return {"series": series, "values": f"{int(is_up)}+0{EVER}"}


def nodes(*roles: str) -> list[dict[str, str]]:
    """Pods a, b, ..., each in this role for good."""
    pods = list(zip("abc", roles, strict=False))
    return [
        *(
            role(pod, name, f"{int(name == own)}+0{EVER}")
            for pod, own in pods
            for name in ("master", "backup", "fault")
        ),
        *(engine(pod, True) for pod, _ in pods),
    ]


def counter(name: str, labels: str, values: str) -> dict[str, str]:
    return {"series": f"{name}{{{labels}}}", "values": values}


PEACE = nodes("master", "backup", "backup")
TAKEOVERS = counter("carp_transitions_total", f'{POD.format("a")},role="master",reason="preempted"', f"0+1{EVER}")
DIGESTS = counter(
    "carp_dropped_packets_total",
    f'namespace="ha",pod="carp-carpsidecar-a",interface="eth0",reason="{Drop.DIGEST}"',
    f"0+4{EVER}",
)
SPLIT = {"series": f"carp_split_brain{{{POD.format('a')}}}", "values": f"1+0{EVER}"}
API = {"series": 'carp_api_reachable{namespace="ha",pod="carp-carpsidecar-a"}', "values": f"0+0{EVER}"}
GOOD_API = {"series": 'carp_api_reachable{namespace="ha",pod="carp-carpsidecar-a"}', "values": f"1+0{EVER}"}
ENGINE = engine("d", False)
UNWRITTEN = {
    "series": 'carp_api_unwritten_seconds{namespace="ha",pod="carp-carpsidecar-a"}',
    "values": f"0+15{EVER}",
}
FOREIGN = [
    {**series, "series": series["series"].replace('"ha"', '"other"')} for series in nodes("master", "master")
]

FAULTS: dict[str, tuple[list[dict[str, str]], set[str]]] = {
    "peace": ([*PEACE, GOOD_API], set()),
    "another release in trouble": ([*PEACE, *FOREIGN], set()),
    "nothing heard": ([], {"CarpAbsent"}),
    "no master": (nodes("backup", "backup"), {"CarpNoMaster"}),
    "two masters": (nodes("master", "master", "backup"), {"CarpTwoMasters"}),
    "split brain, as the API shows it": ([*PEACE, SPLIT], {"CarpTwoMasters"}),
    "flapping": ([*PEACE, TAKEOVERS], {"CarpFlapping"}),
    "bad digest": ([*PEACE, DIGESTS], {"CarpBadDigest"}),
    "fault": (nodes("master", "backup", "fault"), {"CarpNodeFault"}),
    "nobody to take over": (nodes("master"), {"CarpNoBackup"}),
    "API away": ([*PEACE, API], {"CarpApiUnreachable"}),
    "engine silent": ([*PEACE, ENGINE], {"CarpEngineDown"}),
    "a role unwritten": ([*PEACE, GOOD_API, UNWRITTEN], {"CarpLabelsLate"}),
}


def firing(rules: dict[str, Any], series: list[dict[str, str]], folder: Path, at: str) -> set[str]:
    """The alerts that fire at this time: promtool is told that none do, and complains of those that it got."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    none = {"expr": 'ALERTS{alertstate="firing"}', "eval_time": at, "exp_samples": []}
    test = {"interval": "15s", "input_series": series, "promql_expr_test": [none]}
    content = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert "SUCCESS" in output or "got:" in output, output
    return set(re.findall(r'alertname=\\?"(\w+)', output.partition("got:")[2]))


@pytest.fixture
def rules(rendered: Select) -> dict[str, Any]:
    [found] = rendered(CASES["monitoring"], "PrometheusRule")
    spec: dict[str, Any] = found["spec"]
    return spec


@pytest.mark.parametrize("fault", FAULTS)
def test_it_fires_for_its_fault_alone(rules: dict[str, Any], fault: str, tmp_path: Path) -> None:
    series, expected = FAULTS[fault]
    assert firing(rules, series, tmp_path, "30m") == expected


def test_a_failover_fires_nothing(rules: dict[str, Any], tmp_path: Path) -> None:
    """For one scrape there is no master, for the next there are two."""
    series = [
        role("a", "master", "1+0x20 0 1 0+0x100"),
        role("b", "master", "0+0x20 0 1 1+0x100"),
        role("a", "backup", "0+0x20 1 0 1+0x100"),
        role("b", "backup", "1+0x20 1 0 0+0x100"),
        engine("a", True),
        engine("b", True),
    ]
    for at in ("5m15s", "5m30s", "5m45s", "6m"):
        assert firing(rules, series, tmp_path, at) == set()


def test_the_syntax_is_prometheus_own(rules: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    done = subprocess.run(
        [PROMTOOL, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class Pod:
    """One whose metrics are scraped."""

    name: str = "a"
    role: Role = "master"
    state: State = field(default_factory=State)
    stats: Stats = field(default_factory=Stats)

    def __post_init__(self) -> None:
        self.state.receive(snapshot(role=self.role))
        self.state.receive(heartbeat(counters={"web": counters()}, drops={"eth0": {str(Drop.DIGEST): 0}}))
        self.stats.api.reachable = True

    def series(self, was: "Pod | None" = None) -> list[dict[str, str]]:
        """As it is from now on; it was as `was` for ten minutes."""
        before = was.samples() if was is not None else {}
        after = self.samples()
        values = {
            name: (f"{before[name]}x40 " if name in before else "_x40 " if was is not None else "")
            + (f"{after[name]}{EVER}" if name in after else f"_{EVER}")
            for name in before | after
        }
        return [{"series": name, "values": value} for name, value in values.items()]

    def samples(self) -> dict[str, float]:
        found = {}
        for family in text_string_to_metric_families(Metrics(self.state, self.stats, True).render().decode()):
            for sample in family.samples:
                labels = {**sample.labels, "namespace": "ha", "pod": f"carp-carpsidecar-{self.name}"}
                if "namespace" in sample.labels:
                    labels["exported_namespace"] = sample.labels["namespace"]
                if sample.name.startswith("carp_"):
                    found[f"{sample.name}{{{','.join(f'{k}={json.dumps(v)}' for k, v in labels.items())}}}"] = (
                        sample.value
                    )
        return found


def of_a_silent_engine() -> Pod:
    now = [0.0]
    pod = Pod("a", state=State(lambda: now[0]))
    now[0] = ENGINE_SILENT_AFTER_S + 1
    return pod


def with_api(**values: Any) -> Pod:
    pod = Pod()
    for name, value in values.items():
        setattr(pod.stats.api, name, value)
    return pod


def with_counters(transitions: dict[str, dict[str, int]] | None = None, digests: int = 0) -> Pod:
    pod = Pod()
    pod.state.receive(
        heartbeat(
            counters={"web": counters(transitions=transitions or {})}, drops={"eth0": {str(Drop.DIGEST): digests}}
        )
    )
    return pod


def with_service(name: str, role: Role, allocated: bool = True) -> Pod:
    """A Service that has an address; the node's role for it."""
    pod = Pod(name)
    pod.state.receive(snapshot("lb-1000", role=role, services=["shop/front"]))
    view = ServiceView("shop/front", {"192.0.2.200": ""}, allocated=allocated, held=role == "master", text="")
    pod.stats.services = lambda: [view]
    return pod


BACKUPS = (Pod("b", "backup"), Pod("c", "backup"))
CAUSES: dict[str, tuple[list[list[dict[str, str]]], str]] = {
    "an engine that is silent": (
        [of_a_silent_engine().series(), *(pod.series() for pod in BACKUPS)],
        "CarpEngineDown",
    ),
    "the master's engine, and nobody took over": (
        [of_a_silent_engine().series(), *(pod.series() for pod in BACKUPS)],
        "CarpNoMaster",
    ),
    "two masters": ([Pod("a").series(), Pod("b").series()], "CarpTwoMasters"),
    "a split brain": ([with_api(split_brain={"web"}).series()], "CarpTwoMasters"),
    "a flapping address": (
        [with_counters({"master": {"preempted": 20}}).series(with_counters({"master": {"preempted": 0}}))],
        "CarpFlapping",
    ),
    "a digest that does not fit": ([with_counters(digests=9).series(with_counters())], "CarpBadDigest"),
    "a node in fault": ([Pod("a").series(), Pod("b", "fault").series()], "CarpNodeFault"),
    "a node alone": ([Pod("a").series()], "CarpNoBackup"),
    "an API that answers 503": ([with_api(reachable=False).series()], "CarpApiUnreachable"),
    "a role that can't be written": ([with_api(unwritten_s=lambda: 90.0).series()], "CarpLabelsLate"),
    "a Service whose address nobody takes": (
        [with_service("a", "backup").series(), with_service("b", "backup").series()],
        "CarpServiceWithoutHolder",
    ),
    "a Service whose address two have": (
        [with_service("a", "master").series(), with_service("b", "master").series()],
        "CarpServiceTwoHolders",
    ),
    "a Service for which no address is left": (
        [with_service("a", "master", allocated=False).series()],
        "CarpServiceWithoutAddress",
    ),
    "no pod": ([], "CarpAbsent"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_it_fires_by_the_metrics_that_its_cause_makes(rules: dict[str, Any], cause: str, tmp_path: Path) -> None:
    series, alert = CAUSES[cause]
    listed = [one for pod in series for one in pod]
    fired = {name for at in ("11m", "12m", "13m", "14m", "30m") for name in firing(rules, listed, tmp_path, at)}
    assert alert in fired


def test_every_alert_has_a_cause(rules: dict[str, Any]) -> None:
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert alerts == {alert for _, alert in CAUSES.values()}


def test_a_silent_engines_pod_exports_no_role() -> None:
    assert not any("carp_role" in name for name in of_a_silent_engine().samples())
