"""Bad values are refused with a word that says what to do; good ones are documented."""

import json
import re
from typing import Any

import pytest
import yaml

from carpsidecar import __version__
from tests.chart.cases import VIP
from tests.chart.helm import CHART, Helm, RenderError

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, r"vip: none is given: give the address to float.*--set vip=192\.0\.2\.100"),
    "Services without pools": (
        {"loadBalancer": {"enabled": True}},
        r"loadBalancer\.pools: none is given: give free addresses",
    ),
    "nameless pools": (
        {"loadBalancer": {"enabled": True, "pools": [{"addresses": ["192.0.2.1"]}, {"addresses": ["192.0.2.2"]}]}},
        r"has no name: give each of several a name",
    ),
    "a pool of a name": ({"loadBalancer": {"pools": [{"addresses": ["node-a"]}]}}, r"addresses.*pattern"),
    "readiness of no vip": (
        {"readinessGate": True, "loadBalancer": {"enabled": True, "pools": [{"addresses": ["192.0.2.1"]}]}},
        r"neither vip nor groups",
    ),
    "no address": ({"vip": "node-a"}, r'vip: "node-a" is no address: give one such as'),
    "no address in a list": ({"vip": ["192.0.2.100", "x"]}, r'vip: "x" is no address'),
    "a number": ({"vip": 5}, r"vip.*string"),
    "a misspelt value": ({**VIP, "vhids": 1}, r"vhids.* not allowed"),
    "a misspelt value below": ({**VIP, "health": {"cordon": 1}}, r"cordon.* not allowed"),
    "vhid 0": ({**VIP, "vhid": 0}, r"vhid.*1"),
    "vhid 65536": ({**VIP, "vhid": 65536}, r"vhid.*65,?535"),
    "auth": ({**VIP, "auth": "none"}, r"auth.*carp.*hardened"),
    "advskew": ({**VIP, "priority": {"advskew": 255}}, r"advskew.*254"),
    "advskew in words": ({**VIP, "priority": {"advskew": "low"}}, r"advskew.*auto"),
    "advskew of a node": ({**VIP, "priority": {"nodes": {"a": -1}}}, r"nodes.*a.*0"),
    "demotion": ({**VIP, "health": {"unreadyDemotion": 241}}, r"unreadyDemotion.*240"),
    "a host's name": ({**VIP, "http": {"host": "localhost"}}, r"http.*host"),
    "a port": ({**VIP, "http": {"port": 65536}}, r"port.*65,?535"),
    "a setting of groups in config": ({**VIP, "config": {"vip": "192.0.2.1"}}, r"config.*vip.* not allowed"),
    "a bad setting in config": ({**VIP, "config": {"dead_ratio": 0}}, r"dead_ratio.*1"),
    "a misspelt setting of a group": ({"groups": [{**VIP, "vhdi": 1}]}, r"groups.*vhdi.* not allowed"),
    "advskew of a node in a group": ({"groups": [{"vip": "192.0.2.1", "node_advskew": {"a": 255}}]}, r"254"),
    "a group without a vip": ({"groups": [{"name": "a"}]}, r"groups.*vip"),
    "vip and groups": (
        {**VIP, "groups": [{"vip": "192.0.2.101"}]},
        r"groups is given too: put them into the groups",
    ),
    "nameless groups": (
        {"groups": [{"vip": "192.0.2.100"}, {"vip": "192.0.2.101"}]},
        r"has no name: give each of several a name",
    ),
    "a check of nothing": (
        {**VIP, "health": {"checks": [{"name": "a"}]}},
        r'"a": give one of http, tcp and command',
    ),
    "surge": ({**VIP, "updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}, r"maxSurge.* not allowed"),
    "no time to hand over": ({**VIP, "terminationGracePeriodSeconds": 1}, r"terminationGracePeriodSeconds.*6"),
    "a workload without the API": (
        {**VIP, "kubernetes": {"enabled": False}, "workload": {"selector": "app=web"}},
        r"workload\.selector: kubernetes\.enabled is false: turn it on, or leave",
    ),
    "namespaces of no pods": ({**VIP, "workload": {"namespaces": ["web"]}}, r"give the labels of the pods"),
    "a service without ports": (
        {**VIP, "service": {"enabled": True}},
        r"service\.ports: none is given: give a list",
    ),
    "a service of no group": (
        {**VIP, "service": {"enabled": True, "group": "a", "ports": [{"port": 80}]}},
        r'no group is called "a"',
    ),
    "metrics that nobody reaches": ({**VIP, "podMonitor": {"enabled": True}}, r"set http\.host to 0\.0\.0\.0"),
    "no Secret, and no cluster to look at": (
        {"vip": "192.0.2.100"},
        r"existingSecret: none is given.*base64 >passphrase\).*kubectl -n ha create secret generic"
        r" carp-carpsidecar-passphrase --from-file=passphrase=passphrase",
    ),
    "two ways to send": ({**VIP, "discoverPeers": True, "config": {"peer": "10.0.0.2"}}, r"leave out peer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses(helm: Helm, case: str) -> None:
    values, word = REFUSED[case]
    with pytest.raises(RenderError) as refusal:
        helm.render(values)
    assert re.search(word, str(refusal.value).replace("\n", " ")), refusal.value


def schema() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return content


def leaves(values: dict[str, Any], above: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        found += leaves(value, f"{above}{name}.") if isinstance(value, dict) and value else [f"{above}{name}"]
    return found


def names() -> list[str]:
    # Of these, what is in them is one value's default.
    whole = ("resources", "reporterResources", "Probe", "dashboard.labels")
    values = leaves(yaml.safe_load((CHART / "values.yaml").read_text()))
    short = [next((name.partition(part)[0] + part for part in whole if part in name), name) for name in values]
    return sorted(set(short))


@pytest.mark.parametrize("name", names())
def test_the_readme_has_every_value(name: str) -> None:
    assert f"| `{name}` |" in (CHART / "README.md").read_text()


def test_the_readme_has_no_other_values() -> None:
    documented = re.findall(r"^\| `([^`]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE)
    assert sorted(documented) == names()


def test_the_schema_has_every_value() -> None:
    for name in leaves(yaml.safe_load((CHART / "values.yaml").read_text())):
        place = schema()
        for part in name.split("."):
            if "properties" not in place:
                break  # free-form, as labels are
            assert part in place["properties"], name
            place = place["properties"][part]


def test_the_chart_is_of_this_version() -> None:
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert metadata["version"] == metadata["appVersion"] == __version__
