"""What is kept of pods and nodes: the few fields that are needed, whatever else the API sends."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct, field

ROLE_LABEL = "carp-role"
ANNOTATIONS = "carpsidecar.io/"
ELECTED = "carpsidecar.io/elected"
DRAIN_ANNOTATION = "carpsidecar.io/drain"


class BadObject(Exception):
    """An answer that is not what Kubernetes sends."""


class Condition(Struct, frozen=True):
    status: str
    reason: str
    message: str


class Pod(Struct, frozen=True, kw_only=True):
    """Labels, annotations and conditions are only those that are ours."""

    namespace: str
    name: str
    uid: str
    version: str
    """The resourceVersion."""
    node: str = ""
    host_ips: tuple[str, ...] = ()
    phase: str = ""
    leaving: bool = False
    """It is being deleted."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    containers: Mapping[str, bool] = field(default_factory=dict)
    """Whether each is ready. That doesn't depend on readiness gates, as the pod's own readiness does."""
    containers_ready: bool = False
    ready: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def finished(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    def newer_than(self, other: "Pod") -> bool:
        """Resource versions of one resource are numbers that rise (Kubernetes 1.35; in fact always)."""
        if self.version.isdecimal() and other.version.isdecimal():
            return (len(self.version), self.version) > (len(other.version), other.version)
        return self.version != other.version


class Node(Struct, frozen=True):
    name: str
    unschedulable: bool
    labels: Mapping[str, str]
    addresses: tuple[str, ...] = ()
    pod_networks: tuple[str, ...] = ()


class Service(Struct, frozen=True):
    namespace: str
    name: str
    addresses: tuple[str, ...]


class Metadata(Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None

    @property
    def own_annotations(self) -> dict[str, str]:
        return {name: value for name, value in (self.annotations or {}).items() if name.startswith(ANNOTATIONS)}


class ListedCondition(Struct):
    type: str
    status: str
    reason: str | None = None
    message: str | None = None


def conditions_of(listed: Iterable[ListedCondition] | None) -> dict[str, Condition]:
    return {one.type: Condition(one.status, one.reason or "", one.message or "") for one in listed or ()}


_T = TypeVar("_T")


def decoded(decoder: "msgspec.json.Decoder[_T]", data: bytes) -> _T:
    """Raises: BadObject."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadObject(f"not what Kubernetes sends: {error}") from None


class _Container(Struct):
    name: str
    ready: bool = False


class _HostIP(Struct):
    ip: str = ""


class _PodSpec(Struct, rename="camel"):
    node_name: str | None = None


class _PodStatus(Struct, rename="camel"):
    phase: str | None = None
    conditions: list[ListedCondition] | None = None
    container_statuses: list[_Container] | None = None
    host_ip: str | None = field(name="hostIP", default=None)
    host_ips: list[_HostIP] | None = field(name="hostIPs", default=None)


class _Pod(Struct):
    metadata: Metadata
    spec: _PodSpec = field(default_factory=_PodSpec)
    status: _PodStatus = field(default_factory=_PodStatus)


class _NodeSpec(Struct):
    unschedulable: bool | None = None
    pod_cidr: str | None = field(name="podCIDR", default=None)
    pod_cidrs: list[str] | None = field(name="podCIDRs", default=None)


class _NodeAddress(Struct):
    type: str = ""
    address: str = ""


class _NodeStatus(Struct):
    addresses: list[_NodeAddress] | None = None


class _Node(Struct):
    metadata: Metadata
    spec: _NodeSpec = field(default_factory=_NodeSpec)
    status: _NodeStatus = field(default_factory=_NodeStatus)


class _ServiceSpec(Struct):
    cluster_ip: str | None = field(name="clusterIP", default=None)
    cluster_ips: list[str] | None = field(name="clusterIPs", default=None)


class _Service(Struct):
    metadata: Metadata
    spec: _ServiceSpec = field(default_factory=_ServiceSpec)


class _ListMetadata(Struct, rename="camel"):
    resource_version: str = ""
    continue_: str | None = field(name="continue", default=None)


class _List(Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _WatchEvent(Struct):
    type: str
    object: msgspec.Raw


class _Status(Struct):
    message: str | None = None
    code: int | None = None


class Page(Struct, frozen=True):
    """A part of a list; `more` is what to ask the next one with."""

    items: list[bytes]
    version: str
    more: str


class WatchEvent(Struct, frozen=True):
    kind: str
    object: bytes


_pod = msgspec.json.Decoder(_Pod)
_node = msgspec.json.Decoder(_Node)
_service = msgspec.json.Decoder(_Service)
_list = msgspec.json.Decoder(_List)
_event = msgspec.json.Decoder(_WatchEvent)
_status = msgspec.json.Decoder(_Status)


def read_pod(data: bytes) -> Pod:
    """Raises: BadObject."""
    pod = decoded(_pod, data)
    metadata, status = pod.metadata, pod.status
    conditions = conditions_of(status.conditions)
    listed = tuple(host.ip for host in status.host_ips or () if host.ip)
    return Pod(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        version=metadata.resource_version,
        node=pod.spec.node_name or "",
        host_ips=listed or ((status.host_ip,) if status.host_ip else ()),
        phase=status.phase or "",
        leaving=metadata.deletion_timestamp is not None,
        labels={key: value for key, value in (metadata.labels or {}).items() if key.startswith(ROLE_LABEL)},
        annotations=metadata.own_annotations,
        conditions={key: value for key, value in conditions.items() if key.startswith(ELECTED)},
        containers={container.name: container.ready for container in status.container_statuses or ()},
        containers_ready=_is_true(conditions.get("ContainersReady")),
        ready=_is_true(conditions.get("Ready")),
    )


def read_node(data: bytes) -> Node:
    """Raises: BadObject."""
    node = decoded(_node, data)
    return Node(
        node.metadata.name,
        bool(node.spec.unschedulable),
        dict(node.metadata.labels or {}),
        tuple(one.address for one in node.status.addresses or () if one.type.endswith("IP")),
        tuple(node.spec.pod_cidrs or ([node.spec.pod_cidr] if node.spec.pod_cidr else ())),
    )


def read_service(data: bytes) -> Service:
    """Raises: BadObject."""
    service = decoded(_service, data)
    addresses = service.spec.cluster_ips or [service.spec.cluster_ip or ""]
    return Service(
        service.metadata.namespace, service.metadata.name, tuple(ip for ip in addresses if ip not in ("", "None"))
    )


def read_page(data: bytes) -> Page:
    """Raises: BadObject."""
    page = decoded(_list, data)
    return Page(
        [bytes(item) for item in page.items or ()], page.metadata.resource_version, page.metadata.continue_ or ""
    )


def read_event(line: bytes) -> WatchEvent:
    """Raises: BadObject."""
    event = decoded(_event, line)
    return WatchEvent(event.type, bytes(event.object))


def version_of(data: bytes) -> str:
    """The resourceVersion, which a bookmark has, too. Raises: BadObject."""
    return decoded(_node, data).metadata.resource_version


def read_status(data: bytes) -> tuple[int, str]:
    """The code and the message of a refusal; what can't be decoded is the message itself."""
    try:
        status = decoded(_status, data)
    except BadObject:
        return 0, data[:200].decode(errors="replace").strip()
    return status.code or 0, status.message or ""


def _is_true(condition: Condition | None) -> bool:
    return condition is not None and condition.status == "True"
