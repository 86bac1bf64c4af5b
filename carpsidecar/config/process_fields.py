"""The settings of the process: its engine, its log, and what its reporter is to do."""

from typing import Literal

from carpsidecar.config.field import field
from carpsidecar.config.group_fields import BOOL, COMMAND, NAME, Texts

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

ENGINE = (
    field(
        "realtime",
        bool,
        "run with real-time priority and locked memory; needs CAP_SYS_NICE and CAP_IPC_LOCK (default false)",
        BOOL,
    ),
)

LOG = (
    field("log_format", LogFormat, "lines for people, or JSON objects (default text)", "give text or json"),
    field(
        "log_level",
        LogLevel,
        "the least important lines to log (default info)",
        "give debug, info, warning or error",
    ),
)

_SELECTOR = "give a label selector such as app=web"
_DEMOTION = "give a number from 0 to 240"

REPORTER = (
    field(
        "http",
        str,
        "address:port of health checks, metrics and the status page (default: none)",
        "give an address and a port such as 127.0.0.1:9112 or [::1]:9112",
        pattern=r"^(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}(?!\n)$",
    ),
    field("kubernetes", bool, "report to Kubernetes, as this pod (default false)", BOOL),
    field(
        "kubeconfig",
        str,
        "file that says how to reach Kubernetes (default: the pod's service account)",
        "give the path of a kubeconfig file",
        min_length=1,
    ),
    field("pod_name", str, "name of this pod", "give metadata.name by the downward API", min_length=1),
    field(
        "pod_namespace", str, "namespace of this pod", "give metadata.namespace by the downward API", min_length=1
    ),
    field(
        "node_name",
        str,
        "name of this node (default: its host name)",
        "give spec.nodeName by the downward API",
        min_length=1,
    ),
    field("pod_selector", str, "labels of the pods of our own kind, on all nodes", _SELECTOR, min_length=1),
    field(
        "workload_selector",
        str,
        "labels of the pods of this node that carry the role too (default: none)",
        _SELECTOR,
        min_length=1,
    ),
    field(
        "workload_namespace",
        Texts,
        "namespace of these pods (default: our own)",
        "give the name of a namespace",
        repeats=True,
    ),
    field(
        "unready_demotion",
        int,
        "demotion while another container of this pod, or a workload pod of this node, is not ready (default 0)",
        _DEMOTION,
        ge=0,
        le=240,
    ),
    field(
        "cordon_demotion",
        int,
        "demotion while this node is cordoned (default 0)",
        _DEMOTION,
        ge=0,
        le=240,
    ),
    field(
        "advskew_label",
        str,
        "node label whose value is the advskew (default: none)",
        "give the name of a label such as carpsidecar.io/advskew",
        min_length=1,
    ),
    field(
        "discover_peers",
        bool,
        "send to the hosts of the pods of our own kind instead of the multicast group (default false)",
        BOOL,
    ),
)

CHECK = (
    field(
        "name",
        str,
        "the check's name in logs, metrics and status",
        "give a short name in lower case",
        pattern=NAME,
    ),
    field(
        "http",
        str,
        "URL that answers with a status from 200 to 399",
        "give an http:// or https:// URL",
        pattern=r"^https?://[!-~]+(?!\n)$",
    ),
    field(
        "tcp",
        str,
        "host:port that takes a connection",
        "give a host and a port such as 127.0.0.1:5432",
        pattern=r"^[!-~]+:[0-9]{1,5}(?!\n)$",
    ),
    field("command", Texts, "command that ends with exit status 0", COMMAND),
    field(
        "interval_s",
        float,
        "seconds from one run to the next (default 2)",
        "give a number of seconds from 0.1",
        ge=0.1,
        le=3600,
    ),
    field(
        "timeout_s",
        float,
        "seconds after which a run has failed (default 2)",
        "give a number of seconds above zero",
        gt=0,
        le=3600,
    ),
    field("rise", int, "good runs in a row that make it healthy (default 2)", "give 1 or more", ge=1, le=1000),
    field("fall", int, "bad runs in a row that make it unhealthy (default 3)", "give 1 or more", ge=1, le=1000),
    field("demotion", int, "demotion while it is unhealthy (default 240)", _DEMOTION, ge=0, le=240),
    field("group", str, "the one group that it demotes (default: all)", "give the name of a group", pattern=NAME),
)
