"""Pods to vary."""

from typing import Any, cast

from msgspec.structs import replace

from carpsidecar.ipc.settings import KubernetesSettings
from carpsidecar.reporter.kubernetes.client import Api
from carpsidecar.reporter.kubernetes.objects import Pod

_POD = Pod(namespace="infra", name="carp-1", uid="uid-1", version="100", node="n1", phase="Running")
SETTINGS = KubernetesSettings(pod_name="carp-1", pod_namespace="infra", node_name="n1")
NO_API = cast(Api, None)
"""For what makes no request."""


def pod(**values: Any) -> Pod:
    return replace(_POD, **values)
