"""The DaemonSet's pod: what it may do, how it is probed, and how it is replaced."""

import json
from typing import Any

import pytest

from tests.chart.cases import CASES, PORTS, VIP, WORKLOAD
from tests.chart.conftest import Select
from tests.chart.helm import Values

REPORTER_UID = 64112
GATE = [{"conditionType": "carpsidecar.io/elected"}]


def daemon_set(rendered: Select, values: Values) -> dict[str, Any]:
    [found] = rendered(values, "DaemonSet")
    spec: dict[str, Any] = found["spec"]
    return spec


def pod(rendered: Select, values: Values) -> dict[str, Any]:
    spec: dict[str, Any] = daemon_set(rendered, values)["template"]["spec"]
    return spec


def containers(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The engine's and the reporter's."""
    engine, reporter = (
        next(container for container in spec["containers"] if container["name"] == name)
        for name in ("carpsidecar", "carpsidecar-reporter")
    )
    return engine, reporter


@pytest.mark.parametrize("case", CASES)
def test_ours_has_its_capabilities_and_nothing_else(rendered: Select, case: str) -> None:
    spec = pod(rendered, CASES[case])
    assert spec["hostNetwork"] is True
    assert not {"hostPID", "hostIPC"} & spec.keys()
    assert spec["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    engine, reporter = containers(spec)
    assert engine["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW", *_for_realtime(CASES[case])]},
    }
    assert reporter["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": REPORTER_UID,
        "runAsGroup": REPORTER_UID,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("case", CASES)
def test_the_reporter_has_the_token_and_neither_the_secret_nor_the_configuration(
    rendered: Select, case: str
) -> None:
    engine, reporter = containers(pod(rendered, CASES[case]))
    mounted, theirs = ({mount["name"] for mount in one["volumeMounts"]} for one in (reporter, engine))
    assert not mounted & {"passphrase", "config", "state", "run"}
    assert "token" not in theirs
    assert {"passphrase", "config", "state", "run"} <= theirs
    assert "env" not in reporter
    assert engine["args"][-1] == reporter["args"][-1] == "/run/carpsidecar-reporter/reporter.sock"


@pytest.mark.parametrize("case", CASES)
def test_no_probe_restarts_the_engine_and_a_hung_reporter_is_replaced_after_ten_seconds(
    rendered: Select, case: str
) -> None:
    engine, reporter = containers(pod(rendered, CASES[case]))
    assert not {"livenessProbe", "startupProbe", "readinessProbe"} & engine.keys()
    probe = reporter["livenessProbe"]
    # It may begin to hang right behind a probe, and each probe ends after its own timeout.
    silent_s = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert 10 <= silent_s <= 12
    assert probe["terminationGracePeriodSeconds"] == 1, (
        "one that hangs ignores TERM, however long the pod's time is"
    )
    assert probe["httpGet"]["path"] == "/"


def _for_realtime(values: Values) -> list[str]:
    return ["SYS_NICE", "IPC_LOCK"] if values.get("realtime") else []


@pytest.mark.parametrize("case", CASES)
def test_the_token_is_in_the_reporter_alone(rendered: Select, case: str) -> None:
    spec = pod(rendered, CASES[case])
    reports = CASES[case].get("kubernetes", {}).get("enabled", True)
    assert spec["automountServiceAccountToken"] is False
    having = [c["name"] for c in spec["containers"] if any(m["name"] == "token" for m in c.get("volumeMounts", ()))]
    assert having == (["carpsidecar-reporter"] if reports else [])
    assert any(volume["name"] == "token" for volume in spec["volumes"]) == reports


@pytest.mark.parametrize("case", CASES)
def test_the_control_socket_and_drains_have_room_beside_the_read_only_root(rendered: Select, case: str) -> None:
    spec = pod(rendered, CASES[case])
    [ours] = [container for container in spec["containers"] if container["name"] == "carpsidecar"]
    mounted = {mount["mountPath"]: mount["name"] for mount in ours["volumeMounts"]}
    room = {volume["name"]: "emptyDir" in volume for volume in spec["volumes"]}
    for folder in ("/run/carpsidecar", "/var/lib/carpsidecar"):
        assert room[mounted[folder]]


def test_without_the_api_there_are_no_rights(rendered: Select) -> None:
    for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Pod"):
        assert rendered(CASES["without the API"], kind) == []


@pytest.mark.parametrize(
    ("http", "asked"),
    [
        ({}, "127.0.0.1:9112"),
        ({"host": "0.0.0.0", "port": 9200}, "127.0.0.1:9200"),
        ({"host": "::"}, "::1:9112"),
        ({"host": "10.0.0.1"}, "10.0.0.1:9112"),
    ],
)
def test_probes_ask_where_it_listens(rendered: Select, http: dict[str, Any], asked: str) -> None:
    _, ours = containers(pod(rendered, {**VIP, "http": http}))
    paths = {"startupProbe": "/", "livenessProbe": "/", "readinessProbe": "/readyz"}
    for probe, path in paths.items():
        get = ours[probe]["httpGet"]
        assert (f"{get['host']}:{get['port']}", get["path"]) == (asked, path)


@pytest.mark.parametrize(
    ("values", "gated"),
    [
        (VIP, False),
        ({**VIP, "readinessGate": True}, True),
        ({**VIP, **WORKLOAD}, True),
        ({**VIP, **WORKLOAD, "readinessGate": False}, False),
        ({**VIP, **WORKLOAD, "kubernetes": {"enabled": False}}, False),
    ],
)
def test_ready_means_elected_where_the_pod_carries_a_workload(
    rendered: Select, values: Values, gated: bool
) -> None:
    spec = daemon_set(rendered, values)
    assert spec["template"]["spec"].get("readinessGates", []) == (GATE if gated else [])
    one_by_one = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
    assert spec["updateStrategy"] == ({"type": "OnDelete"} if gated else one_by_one)


def test_a_changed_configuration_replaces_the_pods(rendered: Select) -> None:
    def annotations(values: Values) -> dict[str, str]:
        found: dict[str, str] = daemon_set(rendered, values)["template"]["metadata"]["annotations"]
        return found

    assert annotations(VIP) == annotations(VIP)
    assert annotations(VIP) != annotations({**VIP, "preempt": True})


def test_what_the_nodes_of_an_address_must_agree_upon_is_kept_apart(rendered: Select) -> None:
    def agreement(values: Values) -> dict[str, str]:
        [found] = rendered(values, "DaemonSet")
        digests: dict[str, str] = json.loads(found["metadata"]["annotations"]["carpsidecar.io/agreement"])
        return digests

    secret = {"existingSecret": VIP["existingSecret"]}
    [ip] = agreement(VIP)
    assert ip == VIP["vip"]
    others: list[Values] = [
        {**VIP, "auth": "carp"},
        {**VIP, "auth": "carp", "vip": [ip, "192.0.2.101"]},
        {**VIP, "vip": ["192.0.2.101", ip]},
        {**VIP, "vhid": 42},
        {**VIP, "interface": "eth1"},
        {**VIP, "existingSecret": "mine"},
        {**VIP, "discoverPeers": True},
        {**VIP, "config": {"broadcast": True}},
        {**secret, "groups": [{"name": "a", "vip": ip, "vhid": 1}]},
        {**secret, "groups": [{"name": "a", "vip": ip, "vhid": 1, "interface": "eth1"}]},
    ]
    assert len({agreement(values)[ip] for values in (VIP, *others)}) == len(others) + 1
    # In the hardened mode members with different addresses hear each other, and the vhid follows from the first.
    same: list[Values] = [
        {**VIP, "preempt": True, "health": {"cordonDemotion": 0}},
        {**VIP, "vip": [f"{ip}/24", "192.0.2.101"]},
        {**VIP, "vip": f"{ip}, 192.0.2.101"},
        {**secret, "groups": [{"name": "b", "vip": "192.0.2.101"}, {"name": "a", "vip": [ip, "192.0.2.102"]}]},
    ]
    assert {agreement(values)[ip] for values in same} == {agreement(VIP)[ip]}
    pools = {"enabled": True, "pools": [{"addresses": ["192.0.2.200-192.0.2.250"]}]}
    services = [agreement({"existingSecret": name, "loadBalancer": pools}) for name in ("mine", "another")]
    assert services[0].keys() == services[1].keys() == {"services"}
    assert services[0] != services[1]


def test_the_previous_passphrase_need_not_be_in_the_secret(rendered: Select) -> None:
    [found] = rendered({**VIP, "existingSecret": "mine", "existingSecretKey": "pass.txt"}, "DaemonSet")
    [volume] = [v for v in found["spec"]["template"]["spec"]["volumes"] if v["name"] == "passphrase"]
    assert [source["secret"] for source in volume["projected"]["sources"]] == [
        {"name": "mine", "items": [{"key": "pass.txt", "path": "passphrase"}]},
        {"name": "mine", "optional": True, "items": [{"key": "previous", "path": "previous"}]},
    ]


def test_the_service_selects_the_master(rendered: Select) -> None:
    [service] = rendered({**VIP, "service": {"enabled": True, "ports": PORTS, "externalIPs": True}}, "Service")
    assert service["spec"]["selector"] == {
        "app.kubernetes.io/name": "carpsidecar",
        "app.kubernetes.io/instance": "carp",
        "carp-role": "master",
    }
    assert service["spec"]["externalIPs"] == ["192.0.2.100"]
    [service] = rendered(CASES["groups"], "Service")
    assert service["spec"]["selector"]["carp-role-inside"] == "master"
    assert service["spec"]["externalIPs"] == ["192.0.2.100", "192.0.2.101", "10.0.0.1"]
    [service] = rendered(CASES["workload pods elsewhere"], "Service")
    assert service["spec"]["selector"] == {"app": "web", "carp-role": "master"}
