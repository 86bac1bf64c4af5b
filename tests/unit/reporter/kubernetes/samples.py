"""Pods and snapshots to vary."""

from dataclasses import replace
from typing import Any

from msgspec.structs import replace as replace_struct

from carpsidecar.messages import GroupSnapshot, KubernetesSettings
from carpsidecar.reporter.kubernetes.objects import Pod

_POD = Pod(namespace="infra", name="carp-1", uid="uid-1", version="100", node="n1", phase="Running")
_SNAPSHOT = GroupSnapshot(
    group="web",
    role="backup",
    reason="started",
    since_s=1_800_000_000.25,
    interface="eth0",
    vhid=42,
    addresses=["10.77.0.100"],
    advbase=1,
    advskew=0,
    advskew_advertised=0,
    demotions={},
    master=None,
)
SETTINGS = KubernetesSettings(pod_name="carp-1", pod_namespace="infra", node_name="n1")


def pod(**values: Any) -> Pod:
    return replace(_POD, **values)


def snapshot(**values: Any) -> GroupSnapshot:
    return replace_struct(_SNAPSHOT, **values)
