"""What is kept of Services, EndpointSlices, Leases and namespaces: the few fields that are needed."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec
from msgspec import Struct, field

from carpsidecar.reporter.kubernetes.objects import (
    ANNOTATIONS,
    Condition,
    ListedCondition,
    Metadata,
    conditions_of,
    decoded,
)

Key = tuple[str, str]
"""Namespace and name."""
Address = IPv4Address | IPv6Address

ALLOCATION = f"{ANNOTATIONS}allocation"
"""The annotation with the vhid of each address, as a JSON object."""
CLASS = f"{ANNOTATIONS}class"
"""The annotation with the class under which that was written: another installation's is not ours to change."""
NODE = f"{ANNOTATIONS}node"
"""The annotation with the node that holds the address."""
REQUESTED = f"{ANNOTATIONS}address"
POOL = f"{ANNOTATIONS}pool"
SHARE = f"{ANNOTATIONS}share"
ALLOCATED = f"{ANNOTATIONS}allocated"
"""The condition that the allocator writes."""
HELD = f"{ANNOTATIONS}held"
"""The condition that the holder's node writes."""
ONE_STACK, PREFER_TWO = "SingleStack", "PreferDualStack"


class Service(Struct, frozen=True, kw_only=True):
    """Of type LoadBalancer, or that was. Annotations and conditions are only those that are ours."""

    namespace: str
    name: str
    uid: str
    version: str
    """The resourceVersion."""
    created: str = ""
    leaving: bool = False
    """It is being deleted."""
    is_load_balancer: bool = True
    class_: str = ""
    families: tuple[int, ...] = (4,)
    """4 and 6, the first one first."""
    family_policy: str = ONE_STACK
    requested_ip: str = ""
    """spec.loadBalancerIP."""
    ports: frozenset[tuple[str, int]] = frozenset()
    """Protocol and number."""
    is_local: bool = False
    """externalTrafficPolicy is Local."""
    selector: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    ingress: tuple[str, ...] = ()
    """The addresses in status.loadBalancer."""

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    @property
    def order(self) -> tuple[str, str, str]:
        """The one that was made first comes first."""
        return self.created, self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class EndpointSlice(Struct, frozen=True):
    namespace: str
    name: str
    service: str
    ready: frozenset[str]
    """Nodes with a ready endpoint."""
    serving: frozenset[str]
    """Nodes with an endpoint that serves yet, though it ends."""

    @property
    def key(self) -> Key:
        return self.namespace, self.name


class Lease(Struct, frozen=True):
    version: str
    holder: str
    transitions: int


class _Port(Struct):
    port: int = 0
    protocol: str = "TCP"


class _ServiceSpec(Struct, rename="camel"):
    type: str = ""
    load_balancer_class: str | None = None
    load_balancer_ip: str | None = field(name="loadBalancerIP", default=None)
    ip_families: list[str] | None = None
    ip_family_policy: str | None = None
    external_traffic_policy: str | None = None
    ports: list[_Port] | None = None
    selector: dict[str, str] | None = None


class _Ingress(Struct):
    ip: str | None = None


class _LoadBalancer(Struct):
    ingress: list[_Ingress] | None = None


class _ServiceStatus(Struct, rename="camel"):
    load_balancer: _LoadBalancer | None = None
    conditions: list[ListedCondition] | None = None


class _Service(Struct):
    metadata: Metadata
    spec: _ServiceSpec = field(default_factory=_ServiceSpec)
    status: _ServiceStatus = field(default_factory=_ServiceStatus)


class _EndpointConditions(Struct):
    ready: bool | None = None
    serving: bool | None = None


class _Endpoint(Struct, rename="camel"):
    node_name: str | None = None
    conditions: _EndpointConditions = field(default_factory=_EndpointConditions)


class _EndpointSlice(Struct):
    metadata: Metadata
    endpoints: list[_Endpoint] | None = None


class _Namespace(Struct):
    metadata: Metadata


class _LeaseSpec(Struct, rename="camel"):
    holder_identity: str | None = None
    lease_transitions: int | None = None


class _Lease(Struct):
    metadata: Metadata
    spec: _LeaseSpec = field(default_factory=_LeaseSpec)


_service = msgspec.json.Decoder(_Service)
_slice = msgspec.json.Decoder(_EndpointSlice)
_namespace = msgspec.json.Decoder(_Namespace)
_lease = msgspec.json.Decoder(_Lease)


def read_service(data: bytes) -> Service:
    """Raises: BadObject."""
    service = decoded(_service, data)
    metadata, spec, status = service.metadata, service.spec, service.status
    ingress = (status.load_balancer.ingress if status.load_balancer else None) or ()
    return Service(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        version=metadata.resource_version,
        created=metadata.creation_timestamp or "",
        leaving=metadata.deletion_timestamp is not None,
        is_load_balancer=spec.type == "LoadBalancer",
        class_=spec.load_balancer_class or "",
        families=tuple({"IPv4": 4, "IPv6": 6}[one] for one in spec.ip_families or () if one in ("IPv4", "IPv6"))
        or (4,),
        family_policy=spec.ip_family_policy or ONE_STACK,
        requested_ip=spec.load_balancer_ip or "",
        ports=frozenset((port.protocol, port.port) for port in spec.ports or ()),
        is_local=spec.external_traffic_policy == "Local",
        selector=dict(spec.selector or {}),
        annotations=metadata.own_annotations,
        conditions={
            name: one for name, one in conditions_of(status.conditions).items() if name in (ALLOCATED, HELD)
        },
        ingress=tuple(canonical(one.ip) for one in ingress if one.ip),
    )


def read_endpoint_slice(data: bytes) -> EndpointSlice:
    """Raises: BadObject."""
    found = decoded(_slice, data)
    endpoints = [one for one in found.endpoints or () if one.node_name]
    return EndpointSlice(
        found.metadata.namespace,
        found.metadata.name,
        (found.metadata.labels or {}).get("kubernetes.io/service-name", ""),
        # What is not said counts as true, by the API's own words.
        frozenset(one.node_name or "" for one in endpoints if one.conditions.ready is not False),
        frozenset(one.node_name or "" for one in endpoints if one.conditions.serving),
    )


def read_namespace(data: bytes) -> str:
    """Its name. Raises: BadObject."""
    return decoded(_namespace, data).metadata.name


def read_lease(data: bytes) -> Lease:
    """Raises: BadObject."""
    lease = decoded(_lease, data)
    return Lease(
        lease.metadata.resource_version, lease.spec.holder_identity or "", lease.spec.lease_transitions or 0
    )


@lru_cache(maxsize=8192)
def parse_address(text: str) -> Address | None:
    """None where it is no address that a node could hold for others."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    scoped = isinstance(address, IPv6Address) and (address.scope_id is not None or address.ipv4_mapped is not None)
    return None if scoped else address


def canonical(text: str) -> str:
    """As Python writes it, so that two ways to write an address compare equal; what is none stays as it is."""
    address = parse_address(text)
    return text if address is None else str(address)


def family_of(address: str) -> int:
    """4 or 6; of what is no address, 0."""
    parsed = parse_address(address)
    return 0 if parsed is None else parsed.version
