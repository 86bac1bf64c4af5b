"""An API server in which an admission policy of the chart is in force, and somebody who has our token."""

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.chart.helm import NAMESPACE, Manifest
from tests.kubernetes.admin import Admin
from tests.kubernetes.control_plane import ControlPlane

BASE = f"/api/v1/namespaces/{NAMESPACE}"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_POLICIES = "/apis/admissionregistration.k8s.io/v1"
_PATHS = {
    "ServiceAccount": f"{BASE}/serviceaccounts",
    "Role": f"{_RBAC}/namespaces/{NAMESPACE}/roles",
    "RoleBinding": f"{_RBAC}/namespaces/{NAMESPACE}/rolebindings",
    "ClusterRole": f"{_RBAC}/clusterroles",
    "ClusterRoleBinding": f"{_RBAC}/clusterrolebindings",
    "ValidatingAdmissionPolicy": f"{_POLICIES}/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": f"{_POLICIES}/validatingadmissionpolicybindings",
}
ACCOUNT = "carp-carpsidecar"


@dataclass
class Cluster:
    """`thief` has the token of our service account; `kind` is what it patches the status of."""

    admin: Admin
    thief: Admin
    kind: str

    def patch(self, name: str, body: dict[str, Any]) -> None:
        self.thief.patch(f"{BASE}/{self.kind}/{name}/status", body)


def install(admin: Admin, manifests: Iterable[Manifest]) -> None:
    """The namespace, the account, its rights, and the policies; no hooks."""
    admin.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    for manifest in manifests:
        kind = manifest["kind"]
        if kind in _PATHS and "helm.sh/hook" not in manifest["metadata"].get("annotations", {}):
            admin.create(_PATHS[kind], manifest)


def thief(plane: ControlPlane, admin: Admin, **spec: Any) -> Admin:
    """Args: spec: of the token request, such as the pod that the token is bound to."""
    request = {"spec": {"expirationSeconds": 3600, **spec}}
    made = admin.create(f"{BASE}/serviceaccounts/{ACCOUNT}/token", request)
    context = ssl.create_default_context(cafile=str(plane.authority.certificate))
    return Admin(plane.port, context, made["status"]["token"])
