"""A namespace of its own for each test, with pods and nodes that nothing runs, and reporters that are real."""

import itertools
import json
import logging
import os
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from carpsidecar.ipc.messages import GroupSnapshot, Heartbeat, Result, Role, ToEngine
from carpsidecar.ipc.settings import KubernetesSettings
from carpsidecar.logs import logger
from carpsidecar.reporter.kubernetes import KubernetesReporter
from carpsidecar.reporter.kubernetes.client import Timing
from carpsidecar.reporter.kubernetes.rbac import Rule, rules
from carpsidecar.status.state import State
from carpsidecar.status.stats import ApiStats
from tests.kubernetes.admin import Admin, Object
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.proxy import Proxy
from tests.support.certificates import Authority

QUICK = Timing(connect_s=5.0, answer_s=5.0, watch_s=60.0, watch_grace_s=5.0, backoff_max_s=1.0, forbidden_s=0.5)
LABELS = {"app": "carp"}
WORKLOAD = {"app": "web"}
_numbers = itertools.count(1)
Request = Callable[[ToEngine, float], "Future[Result]"]


class Logs(logging.Handler):
    """What was logged, and waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self._news = threading.Condition()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        with self._news:
            self.lines.append(record.getMessage())
            self._news.notify_all()

    def wait(self, text: str, timeout_s: float = 10.0) -> str:
        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self._news:
            assert self._news.wait_for(found, timeout_s), f"{text!r} was not logged; what was: {self.lines}"
            return found() or ""


class Running:
    """One reporter, and the engine's part in it."""

    def __init__(
        self, settings: KubernetesSettings, account: Path, timing: Timing, request: Request | None = None
    ) -> None:
        self.state = State()
        self.stats = ApiStats()
        self.asked: list[ToEngine] = []
        self._news = threading.Condition()
        self.reporter = KubernetesReporter(settings, self.state, self.stats, self._ask, timing, account, request)
        self.heartbeat()
        self.reporter.start()

    def snapshot(
        self, role: Role, reason: str = "for a test", group: str = "web", since_s: float | None = None, **more: Any
    ) -> None:
        values = {"addresses": ["10.77.0.100"], "demotions": {}, **more}
        self.state.receive(
            GroupSnapshot(
                group=group,
                role=role,
                reason=reason,
                since_s=time.time() if since_s is None else since_s,
                interface="eth0",
                vhid=42,
                advbase=1,
                advskew=0,
                advskew_advertised=0,
                master=None,
                **values,
            )
        )

    def heartbeat(self) -> None:
        self.state.receive(Heartbeat(sent_s=time.time(), counters={}, drops={}, bad_messages=0))

    def wait(self, message: ToEngine, timeout_s: float = 10.0) -> None:
        with self._news:
            done = self._news.wait_for(lambda: message in self.asked, timeout_s)
        assert done, f"{message} was not asked for; what was: {self.asked}"

    def _ask(self, message: ToEngine) -> None:
        with self._news:
            self.asked.append(message)
            self._news.notify_all()


class Scene:
    """Everything is below one namespace, but for nodes, whose names are its own.

    Args:
        port: where the reporters find the API server; None: through the proxy.
    """

    def __init__(
        self, plane: ControlPlane, admin: Admin, proxy: Proxy, folder: Path, logs: Logs, port: int | None = None
    ) -> None:
        self.plane = plane
        self.admin = admin
        self.proxy = proxy
        self.logs = logs
        self._folder = folder
        self._running: list[Running] = []
        self._bindings: list[str] = []
        self.at_close: list[Callable[[], object]] = []
        self.namespace = self.add_namespace()
        os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"] = (
            "127.0.0.1",
            str(port or proxy.port),
        )
        self._level = logger.level
        logger.addHandler(self.logs)
        logger.setLevel(logging.INFO)

    def close(self) -> None:
        logger.removeHandler(self.logs)
        logger.setLevel(self._level)
        for running in self._running:
            running.reporter.stop(0.1)
        for path in self._bindings:
            self.admin.delete(path)
        for clean_up in self.at_close:
            clean_up()
        self.proxy.close()
        os.environ.pop("KUBERNETES_SERVICE_HOST"), os.environ.pop("KUBERNETES_SERVICE_PORT")

    # The cluster.

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    def add_namespace(self) -> str:
        name = f"test-{next(_numbers)}"
        self.admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def pod(
        self,
        name: str,
        node: str = "n1",
        labels: dict[str, str] | None = None,
        containers: Iterable[str] = ("carpsidecar",),
        host_ips: Iterable[str] = (),
        namespace: str = "",
        ready: dict[str, bool] | None = None,
    ) -> Object:
        """One that runs, as its node would say."""
        path = f"/api/v1/namespaces/{namespace or self.namespace}/pods"
        pod = {
            "metadata": {"name": name, "labels": LABELS if labels is None else labels},
            "spec": {"nodeName": node, "containers": [{"name": one, "image": "none"} for one in containers]},
        }
        self.admin.create(path, pod)
        ready = ready or dict.fromkeys(containers, True)
        return self.status(name, ready, [{"ip": ip} for ip in host_ips], path)

    def status(
        self, name: str, ready: dict[str, bool], ips: list[dict[str, str]] | None = None, path: str = ""
    ) -> Object:
        statuses = [
            {"name": one, "ready": is_ready, "image": "none", "imageID": "", "restartCount": 0}
            for one, is_ready in ready.items()
        ]
        status: Object = {"phase": "Running", "containerStatuses": statuses}
        if ips:
            status |= {"hostIP": ips[0]["ip"], "hostIPs": ips}
        return self.admin.patch(f"{path or self.pods}/{name}/status", {"status": status}, "merge-patch")

    def node(self, name: str, **metadata: Any) -> None:
        self.admin.create("/api/v1/nodes", {"metadata": {"name": name, **metadata}})
        self._bindings.append(f"/api/v1/nodes/{name}")

    def read(self, name: str, namespace: str = "") -> Object:
        return self.admin.get(f"/api/v1/namespaces/{namespace or self.namespace}/pods/{name}")

    def wait_pod(
        self, name: str, holds: Callable[[Object], bool], namespace: str = "", timeout_s: float = 10.0
    ) -> Object:
        return self.admin.wait(f"/api/v1/namespaces/{namespace or self.namespace}/pods", name, holds, timeout_s)

    def wait_role(self, name: str, role: str | None, namespace: str = "", timeout_s: float = 10.0) -> Object:
        return self.wait_pod(name, lambda pod: role_of(pod) == role, namespace, timeout_s)

    def events(self) -> list[Object]:
        found: list[Object] = self.admin.get(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")["items"]
        return found

    def wait_event(self, reason: str, text: str = "", count: int = 1, timeout_s: float = 10.0) -> Object:
        """The first of this reason with this text that has happened so often."""
        deadline = time.monotonic() + timeout_s
        while True:
            events = self.events()
            for event in events:
                times = (event.get("series") or {"count": 1})["count"]
                if event["reason"] == reason and text in event["note"] and times >= count:
                    return event
            assert time.monotonic() < deadline, f"no event {reason} {text!r}, {count} times; there are {events}"
            time.sleep(0.05)

    def stranger(self) -> Authority:
        """Whose certificates nobody here knows."""
        folder = self._folder / "stranger"
        folder.mkdir()
        return Authority(folder, "stranger")

    # The reporters.

    def settings(self, pod_name: str = "carp-1", **more: Any) -> KubernetesSettings:
        values = {"pod_selector": "app=carp", "node_name": "n1", **more}
        return KubernetesSettings(pod_name=pod_name, pod_namespace=self.namespace, **values)

    def account(self, granted: Iterable[Rule], name: str = "carp") -> Path:
        """The folder of a service account that may do this; its token is a link that can be swapped."""
        folder = self._folder / name
        folder.mkdir()
        (folder / "ca.crt").write_bytes(self.plane.authority.certificate.read_bytes())
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts"
        self.admin.create(path, {"metadata": {"name": name}})
        self.bind(granted, name)
        self.rotate(folder, self.token(name))
        return folder

    def kubeconfig(self, authority: bytes, token: str) -> Path:
        """A file that leads to the same place."""
        cluster = {
            "server": f"https://127.0.0.1:{self.proxy.port}",
            "certificate-authority-data": b64encode(authority).decode(),
        }
        config = {
            "clusters": [{"name": "one", "cluster": cluster}],
            "users": [{"name": "one", "user": {"token": token}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
            "current-context": "one",
        }
        file = self._folder / "kubeconfig"
        file.write_text(json.dumps(config))
        return file

    def token(self, name: str = "carp") -> str:
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{name}/token"
        answer = self.admin.create(path, {"spec": {"expirationSeconds": 3600}})
        return str(answer["status"]["token"])

    def rotate(self, folder: Path, token: str) -> None:
        """As the kubelet does it: a new file, and a link that is swapped."""
        file = folder / f"token-{time.time_ns()}"
        file.write_text(token)
        link = folder / "link"
        link.symlink_to(file)
        link.replace(folder / "token")

    def bind(self, granted: Iterable[Rule], account: str = "carp") -> None:
        """A Role in each namespace, and a ClusterRole for what is in none, bound to the service account."""
        granted = list(granted)
        base = "/apis/rbac.authorization.k8s.io/v1"
        subjects = [{"kind": "ServiceAccount", "name": account, "namespace": self.namespace}]
        for namespace in {rule.namespace for rule in granted}:
            where = f"{base}/namespaces/{namespace}/" if namespace else f"{base}/"
            kind = "Role" if namespace else "ClusterRole"
            name = account if namespace else f"{account}-{self.namespace}"
            listed = [
                {"apiGroups": [rule.api_group], "resources": [rule.resource], "verbs": [rule.verb]}
                for rule in granted
                if rule.namespace == namespace
            ]
            roles, bindings = f"{where}{kind.lower()}s", f"{where}{kind.lower()}bindings"
            self.admin.create(roles, {"metadata": {"name": name}, "rules": listed})
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
            self.admin.create(bindings, {"metadata": {"name": name}, "subjects": subjects, "roleRef": reference})
            if not namespace:
                self._bindings += [f"{roles}/{name}", f"{bindings}/{name}"]

    def grant(self, rule: Rule) -> None:
        """To the account that lacks it, by another role."""
        base = "/apis/rbac.authorization.k8s.io/v1"
        kind = "Role" if rule.namespace else "ClusterRole"
        name = f"more-{self.namespace}"
        where = f"{base}/namespaces/{rule.namespace}" if rule.namespace else base
        listed = [{"apiGroups": [rule.api_group], "resources": [rule.resource], "verbs": [rule.verb]}]
        self.admin.create(f"{where}/{kind.lower()}s", {"metadata": {"name": name}, "rules": listed})
        subjects = [{"kind": "ServiceAccount", "name": "carp", "namespace": self.namespace}]
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        binding = {"metadata": {"name": name}, "subjects": subjects, "roleRef": reference}
        self.admin.create(f"{where}/{kind.lower()}bindings", binding)

    def start(
        self, settings: KubernetesSettings | None = None, account: Path | None = None, timing: Timing = QUICK
    ) -> Running:
        """A reporter with every right that it needs, unless it gets another account."""
        settings = settings or self.settings()
        running = Running(settings, account or self.rights(settings), timing)
        self.add(running)
        return running

    def rights(self, settings: KubernetesSettings) -> Path:
        """An account with every right that these settings need."""
        return self.account(rules(settings), f"account-{len(self._running)}")

    def add(self, running: Running) -> None:
        """Stop it at the end."""
        self._running.append(running)


def role_of(pod: Object, label: str = "carp-role") -> str | None:
    role: str | None = pod["metadata"].get("labels", {}).get(label)
    return role


def condition_of(pod: Object, name: str = "carpsidecar.io/elected") -> Object | None:
    return next((one for one in pod["status"].get("conditions", []) if one["type"] == name), None)


def annotation_of(pod: Object, name: str) -> str | None:
    value: str | None = pod["metadata"].get("annotations", {}).get(f"carpsidecar.io/{name}")
    return value
