"""Rights and labels, asked of a fake API server."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_interface
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from carpsidecar.config.sources import load
from carpsidecar.doctor.findings import Finding
from carpsidecar.doctor.kubernetes import cluster
from carpsidecar.doctor.machine import Daemon, Machine, Subject
from carpsidecar.ipc.settings import KubernetesSettings
from carpsidecar.linux.netlink import Netlink
from carpsidecar.reporter.kubernetes.rbac import rules

VIP = "192.0.2.100"


class MadeUp(ThreadingHTTPServer):
    """`forbidden` are verb and resource; `labels` those of each pod."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.forbidden: set[tuple[str, str]] = set()
        self.labels: dict[str, dict[str, str]] = {"carp-1": {}}
        self.asked: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = cast(MadeUp, self.server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        attributes = body["spec"]["resourceAttributes"]
        server.asked.append(attributes)
        resource = "/".join(filter(None, (attributes["resource"], attributes["subresource"])))
        self._answer(201, {**body, "status": {"allowed": (attributes["verb"], resource) not in server.forbidden}})

    def do_GET(self) -> None:
        server = cast(MadeUp, self.server)
        selector = parse_qs(urlsplit(self.path).query).get("fieldSelector", [""])[0]
        items = [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": "carp",
                    "uid": name,
                    "resourceVersion": "1",
                    "labels": labels,
                },
            }
            for name, labels in server.labels.items()
            if selector in ("", f"metadata.name={name}")
        ]
        self._answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    def _answer(self, status: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[MadeUp]:
    with MadeUp() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(server: MadeUp, tmp_path: Path) -> KubernetesSettings:
    file = tmp_path / "kubeconfig"
    url = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "it", "user": {"token": "t"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }
    file.write_text(yaml.safe_dump(config))
    return KubernetesSettings(
        kubeconfig=str(file), pod_name="carp-1", pod_namespace="carp", pod_selector="app=carp"
    )


class _Held(Netlink):
    """A kernel that has the address, or has not."""

    def __init__(self, held: bool) -> None:
        self._held = held

    def addresses(self, index: int | None = None) -> list[Any]:
        return [SimpleNamespace(interface=ip_interface(f"{VIP}/32"))] if self._held else []


def machine(*, master: bool) -> Machine:
    config = load({"vip": [VIP], "passphrase": "secret", "vhid": "42", "interface": "eth0"}, {})
    daemon = Daemon(1, 100.0) if master else None
    return Machine(config, [Subject(config.groups[0], "eth0", None, {}, daemon, _Held(master))])


def reported(settings: KubernetesSettings, *, master: bool = False) -> list[Finding]:
    return list(cluster(machine(master=master), settings))


def one(findings: list[Finding], check: str) -> tuple[str, str]:
    [finding] = [finding for finding in findings if finding.check == check]
    assert bool(finding.remedy) == (finding.status in ("problem", "warning"))
    return str(finding.status), finding.found


def test_every_right_is_asked_for(server: MadeUp, settings: KubernetesSettings) -> None:
    status, found = one(reported(settings), "permissions")
    needed = rules(settings)
    assert (status, found) == ("ok", f"all {len(needed)} that are used are there")
    asked = [
        (a["verb"], "/".join(filter(None, (a["resource"], a["subresource"]))), a["group"]) for a in server.asked
    ]
    assert asked == [(rule.verb, rule.resource, rule.api_group) for rule in needed]


def test_a_right_that_is_missing(server: MadeUp, settings: KubernetesSettings) -> None:
    server.forbidden.add(("patch", "pods/status"))
    status, found = one(reported(settings), "permissions")
    assert (status, found) == ("problem", "not allowed to patch pods/status in namespace carp")


@pytest.mark.parametrize(
    ("labels", "master", "status", "words"),
    [
        ({"carp-1": "backup"}, False, "ok", "carp-role=backup, as it should be"),
        ({"carp-1": "master"}, True, "ok", "carp-role=master, as it should be"),
        ({"carp-1": "master"}, False, "problem", "this machine is not master: the label is stale"),
        ({"carp-1": "backup"}, True, "warning", "this machine is master, and pod carp-1 bears carp-role=backup"),
        ({"carp-1": "master", "carp-2": "master"}, True, "problem", "several pods bear carp-role=master: carp-1"),
    ],
)  # fmt: skip
def test_labels(
    server: MadeUp, settings: KubernetesSettings, labels: dict[str, str], master: bool, status: str, words: str
) -> None:
    server.labels = {name: {"carp-role": role} for name, role in labels.items()}
    found = one(reported(settings, master=master), "label")
    assert found[0] == status
    assert words in found[1]


def test_a_pod_of_another_name(server: MadeUp, settings: KubernetesSettings) -> None:
    server.labels = {}
    assert one(reported(settings), "label") == ("problem", "there is no pod carp-1 in namespace carp")


def test_no_answer(server: MadeUp, settings: KubernetesSettings) -> None:
    Path(settings.kubeconfig).write_text(
        Path(settings.kubeconfig).read_text().replace(str(server.server_address[1]), "1")
    )
    status, _found = one(reported(settings), "kubernetes")
    assert status == "problem"


def test_no_credentials(settings: KubernetesSettings) -> None:
    Path(settings.kubeconfig).write_text("{}")
    status, found = one(reported(settings), "kubernetes")
    assert status == "problem"
    assert "no way to the API server" in found
