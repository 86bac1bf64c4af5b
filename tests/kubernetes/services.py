"""Services and engines for the tests of LoadBalancer: the engine's part is played, and the network's."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from carpsidecar.ipc.messages import (
    GroupSnapshot,
    KeepServiceAddresses,
    ProbeAddress,
    Result,
    SetServiceAddress,
    ToEngine,
)
from carpsidecar.ipc.settings import KubernetesSettings, LoadBalancerPool, LoadBalancerSettings
from carpsidecar.reporter.kubernetes.client import Timing
from tests.kubernetes.admin import Object
from tests.kubernetes.scene import QUICK, Running, Scene
from tests.support.waits import wait_until

POOL = LoadBalancerPool(name="default", addresses=["192.0.2.200-192.0.2.203"])


class Engine:
    """Takes what it is asked for, and becomes what the test says."""

    def __init__(self) -> None:
        self.addresses: dict[str, SetServiceAddress] = {}
        self.kept: list[list[str]] = []
        self.probed: list[str] = []
        self.in_use: dict[str, str] = {}
        self.refuses: dict[str, str] = {}
        self.probe_s = 0.0
        self._lock = threading.Lock()

    def request(self, command: ToEngine, within_s: float) -> "Future[Result]":
        future: Future[Result] = Future()
        if isinstance(command, ProbeAddress) and self.probe_s:
            threading.Timer(self.probe_s, lambda: future.set_result(self._result(command))).start()
        else:
            future.set_result(self._result(command))
        return future

    def _result(self, command: ToEngine) -> Result:
        with self._lock:
            reason = ""
            if isinstance(command, SetServiceAddress):
                reason = self.refuses.get(command.address, "")
                self.addresses[command.address] = command
            elif isinstance(command, KeepServiceAddresses):
                self.kept.append(command.addresses)
                self.addresses = {ip: one for ip, one in self.addresses.items() if ip in command.addresses}
            elif isinstance(command, ProbeAddress):
                self.probed.append(command.address)
                reason = self.in_use.get(command.address, "")
            return Result(id=1, outcome="refused" if reason else "done", reason=reason)


class Node(Running):
    """One node's reporter."""

    def __init__(self, settings: KubernetesSettings, account: Path, engine: Engine, timing: Timing) -> None:
        self.engine = engine
        super().__init__(settings, account, timing, engine.request)

    def wait_asked(self, ip: str, holds: Callable[[SetServiceAddress], bool] = lambda _: True) -> SetServiceAddress:
        """The newest request for an address, as soon as that holds for it."""
        found: list[SetServiceAddress] = []

        def is_asked() -> bool:
            found[:] = [one] if (one := self.engine.addresses.get(ip)) is not None and holds(one) else []
            return bool(found)

        wait_until(is_asked, f"{ip} is asked for so; what is: {self.engine.addresses}")
        return found[0]

    def become(self, ip: str, role: Any, reason: str = "for a test", **more: Any) -> None:
        """What the engine reports of the address's group."""
        asked = self.wait_asked(ip)
        values = {"demotions": {}, "since_s": time.time(), **more}
        self.state.receive(
            GroupSnapshot(
                group=f"lb-{asked.vhid}",
                role=role,
                reason=reason,
                interface="eth0",
                vhid=asked.vhid,
                addresses=[ip],
                advbase=1,
                advskew=asked.advskew,
                advskew_advertised=asked.advskew,
                master=None,
                services=asked.services,
                **values,
            )
        )


class Services:
    """The cluster's user, and the nodes."""

    def __init__(self, scene: Scene, *pools: LoadBalancerPool, **more: Any) -> None:
        self.scene = scene
        values = {"vhid_first": 1000, "vhid_last": 1999, "addresses_max": 1000, **more}
        self.settings = LoadBalancerSettings(
            class_=f"test.io/{scene.namespace}", pools=list(pools) or [POOL], **values
        )
        self.path = f"/api/v1/namespaces/{scene.namespace}/services"
        scene.at_close.append(self._delete_all)

    def _delete_all(self) -> None:
        """Nothing here deletes what is in a namespace, and their addresses would be taken."""
        for one in self.scene.admin.get(self.path)["items"]:
            self.delete(one["metadata"]["name"])

    def node(
        self,
        number: int = 1,
        engine: Engine | None = None,
        timing: Timing = QUICK,
        account: Path | None = None,
        **settings: Any,
    ) -> Node:
        """Its pod is `carp-<number>`."""
        scene, name = self.scene, f"{self.scene.namespace}-n{number}"
        found = scene.admin.get("/api/v1/nodes", fieldSelector=f"metadata.name={name}")["items"]
        if not found:
            scene.node(name)
            scene.pod(f"carp-{number}", node=name)
        values = {"node_name": name, "load_balancer": self.settings, **settings}
        made = scene.settings(f"carp-{number}", **values)
        node = Node(made, account or scene.rights(made), engine or Engine(), timing)
        scene.add(node)
        return node

    def create(self, name: str = "web", namespace: str = "", **spec: Any) -> Object:
        annotations = {f"carpsidecar.io/{key}": text for key, text in spec.pop("annotations", {}).items()}
        values = {
            "type": "LoadBalancer",
            "loadBalancerClass": self.settings.class_,
            "ports": [{"port": 80, "name": "http"}],
            "selector": {"app": name},
            **spec,
        }
        values = {key: value for key, value in values.items() if value is not None}
        path = f"/api/v1/namespaces/{namespace}/services" if namespace else self.path
        return self.scene.admin.create(
            path, {"metadata": {"name": name, "annotations": annotations}, "spec": values}
        )

    def patch(self, name: str, body: Object) -> Object:
        return self.scene.admin.patch(f"{self.path}/{name}", body)

    def annotate(self, name: str, **annotations: str | None) -> None:
        self.patch(
            name,
            {"metadata": {"annotations": {f"carpsidecar.io/{key}": text for key, text in annotations.items()}}},
        )

    def delete(self, name: str) -> None:
        self.scene.admin.delete(f"{self.path}/{name}")

    def read(self, name: str = "web") -> Object:
        return self.scene.admin.get(f"{self.path}/{name}")

    def wait(self, name: str, holds: Callable[[Object], bool], timeout_s: float = 20.0) -> Object:
        return self.scene.admin.wait(self.path, name, holds, timeout_s)

    def wait_address(self, name: str = "web", count: int = 1, timeout_s: float = 20.0) -> list[str]:
        return addresses_of(self.wait(name, lambda one: len(addresses_of(one)) == count, timeout_s))

    def wait_reason(self, name: str, reason: str, timeout_s: float = 20.0) -> str:
        """The message of the condition `allocated`."""

        def holds(one: Object) -> bool:
            return (condition(one, "allocated") or {}).get("reason") == reason

        return str((condition(self.wait(name, holds, timeout_s), "allocated") or {})["message"])

    def endpoints(self, service: str, **nodes: bool) -> None:
        """Pods of a Service: whether the one on each node (`n1`, ...) is ready."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.scene.namespace}/endpointslices"
        body = {
            "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "ports": [{"port": 80}],
            "endpoints": [
                {
                    "addresses": [f"10.1.0.{number}"],
                    "nodeName": f"{self.scene.namespace}-{node}",
                    "conditions": {"ready": ready},
                }
                for number, (node, ready) in enumerate(nodes.items(), 1)
            ],
        }
        known = self.scene.admin.get(path, fieldSelector=f"metadata.name={service}-1")["items"]
        if known:
            self.scene.admin.patch(f"{path}/{service}-1", {"endpoints": body["endpoints"]}, "merge-patch")
        else:
            self.scene.admin.create(path, body)


def addresses_of(service: Object) -> list[str]:
    return [one["ip"] for one in service["status"].get("loadBalancer", {}).get("ingress", [])]


def condition(service: Object, name: str) -> Object | None:
    found = service["status"].get("conditions") or []
    return next((one for one in found if one["type"] == f"carpsidecar.io/{name}"), None)


def annotation(service: Object, name: str) -> str | None:
    value: str | None = service["metadata"].get("annotations", {}).get(f"carpsidecar.io/{name}")
    return value
