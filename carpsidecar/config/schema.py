"""What can be configured: each setting once, as a field of a struct, with type, range, default and purpose.

Flags, variables, the file, its JSON Schema, `config check` and the help derive from these structs; tests compare
manual and chart with them. A setting has one name everywhere: `advskew`, `--advskew`, `CARP_ADVSKEW`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from carpsidecar.config.field import ConfigError, Field, Given, fields_of, setting, show
from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.timing import ADVSKEW_DEMOTED

__all__ = ["AuthMode", "ConfigError", "Field", "Given", "show"]

AuthMode = Literal["carp", "hardened"]
LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
Texts = str | list[str]
Advskew = Annotated[int, Meta(ge=0, le=254)]

_COMMAND = "give a command without shell syntax, or a list of its arguments"
_SHORT_NAME = "give a short name in lower case"
_SELECTOR = "give a label selector such as app=web"
_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?(?!\n)$"
# What the kernel allows in a name: 15 bytes, no slash, colon or space.
_INTERFACE_PATTERN = r"^[!-.0-9;-~]{1,15}(?!\n)$"
_LISTEN_PATTERN = r"^(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}(?!\n)$"
_ELECTION = Settings()


class Group(Struct, kw_only=True, frozen=True):
    """One vhid and its addresses."""

    vip: Annotated[
        Texts | None,
        setting(
            "virtual address; /32 or /128 unless a prefix is given",
            "give an IP address such as 192.0.2.100 or 2001:db8::100",
            metavar="ADDRESS",
            repeats=True,
        ),
    ] = None
    interface: Annotated[
        str | None,
        setting(
            "network interface",
            "give the name of a network interface, as `ip link` shows it",
            fallback="the one of the route to the first vip",
            metavar="NAME",
            pattern=_INTERFACE_PATTERN,
        ),
    ] = None
    vhid: Annotated[
        int | None,
        setting("virtual host id, the same on every node", fallback="the first vip's last byte", ge=1, le=255),
    ] = None
    passphrase_file: Annotated[
        str | None,
        setting(
            "file whose first line is the passphrase",
            "give the path of a file that only its owner can read",
            metavar="FILE",
            min_length=1,
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
    advbase: Annotated[int, setting("seconds between two advertisements", ge=0, le=254)] = _ELECTION.advbase
    advskew: Annotated[
        Advskew | Literal["auto"],
        setting(
            "1/256 s added to advbase; the node with the least is preferred; auto: of the node's address",
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
        setting(
            "this node's address to advertise from, one a family",
            "give an address of this node on the interface",
            fallback="the interface's",
            metavar="ADDRESS",
            repeats=True,
        ),
    ] = None
    peer: Annotated[
        Texts | None,
        setting(
            "send to these addresses instead of the multicast group",
            "give the addresses of the other nodes",
            metavar="ADDRESS",
            repeats=True,
        ),
    ] = None
    multicast: Annotated[
        Texts | None,
        setting(
            "multicast group, one a family",
            "give a multicast address such as 239.192.0.18",
            fallback="224.0.0.18 and ff02::12",
            metavar="ADDRESS",
            repeats=True,
        ),
    ] = None
    broadcast: Annotated[bool, setting("send in Ethernet broadcasts, as ucarp --nomcast; IPv4 only")] = False
    sync_group: Annotated[
        str | None,
        setting(
            "groups with one name here move together: trouble in one demotes them all",
            _SHORT_NAME,
            metavar="NAME",
            pattern=_NAME_PATTERN,
        ),
    ] = None
    on_master: Annotated[
        Texts | None,
        setting("command to run after this node became master", _COMMAND, metavar="COMMAND"),
    ] = None
    on_backup: Annotated[
        Texts | None,
        setting("command to run after this node became backup", _COMMAND, metavar="COMMAND"),
    ] = None
    on_fault: Annotated[
        Texts | None,
        setting("command to run when this node can't take part", _COMMAND, fallback="on_backup", metavar="COMMAND"),
    ] = None
    hook_timeout_s: Annotated[float, setting("seconds after which a command is ended", gt=0, le=86400)] = 60.0
    ignore_link: Annotated[bool, setting("stay in the election while the link is down")] = False
    name: Annotated[
        str | None,
        setting(
            "the group's name in logs, status and labels",
            _SHORT_NAME,
            fallback="vhid-N",
            metavar="NAME",
            pattern=_NAME_PATTERN,
        ),
    ] = None


class Engine(Struct, kw_only=True, frozen=True):
    """The process that holds the addresses."""

    realtime: Annotated[
        bool,
        setting("run with real-time priority and locked memory; needs CAP_SYS_NICE and CAP_IPC_LOCK"),
    ] = False


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
        setting(
            "file that says how to reach Kubernetes",
            "give the path of a kubeconfig file",
            fallback="the pod's service account",
            metavar="FILE",
            min_length=1,
        ),
    ] = None
    pod_name: Annotated[
        str | None,
        setting("name of this pod", "give metadata.name by the downward API", metavar="NAME", min_length=1),
    ] = None
    pod_namespace: Annotated[
        str | None,
        setting(
            "namespace of this pod", "give metadata.namespace by the downward API", metavar="NAME", min_length=1
        ),
    ] = None
    node_name: Annotated[
        str | None,
        setting(
            "name of this node",
            "give spec.nodeName by the downward API",
            fallback="its host name",
            metavar="NAME",
            min_length=1,
        ),
    ] = None
    pod_selector: Annotated[
        str | None,
        setting("labels of the pods of our own kind, on all nodes", _SELECTOR, metavar="SELECTOR", min_length=1),
    ] = None
    workload_selector: Annotated[
        str | None,
        setting(
            "labels of the pods of this node that carry the role too",
            _SELECTOR,
            fallback="none",
            metavar="SELECTOR",
            min_length=1,
        ),
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
        int,
        setting(
            "demotion while another container of this pod, or a workload pod of this node, is not ready",
            ge=0,
            le=ADVSKEW_DEMOTED,
        ),
    ] = 0
    cordon_demotion: Annotated[int, setting("demotion while this node is cordoned", ge=0, le=ADVSKEW_DEMOTED)] = 0
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
    discover_peers: Annotated[
        bool, setting("send to the hosts of the pods of our own kind instead of the multicast group")
    ] = False


class Check(Struct, kw_only=True, frozen=True):
    """A health check; one of http, tcp and command says what it does."""

    name: Annotated[
        str, setting("the check's name in logs, metrics and status", _SHORT_NAME, pattern=_NAME_PATTERN)
    ]
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
    command: Annotated[Texts | None, setting("command that ends with exit status 0", _COMMAND)] = None
    interval_s: Annotated[float, setting("seconds from one run to the next", ge=0.1, le=3600)] = 2.0
    timeout_s: Annotated[float, setting("seconds after which a run has failed", gt=0, le=3600)] = 2.0
    rise: Annotated[int, setting("good runs in a row that make it healthy", ge=1, le=1000)] = 2
    fall: Annotated[int, setting("bad runs in a row that make it unhealthy", ge=1, le=1000)] = 3
    demotion: Annotated[int, setting("demotion while it is unhealthy", ge=0, le=ADVSKEW_DEMOTED)] = ADVSKEW_DEMOTED
    group: Annotated[
        str | None,
        setting("the one group that it demotes", "give the name of a group", fallback="all", pattern=_NAME_PATTERN),
    ] = None


GROUP_FIELDS = fields_of(Group)
ENGINE_FIELDS = fields_of(Engine)
LOG_FIELDS = fields_of(Log)
REPORTER_FIELDS = fields_of(Reporter)
CHECK_FIELDS = fields_of(Check)
PROCESS_FIELDS = ENGINE_FIELDS | LOG_FIELDS | REPORTER_FIELDS

FILE_ONLY = {
    "groups": "the groups, where there are several; what stands beside them holds for each",
    "node_advskew": "advskew by the name of the node; wins over advskew",
    "checks": "health checks, which demote while they fail",
}
"""What has no flag and no variable, since it is a structure."""
