"""docs/recipes/api-server.md on a real cluster: the static pod, by real kubelets, while no API server answers.

That the address follows real API servers is shown by tests/kubernetes/test_api_server_address.py.
"""

import os
import select
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from carpsidecar.cli.manifest import DISTROS, settings_of
from carpsidecar.cli.manifest import manifest as manifest_text
from carpsidecar.lab.commands import run
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.namespace import run_in
from tests.cluster.harness import HANDOVER_S, VIP, Cluster, Machine, api_stopped
from tests.cluster.workstation import here
from tests.support.certificates import Authority
from tests.support.manual.page import SOURCE, claim
from tests.support.waits import SOON_S

PAGE = "docs/recipes/api-server.md"
(COPY,) = claim(PAGE, "cp static-pod.yaml")
[CONFIGURATION] = [block for block in claim(PAGE) if block.title.startswith("/etc/carpsidecar/carpsidecar.yaml")]
MANIFEST = SOURCE / "docs" / "kubernetes" / "static-pod.yaml"
NODES = ("node1", "node2")
POD = "app.kubernetes.io/component=api-server-address"


class ApiServer:
    """What answers the check on a node, in an API server's place: this cluster has its own on none of the nodes."""

    def __init__(self, node: Machine, authority: Authority) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*authority.issue(node.name))
        self.ready = True

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                handler.send_response(200 if self.ready and handler.path == "/readyz" else 500)
                handler.end_headers()

            def log_message(handler, *_: object) -> None:
                pass

        self._server = run_in(node.ns, lambda: ThreadingHTTPServer(("127.0.0.1", 6443), Handler))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Kubelet:
    """The node's own, started again with a folder for static pods. Its pods don't notice."""

    def __init__(self, node: Machine, folder: Path) -> None:
        self.manifests = folder / "manifests"
        self.manifests.mkdir(parents=True)
        self._node = node
        self._pid, self._original = _kubelet_of(node)
        given = self._original[self._original.index("--config") + 1]
        own = folder / "kubelet.yaml"
        settings = yaml.safe_load(Path(given).read_text())
        own.write_text(yaml.safe_dump({**settings, "staticPodPath": str(self.manifests)}))
        self._with_manifests = [str(own) if word == given else word for word in self._original]

    def start_with_manifests(self) -> None:
        self._start(self._with_manifests)

    def start_as_before(self) -> None:
        self._start(self._original)

    def _start(self, words: list[str]) -> None:
        descriptor = os.pidfd_open(self._pid)
        try:
            os.kill(self._pid, signal.SIGTERM)
            if not select.select([descriptor], [], [], SOON_S)[0]:
                raise TimeoutError(f"the kubelet of {self._node.name} does not end")
        finally:
            os.close(descriptor)
        # Not by `ip netns exec`: its own /sys hides the control groups.
        self._pid = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self._node.ns}", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ).pid


def _kubelet_of(node: Machine) -> tuple[int, list[str]]:
    """Its process, and its command line."""
    for pid in run(["ip", "netns", "pids", node.ns]).split():
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        if words and words[0].endswith("/kubelet"):
            return int(pid), words
    raise LookupError(f"no kubelet runs on {node.name}")


@dataclass
class ControlPlanes:
    cluster: Cluster
    kubelets: list[Kubelet]
    servers: dict[str, ApiServer]
    folder: Path

    def copy(self, kubelet: Kubelet) -> None:
        """As the page says it."""
        command = COPY.text.replace("/etc/kubernetes/manifests", str(kubelet.manifests))
        subprocess.run(["sh", "-e", "-c", command], check=True, cwd=self.folder)


def _of_the_page() -> str:
    return here(MANIFEST.read_text())


def _printed() -> str:
    given = {"vip": [VIP], "vhid": 100}
    return manifest_text("kubeadm", "localhost/carpsidecar:latest", settings_of(DISTROS["kubeadm"], given))


@pytest.fixture(params=[_of_the_page, _printed], ids=["the page's file", "what `manifest pod` prints"])
def planes(
    cluster: Cluster, tmp_path: Path, watch: HolderWatch, request: pytest.FixtureRequest
) -> Iterator[ControlPlanes]:
    """What the page prepares, in folders of this test's own: all nodes here have one file system."""
    cluster.uninstall()
    authority = Authority(tmp_path)
    folders = {"config": tmp_path / "etc", "authority": authority.certificate, "state": tmp_path / "state"}
    folders["config"].mkdir()
    (folders["config"] / "carpsidecar.yaml").write_text(here(CONFIGURATION.text))
    folders["passphrase"] = folders["config"] / "passphrase"
    folders["passphrase"].write_text("for the API server\n")
    manifest = yaml.safe_load(request.param())
    for volume in manifest["spec"]["volumes"]:
        if "hostPath" in volume:
            volume["hostPath"]["path"] = str(folders[volume["name"]])
    (tmp_path / "static-pod.yaml").write_text(yaml.safe_dump(manifest))
    servers = {name: ApiServer(cluster.nodes[name], authority) for name in NODES}
    kubelets = [Kubelet(cluster.nodes[name], tmp_path / name) for name in NODES]
    try:
        yield ControlPlanes(cluster, kubelets, servers, tmp_path)
    finally:
        for kubelet in kubelets:
            for manifest in kubelet.manifests.iterdir():
                manifest.unlink()
        watch.wait_for_holder(None, SOON_S)
        cluster.wait_for(lambda: not cluster.pods(POD, "kube-system"), "the end of the static pods")
        for kubelet in kubelets:
            kubelet.start_as_before()
        for server in servers.values():
            server.close()


def test_it_starts_and_hands_over_while_there_is_no_api_server(planes: ControlPlanes, watch: HolderWatch) -> None:
    with api_stopped():
        for kubelet in planes.kubelets:
            planes.copy(kubelet)
            kubelet.start_with_manifests()
        master = watch.wait_for_exactly_one(SOON_S)
        [other] = set(NODES) - {master}
        since = time.monotonic()
        planes.servers[master].ready = False
        watch.wait_until(lambda holders: holders == {other}, SOON_S, f"{other} alone as the holder")
        assert watch.two_holders_s(since) < HANDOVER_S
        planes.servers[master].ready = True

    cluster = planes.cluster
    cluster.wait_for(lambda: _restarts(cluster) == [0, 0], "the static pods in the API", 120)


def _restarts(cluster: Cluster) -> list[int]:
    """Of each container that is told of."""
    pods = cluster.pods(POD, "kube-system")
    return [one["restartCount"] for pod in pods for one in pod["status"].get("containerStatuses", [])]
