"""What the engine tells its reporter first: what it is to do."""

from typing import Any, Literal

from msgspec import Struct, field

VERSION = 1
"""Of all messages."""


class Check(Struct, kw_only=True, frozen=True):
    """A health check of the reporter, which demotes while it fails."""

    name: str
    kind: Literal["http", "tcp", "command"]
    target: list[str]
    """A URL; `host:port`; or a command line, split."""
    interval_s: float
    timeout_s: float
    rise: int
    """Good results in a row that make it healthy again."""
    fall: int
    """Bad results in a row that make it unhealthy."""
    demotion: int
    group: str | None = None
    """The group to demote; None: every group."""


class LoadBalancerPool(Struct, kw_only=True, frozen=True):
    """Addresses for Services of type LoadBalancer."""

    name: str
    addresses: list[str]
    """Networks (CIDR) and ranges (FIRST-LAST), of both families."""
    auto_assign: bool = True
    """Whether a Service gets an address of it that does not name the pool."""
    namespace_selector: str = ""
    """Labels of the namespaces whose Services may have addresses of it; empty: all."""


class LoadBalancerSettings(Struct, kw_only=True, frozen=True):
    """Services of type LoadBalancer: which are ours, and what they are given."""

    class_: str = field(name="class", default="carpsidecar.io/carp")
    default: bool = False
    """Whether Services without a class are ours too."""
    vhid_first: int
    vhid_last: int
    addresses_max: int
    rebalance_delay_s: float = 60.0
    """For how long a node that returned takes only what nobody else serves; -1: for ever."""
    pools: list[LoadBalancerPool]


class KubernetesSettings(Struct, kw_only=True, frozen=True):
    """Where this pod is, and what is to be followed and written. Empty means off, or found by itself."""

    kubeconfig: str = ""
    """A file; empty: the pod's service account."""
    pod_name: str
    pod_namespace: str
    container_name: str = "carpsidecar"
    """Our own container in the pod, whose readiness does not demote."""
    node_name: str = ""
    pod_selector: str = ""
    """Selects the pods of our own kind on all nodes, in our namespace."""
    workload_selector: str = ""
    """Selects the pods of this node that carry the label and the condition too."""
    workload_namespaces: list[str] = []
    """Where these are looked for; empty: our namespace."""
    unready_demotion: int = 0
    """While another container of our pod, or a workload pod of this node, is not ready."""
    absent_demotion: int = 0
    """While no workload pod is on this node, and a ready one on another."""
    cordon_demotion: int = 0
    """While our node is cordoned."""
    advskew_label: str = ""
    """The node label whose value is the advskew."""
    check_addresses: bool = False
    """Whether the groups' addresses are those of a node, a pod or a Service."""
    discover_peers: bool = False
    """Send to the host addresses of the pods of our own kind instead of the multicast group."""
    load_balancer: LoadBalancerSettings | None = None


class ReporterSettings(Struct, tag_field="type", tag="settings", kw_only=True, frozen=True):
    """What the reporter is to do."""

    version: int = VERSION
    software: str
    """Our own version."""
    pid: int = 0
    """The engine's, as its own process namespace counts."""
    log_format: str
    log_level: str
    http: str = ""
    """`address:port` of health, metrics and the page; empty: none."""
    checks: list[Check] = []
    kubernetes: KubernetesSettings | None = None


class Configuration(Struct, tag_field="type", tag="configuration", kw_only=True, frozen=True):
    """What the engine runs with, as a file could say it: without passphrases and the arguments of commands."""

    version: int = VERSION
    document: dict[str, Any]
