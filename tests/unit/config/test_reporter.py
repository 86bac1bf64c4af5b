"""What the reporter is told to do, and what is refused."""

import socket
from typing import Any

import pytest

from carpsidecar.config.sources import Config, load
from carpsidecar.ipc.settings import Check, KubernetesSettings
from tests.unit.config.conftest import Refusal, WriteFile

LEAST = {"vip": "192.0.2.100", "vhid": "42", "passphrase": "secret"}
POD = {"kubernetes": True, "pod_name": "carp-abcde", "pod_namespace": "carp", "node_name": "alpha"}


def test_without_anything_else_to_do_it_serves_the_control_commands() -> None:
    for config in (load(LEAST, {}), load(LEAST | {"node_name": "alpha", "kubernetes": False}, {})):
        assert config.reporter is not None
        assert (config.reporter.http, config.reporter.checks, config.reporter.kubernetes) == ("", [], None)


def test_a_pod_is_reported_by_its_environment() -> None:
    environ = {"CARP_POD_NAME": "carp-abcde", "CARP_POD_NAMESPACE": "carp", "CARP_NODE_NAME": "alpha"}
    config = load(LEAST | {"kubernetes": True}, environ)
    assert config.reporter is not None
    assert config.reporter.kubernetes == KubernetesSettings(
        pod_name="carp-abcde", pod_namespace="carp", node_name="alpha"
    )


def test_all_that_kubernetes_takes() -> None:
    config = load(
        LEAST
        | POD
        | {
            "http": "[::1]:9112",
            "pod_selector": "app=carp",
            "workload_selector": "app=web",
            "workload_namespace": ["web", "shop"],
            "unready_demotion": "100",
            "cordon_demotion": "240",
            "advskew_label": "carpsidecar.io/advskew",
            "discover_peers": True,
        },
        {},
    )
    assert config.reporter is not None
    assert config.reporter.http == "[::1]:9112"
    assert config.reporter.kubernetes == KubernetesSettings(
        pod_name="carp-abcde",
        pod_namespace="carp",
        node_name="alpha",
        pod_selector="app=carp",
        workload_selector="app=web",
        workload_namespaces=["web", "shop"],
        unready_demotion=100,
        cordon_demotion=240,
        advskew_label="carpsidecar.io/advskew",
        discover_peers=True,
    )
    assert all(group.awaits_peers for group in config.groups)


@pytest.mark.parametrize("missing", ["pod_name", "pod_namespace"])
def test_a_pod_needs_its_name_and_namespace(missing: str, refusal: Refusal) -> None:
    text = refusal(LEAST | {name: value for name, value in POD.items() if name != missing})
    assert text.startswith(f"{missing}: none is given: give metadata.")
    assert text.endswith(f"as CARP_{missing.upper()}")


@pytest.mark.parametrize("setting", ["cordon_demotion", "advskew_label", "workload_selector"])
def test_what_is_about_the_node_needs_its_name(setting: str, refusal: Refusal) -> None:
    flags = {name: value for name, value in POD.items() if name != "node_name"} | {setting: "100"}
    assert "node_name is not given: give spec.nodeName" in refusal(LEAST | flags)


def test_discovery_needs_to_know_whom_to_discover(refusal: Refusal) -> None:
    assert refusal(LEAST | POD | {"discover_peers": True}).startswith("--discover-peers: pod_selector is not given")


@pytest.mark.parametrize("setting", ["pod_selector", "unready_demotion", "discover_peers", "kubeconfig"])
def test_what_is_for_kubernetes_is_refused_without_it(setting: str, refusal: Refusal) -> None:
    assert "kubernetes is off" in refusal(LEAST | {setting: "1"})


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", ":80", "300.0.0.1:80", "::1:80"])
def test_where_to_listen_is_an_address_and_a_port(listen: str, refusal: Refusal) -> None:
    assert refusal(LEAST | {"http": listen}).startswith(f"--http: '{listen}' ")


def in_file(write_file: WriteFile, text: str, **flags: str) -> Config:
    return load(LEAST | flags, {}, write_file(text))


def test_checks_are_in_the_file(write_file: WriteFile) -> None:
    config = in_file(
        write_file,
        "checks:\n"
        "- {name: web, http: 'http://127.0.0.1:80/up'}\n"
        "- {name: database, tcp: '127.0.0.1:5432', demotion: 100, rise: 1, fall: 1}\n"
        "- {name: disk, command: /bin/ok now, interval_s: 10, timeout_s: 5, group: vhid-42}\n",
    )
    assert config.reporter is not None
    defaults: dict[str, Any] = {"interval_s": 2.0, "timeout_s": 2.0, "rise": 2, "fall": 3, "demotion": 240}
    assert config.reporter.checks == [
        Check(name="web", kind="http", target=["http://127.0.0.1:80/up"], **defaults),
        Check(
            name="database",
            kind="tcp",
            target=["127.0.0.1:5432"],
            **defaults | {"demotion": 100, "rise": 1, "fall": 1},
        ),
        Check(
            name="disk",
            kind="command",
            target=["/bin/ok", "now"],
            group="vhid-42",
            **defaults | {"interval_s": 10.0, "timeout_s": 5.0},
        ),
    ]


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ("web", "checks: 'web' can't be used: give a list of mappings"),
        ("[1]", "checks: a list can't be used: give a list of mappings"),
        ("[{tcp: 'a:1'}]", "checks[0]: it has no name: give a short name in lower case"),
        ("[{name: a}]", "checks[0]: give one of http, tcp and command"),
        ("[{name: a, tcp: 'a:1', http: 'http://a'}]", "checks[0]: give one of http, tcp and command"),
        ("[{name: a, tcp: a}]", "checks[0].tcp: 'a' can't be used: give a host and a port such as 127.0.0.1:5432"),
        (
            "[{name: a, http: 'ftp://a'}]",
            "checks[0].http: 'ftp://a' can't be used: give an http:// or https:// URL",
        ),
        ("[{name: a, tcp: 'a:1', fall: 0}]", "checks[0].fall: 0 can't be used: give a number from 1 to 1000"),
        ("[{name: a, tcp: 'a:1', often: 1}]", "checks[0]: there is no such setting as 'often'"),
        ("[{name: a, tcp: 'a:1', group: b}]", "checks[0].group: no group is called 'b': give one of vhid-42"),
        ("[{name: a, tcp: 'a:1'}, {name: a, tcp: 'a:1'}]", "checks[1].name: two checks are called 'a'"),
        ('[{name: a, command: "\'"}]', "checks[0].command: \"'\" can't be used"),
        ("[{name: a, command: ''}]", "checks[0].command: '' can't be used"),
    ],
)
def test_a_check_that_can_not_be_used(checks: str, message: str, write_file: WriteFile, refusal: Refusal) -> None:
    path = write_file(f"checks: {checks}\n")
    assert refusal(LEAST, {}, path).startswith(f"{path}: {message}")


def test_a_node_finds_its_advskew_in_the_file(write_file: WriteFile) -> None:
    text = f"advskew: auto\nnode_advskew: {{alpha: 7, beta: 9, {socket.gethostname()}: 11}}\n"

    def advskew(**flags: str) -> int | str:
        [group] = in_file(write_file, text, **flags).groups
        return "auto" if group.auto_advskew else group.settings.advskew

    assert advskew(node_name="alpha") == 7
    assert advskew(node_name="beta") == 9
    assert advskew(node_name="gamma") == "auto"
    assert advskew() == 11, "the host's own name"


def test_each_group_may_prefer_another_node(write_file: WriteFile) -> None:
    path = write_file("""
passphrase: secret
node_name: alpha
node_advskew: {alpha: 7}
groups:
  - {name: web, vip: 192.0.2.100, node_advskew: {alpha: 100, beta: 0}}
  - {name: mail, vip: 192.0.2.101, node_advskew: {beta: 100}}
""")
    web, mail = load({}, {}, str(path)).groups
    assert (web.settings.advskew, mail.settings.advskew) == (100, 7)


@pytest.mark.parametrize("value", ["7", "[7]", "{alpha: 255}", "{beta: x}"])
def test_an_advskew_of_a_node_that_can_not_be_used(value: str, write_file: WriteFile, refusal: Refusal) -> None:
    path = write_file(f"node_advskew: {value}\n")
    assert refusal(LEAST | {"node_name": "alpha"}, {}, path).startswith(f"{path}: node_advskew")
