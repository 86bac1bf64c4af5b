"""Who holds an address, on its Service: the node that does writes it, by annotation, condition and event.

A node that lost an address without a successor takes its own name off after a while.
"""

import time
from collections.abc import Mapping
from typing import Any

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.client import Api, ApiError
from carpsidecar.reporter.kubernetes.objects import Condition
from carpsidecar.reporter.kubernetes.pod_status import in_rfc3339, reason_of
from carpsidecar.reporter.kubernetes.ratelimit import TokenBucket
from carpsidecar.reporter.kubernetes.recorder import EventRecorder
from carpsidecar.reporter.kubernetes.services.cache import ServiceCache
from carpsidecar.reporter.kubernetes.services.events import about
from carpsidecar.reporter.kubernetes.services.holdings import addresses_of, is_ours
from carpsidecar.reporter.kubernetes.services.objects import HELD, NODE, Key, Service
from carpsidecar.reporter.kubernetes.services.requests import get_service, patch_status
from carpsidecar.status.stats import ApiStats

SUCCESSOR_S = 2.0
"""So long a successor may take to write itself."""
WRITE_S = 3.0
_CLAIMS, _CLAIM_EVERY_S = 5, 10.0
_REMEMBERED_MAX = 4096
_TEXT_MAX = 1000


class Holder:
    """Its keys are the namespace and the name of a Service."""

    def __init__(
        self, cache: Cache, services: ServiceCache, api: Api, stats: ApiStats, recorder: EventRecorder
    ) -> None:
        self._cache = cache
        self._services = services
        self._api = api
        self._stats = stats
        self._recorder = recorder
        self._reported: dict[str, float] = {}
        """By address, since when we held it as the last event says."""
        self._buckets: dict[Key, TokenBucket] = {}
        """How often we write what somebody else overwrites."""

    def concerns_us(self, service: Service) -> bool:
        """With the lock held: whether there may be something to write."""
        if not is_ours(service, self._services.rules):
            return False
        groups = (self._services.groups.get(ip) for ip in service.ingress)
        is_master = any(group is not None and group.role == "master" for group in groups)
        return is_master or self._cache.node_name in nodes_of(service).values()

    def reconcile(self, key: tuple[str, ...]) -> float | None:
        """Raises: ApiError."""
        namespace, name = key
        with self._cache.lock:
            service, node = self._services.services.get((namespace, name)), self._cache.node_name
            if service is None or not is_ours(service, self._services.rules):
                return None
            addresses = list(addresses_of(service, self._services.rules).values())
            groups = {ip: group for ip in addresses if (group := self._services.groups.get(ip)) is not None}
            nodes, wait_s = self._desired(service, addresses, groups)
            condition = condition_of(service, addresses, nodes, groups, node)
            if nodes == nodes_of(service) and condition == service.conditions.get(HELD):
                return wait_s
            bucket = self._bucket(service.key)
            if (due_in_s := bucket.due_in_s(time.monotonic())) > 0:
                return due_in_s
            bucket.take(time.monotonic())
        self._write(service, nodes, condition, groups)
        return wait_s

    def _desired(
        self, service: Service, addresses: list[str], groups: Mapping[str, GroupSnapshot]
    ) -> tuple[dict[str, str], float | None]:
        """The node of each address that is held, and seconds after which that may be another one."""
        node, now_s = self._cache.node_name, time.time()
        before, desired = nodes_of(service), dict[str, str]()
        wait_s: float | None = None
        for ip in addresses:
            group = groups.get(ip)
            if group is not None and group.role == "master":
                desired[ip] = node
            elif before.get(ip) == node:
                lost_at = group.since_s if group is not None else 0.0
                left_s = 0.0 if self._cache.stopping else lost_at + SUCCESSOR_S - now_s
                if left_s > 0:
                    desired[ip] = node
                    wait_s = min(left_s, SUCCESSOR_S)
            elif ip in before:
                desired[ip] = before[ip]
        return desired, wait_s

    def _write(
        self,
        service: Service,
        nodes: Mapping[str, str],
        condition: Condition,
        groups: Mapping[str, GroupSnapshot],
    ) -> None:
        """Raises: ApiError."""
        before = service.conditions.get(HELD)
        entry = {"type": HELD, "status": condition.status, "reason": condition.reason, "message": condition.message}
        if before is None or before.status != condition.status:
            since_s = max((group.since_s for group in groups.values()), default=time.time())
            entry["lastTransitionTime"] = in_rfc3339(since_s)[:19] + "Z"
        body: dict[str, Any] = {
            "metadata": {
                "resourceVersion": service.version,
                "uid": service.uid,
                "annotations": {NODE: text_of(nodes, service)},
            },
            "status": {"conditions": [entry]},
        }
        after: Service | None = None
        conflict: ApiError | None = None
        try:
            after = patch_status(self._api, self._stats, service, body, WRITE_S)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            after, conflict = get_service(self._api, service), error
        with self._cache.lock:
            if after is None:
                self._services.services.remove(service)
                return
            self._services.services.put(after)
            if conflict is not None:
                raise conflict
            self._report(after, groups)

    def _report(self, service: Service, groups: Mapping[str, GroupSnapshot]) -> None:
        for ip, group in groups.items():
            if group.role == "master" and self._reported.get(ip) != group.since_s:
                self._reported.pop(ip, None)
                self._reported[ip] = group.since_s
                if len(self._reported) > _REMEMBERED_MAX:
                    del self._reported[next(iter(self._reported))]
                text = f"{ip} is on {self._cache.node_name} now: {group.reason}"
                self._recorder.event("CarpMaster", text, group.since_s, about(service))

    def _bucket(self, key: Key) -> TokenBucket:
        if len(self._buckets) >= _REMEMBERED_MAX:
            self._buckets.clear()
        return self._buckets.setdefault(key, TokenBucket(_CLAIMS, _CLAIM_EVERY_S))


def nodes_of(service: Service) -> dict[str, str]:
    """The node of each of its addresses that is held, by the annotation: one name, or one for each address."""
    text = service.annotations.get(NODE, "")
    if text and "=" not in text:
        return dict.fromkeys(service.ingress, text)
    pairs = (pair.partition("=") for pair in text.split(",") if pair)
    return {ip: node for ip, _, node in pairs if node and ip in service.ingress}


def condition_of(
    service: Service,
    addresses: list[str],
    nodes: Mapping[str, str],
    groups: Mapping[str, GroupSnapshot],
    node: str,
) -> Condition:
    """A line for each address that is held; of one that another node holds it is that node's own."""
    before = service.conditions.get(HELD)
    theirs = {line.partition(" ")[0]: line for line in (before.message if before else "").split("\n")}
    lines = []
    for ip in addresses:
        if nodes.get(ip) == node and ip in groups and groups[ip].role == "master":
            group = groups[ip]
            lines.append(f"{ip} is on {node} since {in_rfc3339(group.since_s)}: {reason_of(group)}"[:_TEXT_MAX])
        elif ip in nodes and ip in theirs:
            lines.append(theirs[ip])
        elif ip in nodes:
            lines.append(f"{ip} is on {nodes[ip]}")
        else:
            lines.append(f"{ip} is on no node")
    is_held = bool(addresses) and all(ip in nodes for ip in addresses)
    return Condition("True" if is_held else "False", "Held" if is_held else "NotHeld", "\n".join(lines))


def text_of(nodes: Mapping[str, str], service: Service) -> str | None:
    """The annotation; None where nothing is held."""
    if not nodes:
        return None
    names = set(nodes.values())
    is_one = len(names) == 1 and all(ip in nodes for ip in service.ingress)
    return names.pop() if is_one else ",".join(f"{ip}={node}" for ip, node in nodes.items())
