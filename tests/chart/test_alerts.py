"""The alerts, run by promtool over hours of made-up metrics: each fires for its fault, and none in peace."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from carpsidecar.protocol.packet import Drop
from tests.chart.cases import CASES
from tests.chart.conftest import Select

PROMTOOL = shutil.which("promtool") or str(Path(sys.prefix) / "prometheus/usr/bin/promtool")

pytestmark = pytest.mark.skipif(not shutil.which(PROMTOOL), reason="promtool is not here: it is in prometheus")

EVER = "x200"
POD = 'namespace="ha",pod="carp-carpsidecar-{}",group="vhid-100"'


def role(pod: str, name: str, values: str) -> dict[str, str]:
    return {"series": f'carp_role{{{POD.format(pod)},role="{name}"}}', "values": values}


def nodes(*roles: str) -> list[dict[str, str]]:
    """Pods a, b, ..., each in this role for good."""
    return [
        role(pod, name, f"{int(name == own)}+0{EVER}")
        for pod, own in zip("abc", roles, strict=False)
        for name in ("master", "backup", "fault")
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
    ]
    for at in ("5m15s", "5m30s", "5m45s", "6m"):
        assert firing(rules, series, tmp_path, at) == set()


def test_the_syntax_is_prometheus_own(rules: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    done = subprocess.run(
        [PROMTOOL, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
