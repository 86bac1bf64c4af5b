"""The requests about pods, and the job of bringing one to what it is to carry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from carpsidecar.reporter.kubernetes.client import STRATEGIC_MERGE_PATCH, Api, ApiError, Request
from carpsidecar.reporter.kubernetes.desired import Marks, patch
from carpsidecar.reporter.kubernetes.objects import BadObject, Pod, read_page, read_pod
from carpsidecar.reporter.kubernetes.rbac import list_pods, patch_status
from carpsidecar.reporter.kubernetes.writer import Done
from carpsidecar.reporter.stats import ApiStats

_LISTED_MAX = 500


def path_of(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"


def list_some(api: Api, namespace: str, query: Mapping[str, str]) -> list[Pod]:
    """Where only a few can be meant. Raises: ApiError."""
    request = Request("GET", path_of(namespace), list_pods(namespace), {**query, "limit": str(_LISTED_MAX)})
    try:
        return [read_pod(item) for item in read_page(api.call(request)).items]
    except BadObject as error:
        raise ApiError("other", f"{request.rule}: {error}") from None


def find(api: Api, namespace: str, name: str) -> Pod | None:
    """The pod as it is now; through a list, so that no further right is needed. Raises: ApiError."""
    return next(iter(list_some(api, namespace, {"fieldSelector": f"metadata.name={name}"})), None)


def apply(api: Api, pod: Pod, wanted: Marks, stats: ApiStats) -> Pod:
    """Make this version of the pod carry that; the pod as it is then.

    Raises:
        ApiError: a conflict where the pod has changed meanwhile.
    """
    body = patch(pod, wanted)
    if body is None:
        return pod
    rule = patch_status(pod.namespace)
    path = f"{path_of(pod.namespace)}/{quote(pod.name, safe='')}/status"
    answer = api.call(Request("PATCH", path, rule, body=body, content_type=STRATEGIC_MERGE_PATCH))
    stats.writes["pod_status"] += 1
    try:
        after = read_pod(answer)
    except BadObject as error:
        raise ApiError("other", f"{rule}: {error}") from None
    if patch(after, wanted) is not None:
        raise ApiError("other", f"{rule}: pod {pod.name} was not changed as asked: does a webhook change it back?")
    return after


@dataclass(frozen=True)
class PodJob:
    """Bring one pod to what it is to carry; `done` gets the pod as it is then, None where it is gone."""

    key: str
    api: Api
    stats: ApiStats
    pod: Pod
    wanted: Marks
    done: Callable[[Pod | None, bool], None]
    """Called with the reporter's lock held; and whether it carries that now."""

    def run(self) -> Done:
        """Raises: ApiError."""
        after: Pod | None = None
        failure: ApiError | None = None
        try:
            after = apply(self.api, self.pod, self.wanted, self.stats)
        except ApiError as error:
            if error.status == 409:
                failure = error
                after = find(self.api, self.pod.namespace, self.pod.name)
            elif error.status != 404:
                raise

        def done() -> ApiError | None:
            self.done(after, failure is None)
            return failure if after is not None else None

        return done
