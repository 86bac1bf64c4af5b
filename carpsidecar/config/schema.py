"""What can be configured: each setting once, as a field of a struct, with type, range, default and purpose.

Flags, variables, the file, its JSON Schema, `config check` and the help derive from these structs; tests compare
manual and chart with them. A setting has one name everywhere: `advskew`, `--advskew`, `CARP_ADVSKEW`.
"""

from functools import partial
from typing import Annotated, Literal

from msgspec import Meta, Struct

from carpsidecar.config.field import ConfigError, Field, Given, fields_of, setting, show
from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.timing import ADVSKEW_DEMOTED

__all__ = ["AuthMode", "ConfigError", "Fence", "Field", "Given", "InUse", "show"]

AuthMode = Literal["carp", "hardened"]
Fence = Literal["auto", "on", "off"]
InUse = Literal["refuse", "take"]
LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
Texts = str | list[str]
Advskew = Annotated[int, Meta(ge=0, le=254)]

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?(?!\n)$"
# What the kernel allows in a name: no slash, colon or space, and 15 bytes, or 127 where it is an alternative name.
INTERFACE_PATTERN = r"^[!-.0-9;-~]{1,127}(?!\n)$"
_LISTEN_PATTERN = r"^(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}(?!\n)$"

# Kinds of settings; an object is one of Kubernetes', by its name.
_address = partial(setting, metavar="ADDRESS", repeats=True)
_command = partial(
    setting, remedy="give a command without shell syntax, or a list of its arguments", metavar="COMMAND"
)
_demotion = partial(setting, ge=0, le=ADVSKEW_DEMOTED)
_file = partial(setting, metavar="FILE", min_length=1)
_name = partial(setting, remedy="give a short name in lower case", metavar="NAME", pattern=NAME_PATTERN)
_object = partial(setting, metavar="NAME", min_length=1)
_selector = partial(setting, remedy="give a label selector such as app=web", metavar="SELECTOR", min_length=1)

_ELECTION = Settings()


class Group(Struct, kw_only=True, frozen=True):
    """One vhid and its addresses."""

    vip: Annotated[
        Texts | None,
        _address(
            "virtual address; /32 or /128 unless a prefix is given",
            "give an IP address such as 192.0.2.100 or 2001:db8::100",
        ),
    ] = None
    interface: Annotated[
        str | None,
        setting(
            "network interface",
            "give the name of a network interface, as `ip link` shows it",
            fallback="the one of the route to the first vip",
            metavar="NAME",
            pattern=INTERFACE_PATTERN,
        ),
    ] = None
    vhid: Annotated[
        int | None,
        setting("virtual host id, the same on every node", fallback="the first vip's last byte", ge=1, le=65535),
    ] = None
    passphrase_file: Annotated[
        str | None,
        _file(
            "file whose first line is the passphrase; further lines are accepted as well",
            "give the path of a file that only its owner can read",
        ),
    ] = None
    previous_passphrase_file: Annotated[
        str | None,
        _file(
            "file with more passphrases that are accepted as well; it need not be there",
            "give the path of a file that only its owner can read",
        ),
    ] = None
    passphrase_fd: Annotated[
        int | None,
        setting(
            "open file descriptor to read the passphrase from",
            "give the number of an open descriptor",
            ge=0,
            le=2**31 - 1,
        ),
    ] = None
    passphrase: Annotated[
        str | None,
        setting(
            "the passphrase itself; a flag shows it to everybody who runs ps",
            "give text, in quotes where it looks like a number",
            min_length=1,
        ),
    ] = None
    auth: Annotated[
        AuthMode,
        setting("carp: as ucarp and the BSDs; hardened: every field signed, replays refused, our own nodes only"),
    ] = "carp"
    also_accept: Annotated[
        Texts | None,
        setting(
            "auth carp: other addresses that the peers may have while a change is rolled out, as one list",
            "give addresses with blanks between them",
            metavar="ADDRESSES",
            repeats=True,
        ),
    ] = None
    advbase: Annotated[int, setting("seconds between two advertisements", ge=0, le=254)] = _ELECTION.advbase
    advskew: Annotated[
        Advskew | Literal["auto"],
        setting(
            "1/256 s added to advbase; the node with the least is preferred; auto: by address and vhid",
            "give a number from 0 to 254, or auto",
            metavar="N|auto",
        ),
    ] = _ELECTION.advskew
    dead_ratio: Annotated[
        int,
        setting("advbases without an advertisement after which a backup takes over", ge=1, le=255),
    ] = _ELECTION.dead_ratio
    preempt: Annotated[bool, setting("take over from a master that is less preferred")] = _ELECTION.preempt
    source: Annotated[
        Texts | None,
        _address(
            "this node's address to advertise from, one a family",
            "give an address of this node on the interface",
            fallback="the interface's",
        ),
    ] = None
    peer: Annotated[
        Texts | None,
        _address("send to these addresses instead of the multicast group", "give the addresses of the other nodes"),
    ] = None
    multicast: Annotated[
        Texts | None,
        _address(
            "multicast group, one a family",
            "give a multicast address such as 239.192.0.18",
            fallback="224.0.0.18 and ff02::12",
        ),
    ] = None
    broadcast: Annotated[bool, setting("send in Ethernet broadcasts, as ucarp --nomcast; IPv4 only")] = False
    sync_group: Annotated[
        str | None, _name("groups with one name here move together: trouble in one demotes them all")
    ] = None
    on_master: Annotated[Texts | None, _command("command to run after this node became master")] = None
    on_backup: Annotated[Texts | None, _command("command to run after this node became backup")] = None
    on_fault: Annotated[
        Texts | None, _command("command to run when this node can't take part", fallback="on_backup")
    ] = None
    hook_timeout_s: Annotated[float, setting("seconds after which a command is ended", gt=0, le=86400)] = 60.0
    fence: Annotated[
        Fence,
        setting(
            "have nftables silence an address to the millisecond where nobody renews it;"
            " auto: where it must be sooner than the kernel drops it"
        ),
    ] = "auto"
    probe: Annotated[
        bool,
        setting("ask for the address of a master that is overdue, and take over as soon as nobody answers"),
    ] = True
    in_use: Annotated[
        InUse,
        setting(
            "what to do with an address that another machine answers for after the master fell silent;"
            " take: where a router answers for all addresses (proxy ARP)"
        ),
    ] = "refuse"
    both_families: Annotated[
        bool,
        setting(
            "take no part while the interface lacks an address to advertise from in one of the families of the vips"
        ),
    ] = False
    ignore_link: Annotated[bool, setting("stay in the election while the link is down")] = False
    name: Annotated[str | None, _name("the group's name in logs, status and labels", fallback="vhid-N")] = None


class Engine(Struct, kw_only=True, frozen=True):
    """The process that holds the addresses."""

    realtime: Annotated[
        bool,
        setting("run with real-time priority and locked memory; needs CAP_SYS_NICE and CAP_IPC_LOCK"),
    ] = False
    reporter_socket: Annotated[
        str | None,
        setting(
            "socket for a reporter in a container of its own (`carpsidecar reporter --socket`)",
            "give a path in a folder that both containers have",
            fallback="none: the engine starts its reporter",
            metavar="PATH",
            min_length=1,
        ),
    ] = None


class Log(Struct, kw_only=True, frozen=True):
    log_format: Annotated[LogFormat, setting("lines for people, or JSON objects")] = "text"
    log_level: Annotated[LogLevel, setting("the least important lines to log")] = "info"


class Reporter(Struct, kw_only=True, frozen=True):
    """The process that faces people and the cluster."""

    http: Annotated[
        str | None,
        setting(
            "address:port of health checks, metrics and the status page",
            "give an address and a port such as 127.0.0.1:9112 or [::1]:9112",
            fallback="none",
            metavar="ADDRESS:PORT",
            pattern=_LISTEN_PATTERN,
        ),
    ] = None
    kubernetes: Annotated[bool, setting("report to Kubernetes, as this pod")] = False
    kubeconfig: Annotated[
        str | None,
        _file(
            "file that says how to reach Kubernetes",
            "give the path of a kubeconfig file",
            fallback="the pod's service account",
        ),
    ] = None
    pod_name: Annotated[str | None, _object("name of this pod", "give metadata.name by the downward API")] = None
    pod_namespace: Annotated[
        str | None, _object("namespace of this pod", "give metadata.namespace by the downward API")
    ] = None
    node_name: Annotated[
        str | None, _object("name of this node", "give spec.nodeName by the downward API", fallback="its host name")
    ] = None
    pod_selector: Annotated[str | None, _selector("labels of the pods of our own kind, on all nodes")] = None
    workload_selector: Annotated[
        str | None, _selector("labels of the pods of this node that carry the role too", fallback="none")
    ] = None
    workload_namespace: Annotated[
        Texts | None,
        setting(
            "namespace of these pods",
            "give the name of a namespace",
            fallback="our own",
            metavar="NAME",
            repeats=True,
        ),
    ] = None
    unready_demotion: Annotated[
        int, _demotion("demotion while another container of this pod, or a workload pod of this node, is not ready")
    ] = 0
    absent_demotion: Annotated[
        int, _demotion("demotion while no workload pod is on this node, and a ready one on another")
    ] = 0
    cordon_demotion: Annotated[int, _demotion("demotion while this node is cordoned")] = 0
    advskew_label: Annotated[
        str | None,
        setting(
            "node label whose value is the advskew",
            "give the name of a label such as carpsidecar.io/advskew",
            fallback="none",
            metavar="LABEL",
            min_length=1,
        ),
    ] = None
    check_addresses: Annotated[
        bool, setting("take no part with an address of a node, a pod or a Service of the cluster")
    ] = False
    discover_peers: Annotated[
        bool, setting("send to the hosts of the pods of our own kind instead of the multicast group")
    ] = False


class Check(Struct, kw_only=True, frozen=True):
    """A health check; one of http, tcp and command says what it does."""

    name: Annotated[str, _name("the check's name in logs, metrics and status")]
    http: Annotated[
        str | None,
        setting(
            "URL that answers with a status from 200 to 399",
            "give an http:// or https:// URL",
            pattern=r"^https?://[!-~]+(?!\n)$",
        ),
    ] = None
    tcp: Annotated[
        str | None,
        setting(
            "host:port that takes a connection",
            "give a host and a port such as 127.0.0.1:5432",
            pattern=r"^[!-~]+:[0-9]{1,5}(?!\n)$",
        ),
    ] = None
    command: Annotated[Texts | None, _command("command that ends with exit status 0")] = None
    interval_s: Annotated[float, setting("seconds from one run to the next", ge=0.1, le=3600)] = 2.0
    timeout_s: Annotated[float, setting("seconds after which a run has failed", gt=0, le=3600)] = 2.0
    rise: Annotated[int, setting("good runs in a row that make it healthy", ge=1, le=1000)] = 2
    fall: Annotated[int, setting("bad runs in a row that make it unhealthy", ge=1, le=1000)] = 3
    demotion: Annotated[int, _demotion("demotion while it is unhealthy")] = ADVSKEW_DEMOTED
    group: Annotated[
        str | None,
        setting("the one group that it demotes", "give the name of a group", fallback="all", pattern=NAME_PATTERN),
    ] = None


GROUP_FIELDS = fields_of(Group)
ENGINE_FIELDS = fields_of(Engine)
LOG_FIELDS = fields_of(Log)
REPORTER_FIELDS = fields_of(Reporter)
CHECK_FIELDS = fields_of(Check)
PROCESS_FIELDS = ENGINE_FIELDS | LOG_FIELDS | REPORTER_FIELDS

FILE_ONLY = {
    "groups": "the groups, where there are several; what stands beside them holds for each",
    "node_advskew": "advskew by the name of the node, of all groups or in one of them; wins over advskew",
    "checks": "health checks, which demote while they fail",
    "load_balancer": "addresses for Services of type LoadBalancer, each in a hardened group of its own",
}
"""What has no flag and no variable, since it is a structure."""
