"""A real cluster whose nodes are network namespaces on one bridge, and a client on that bridge outside of it.

The cluster is made by a tool that is not part of this project. `CARPSIDECAR_CLUSTER` names it; it understands
`up N`, `images FILE` and `down`, and leaves `node1`, `node2`, ... in the namespaces `kn1`, `kn2`, ... with
10.77.0.11, .12, ..., the control plane in `kcp`, and the bridge `br0` in `ksw`, whose ports are `p-kn1`, ....
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from carpsidecar.lab.commands import run
from carpsidecar.lab.node import Node
from carpsidecar.lab.probe import EchoServer
from tests.cluster import schemaless
from tests.support.waits import SOON_S

ROOT = Path(os.environ.get("CLUSTER_ROOT", str(Path(tempfile.gettempdir()) / "cluster")))
CHART = Path(__file__).parents[2] / "charts" / "carpsidecar"
CONTROL_PLANE, SWITCH, CLIENT = "kcp", "ksw", "kclient"
VIP = "10.77.0.100"
NAMESPACE = "carp"
RELEASE = "carp"
OURS = "app.kubernetes.io/name=carpsidecar"
HANDOVER_S = 0.1
"""A master that hands over says so before it lets the address go, and a busy machine makes more of that."""


class Machine(Node):
    """A node of the cluster, or the client: a namespace that somebody else made."""

    def __init__(self, name: str, ns: str, directory: Path) -> None:
        self.name = name
        self.ns = ns
        self.processes = []
        self.environment = {}
        self._directory = directory
        self._logs = itertools.count(1)

    def cut_off(self, link: int = 0) -> None:
        run(["ip", "-n", SWITCH, "link", "set", f"p-{self.ns}", "nomaster"])

    def rejoin(self, link: int = 0) -> None:
        run(["ip", "-n", SWITCH, "link", "set", f"p-{self.ns}", "master", "br0"])


class Cluster:
    """kubectl and helm as the administrator, and the machines."""

    def __init__(self, directory: Path, helm: str) -> None:
        self._helm = helm
        self.helm_server = ["--kubeconfig", str(ROOT / "admin.kubeconfig")]
        names = [f"node{number}" for number in range(1, 4)]
        self.nodes = {name: Machine(name, f"kn{name.removeprefix('node')}", directory) for name in names}
        self.client = Machine("client", CLIENT, directory)
        self.echoes = [EchoServer(node) for node in self.nodes.values()]

    # As a platform engineer.

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        return _in_control_plane(
            ["kubectl", "--kubeconfig", str(ROOT / "admin.kubeconfig"), *arguments], text, check
        )

    def helm(self, *arguments: str) -> str:
        return _in_control_plane([self._helm, *self.helm_server, "--namespace", NAMESPACE, *arguments])

    @property
    def has_schema(self) -> bool:
        """Whether the API server says its schema, by which Helm validates."""
        manifest = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}'
        said = self.kubectl("create", "--dry-run=client", "--validate=true", "-f", "-", text=manifest, check=False)
        return "created" in said

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        for manifest in manifests:
            self.kubectl("apply", "--server-side", "--validate=false", "-f", "-", text=json.dumps(manifest))

    def install(self, *values: str, release: str = RELEASE) -> None:
        """`helm upgrade --install` with these values, and wait until the pods are ready."""
        settings = [word for value in values for word in ("--set", value)]
        image = ("--set", "image.repository=localhost/carpsidecar", "--set", "image.tag=latest")
        never = ("--set", "image.pullPolicy=Never")
        self.kubectl("create", "namespace", NAMESPACE, check=False)
        # By its schema the server checks itself, and some servers can't serve it.
        server = ("--kubeconfig", str(ROOT / "admin.kubeconfig"), "--namespace", NAMESPACE)
        install = ("upgrade", "--install", release, str(CHART), "--disable-openapi-validation")
        _in_control_plane([self._helm, *server, *install, *image, *never, *settings])

    def uninstall(self, release: str = RELEASE) -> None:
        """Where it is installed; returns when its pods are gone."""
        if release in self.helm("list", "--short").split():
            self.helm("uninstall", release, "--wait")
            pods = f"app.kubernetes.io/instance={release}"
            self.wait_for(lambda: not self.pods(pods), f"the end of {release}'s pods")

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return items

    def pods(self, selector: str = OURS, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        return self.get("pods", "-n", namespace, "-l", selector)

    def roles(self, selector: str = OURS, namespace: str = NAMESPACE) -> dict[str, str]:
        """By node, of the pods that are not on their way out."""
        return {
            pod["spec"]["nodeName"]: pod["metadata"].get("labels", {}).get("carp-role", "")
            for pod in self.pods(selector, namespace)
            if "deletionTimestamp" not in pod["metadata"] and "nodeName" in pod["spec"]
        }

    def pod_on(self, node: str, selector: str = OURS) -> dict[str, Any]:
        [pod] = [
            pod
            for pod in self.pods(selector)
            if pod["spec"].get("nodeName") == node and "deletionTimestamp" not in pod["metadata"]
        ]
        return pod

    def events(self, reason: str) -> list[dict[str, Any]]:
        return [event for event in self.get("events.events.k8s.io", "-n", NAMESPACE) if event["reason"] == reason]

    def wait_for(self, wanted: Callable[[], Any], what: str, within_s: float = SOON_S) -> float:
        """Ask until it is true; how long that took. Only for what has no event that a shell could wait for."""
        began = time.monotonic()
        while not wanted():
            if time.monotonic() - began > within_s:
                pods = self.kubectl("get", "pods", "-A", "-o", "wide", "--show-labels")
                raise TimeoutError(f"waited {within_s} s for {what}; the pods:\n{pods}")
            time.sleep(0.05)
        return time.monotonic() - began

    def wait_for_one_master(self, within_s: float = SOON_S, *, ready: int = 3) -> str:
        """Wait until so many pods take part, one of them as the master; its node."""

        def settled() -> bool:
            roles = sorted(self.roles().values())
            return roles == [*["backup"] * (ready - 1), "master"]

        self.wait_for(settled, f"one master and {ready - 1} backups", within_s)
        return next(node for node, role in self.roles().items() if role == "master")

    def wait_for_rollout(self, release: str = RELEASE) -> None:
        """Wait until every pod is of the newest template, and ready for long enough."""
        self.kubectl("rollout", "status", "-n", NAMESPACE, f"daemonset/{release}-carpsidecar", "--timeout=150s")

    def condition(self, pod: dict[str, Any], kind: str) -> str:
        conditions = pod["status"].get("conditions", [])
        return next((c["status"] for c in conditions if c["type"] == kind), "absent")


def _in_control_plane(argv: list[str], text: str | None = None, check: bool = True) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", CONTROL_PLANE, *argv], input=text, capture_output=True, text=True, timeout=180
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv[:6])} ...: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextmanager
def cluster_of_three(tool: str, image: Path, helm: str, directory: Path) -> Iterator[Cluster]:
    command = [sys.executable, tool] if tool.endswith(".py") else [tool]
    subprocess.run([*command, "up", "3"], check=True, capture_output=True, timeout=180)
    try:
        subprocess.run([*command, "images", str(image)], check=True, capture_output=True, timeout=180)
        run(["ip", "netns", "add", CLIENT])
        run(
            [
                "ip",
                "link",
                "add",
                "eth0",
                "netns",
                CLIENT,
                "type",
                "veth",
                "peer",
                "name",
                "p-client",
                "netns",
                SWITCH,
            ]
        )
        run(["ip", "-n", SWITCH, "link", "set", "p-client", "master", "br0", "up"])
        run(["ip", "-n", CLIENT, "link", "set", "eth0", "up"])
        run(["ip", "-n", CLIENT, "address", "add", "10.77.0.200/24", "dev", "eth0"])
        cluster = Cluster(directory, helm)
        with ExitStack() as undo:
            for echo in cluster.echoes:
                undo.callback(echo.stop)
            if not cluster.has_schema:
                kubectl = ["kubectl", "--kubeconfig", str(ROOT / "admin.kubeconfig")]
                undo.enter_context(schemaless.proxy(["ip", "netns", "exec", CONTROL_PLANE], kubectl))
                cluster.helm_server = ["--kube-apiserver", schemaless.SERVER]
            yield cluster
    finally:
        subprocess.run(["ip", "netns", "del", CLIENT], check=False, capture_output=True)
        subprocess.run([*command, "down"], check=False, capture_output=True, timeout=180)


@contextmanager
def api_stopped() -> Iterator[None]:
    """The process of the API server hangs, so that connections to it do."""
    running = {pid: command_line(int(pid)) for pid in run(["ip", "netns", "pids", CONTROL_PLANE]).split()}
    [server] = [int(pid) for pid, words in running.items() if words and words[0].endswith("/kube-apiserver")]
    controllers = ("/kube-controller-manager", "/kube-scheduler")
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)
        for pid, words in running.items():
            if words and words[0].endswith(controllers) and not command_line(int(pid)):
                # It ends when it can't renew its lease, and a kubelet would start it again.
                namespace = f"--net=/run/netns/{CONTROL_PLANE}"
                subprocess.Popen(
                    ["nsenter", namespace, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )


def command_line(pid: int) -> list[str]:
    """Its command line; empty when it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    return []
