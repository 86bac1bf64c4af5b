"""The requests about pods."""

from collections.abc import Mapping
from urllib.parse import quote

from carpsidecar.reporter.kubernetes.client import STRATEGIC_MERGE_PATCH, Api, ApiError, Request
from carpsidecar.reporter.kubernetes.objects import BadObject, Pod, read_page, read_pod
from carpsidecar.reporter.kubernetes.pod_status import PodStatus, observed, patch
from carpsidecar.reporter.kubernetes.rbac import list_pods as may_list
from carpsidecar.reporter.kubernetes.rbac import patch_status as may_patch
from carpsidecar.status.stats import ApiStats

_LISTED_MAX = 500


def path_of(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"


def list_pods(api: Api, namespace: str, query: Mapping[str, str], within_s: float | None = None) -> list[Pod]:
    """Where only a few can be meant. Raises: ApiError."""
    request = Request("GET", path_of(namespace), may_list(namespace), {**query, "limit": str(_LISTED_MAX)})
    try:
        return [read_pod(item) for item in read_page(api.call(request, within_s)).items]
    except BadObject as error:
        raise ApiError("other", f"{request.rule}: {error}") from None


def get_pod(api: Api, namespace: str, name: str, within_s: float | None = None) -> Pod | None:
    """The pod as it is now; through a list, so that no further right is needed. Raises: ApiError."""
    return next(iter(list_pods(api, namespace, {"fieldSelector": f"metadata.name={name}"}, within_s)), None)


def apply(api: Api, stats: ApiStats, pod: Pod, desired: PodStatus, within_s: float | None = None) -> Pod:
    """Bring this version of the pod to that status; the pod as it is then.

    Raises:
        ApiError: a conflict where the pod has changed meanwhile.
    """
    body = patch(pod, desired)
    if body is None:
        return pod
    rule = may_patch(pod.namespace)
    path = f"{path_of(pod.namespace)}/{quote(pod.name, safe='')}/status"
    answer = api.call(Request("PATCH", path, rule, body=body, content_type=STRATEGIC_MERGE_PATCH), within_s)
    stats.writes["pod_status"] += 1
    try:
        after = read_pod(answer)
    except BadObject as error:
        raise ApiError("other", f"{rule}: {error}") from None
    if observed(after) != desired:
        raise ApiError("other", f"{rule}: pod {pod.name} was not changed as asked: does a webhook change it back?")
    return after
