"""The requests to the API about Services."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from carpsidecar.reporter.kubernetes.client import STRATEGIC_MERGE_PATCH, Api, ApiError, Request
from carpsidecar.reporter.kubernetes.objects import BadObject, read_page
from carpsidecar.reporter.kubernetes.rbac import LIST_SERVICES, PATCH_SERVICE_STATUS
from carpsidecar.reporter.kubernetes.services.objects import Service, read_service
from carpsidecar.status.stats import ApiStats

_PAGE_SIZE = 500
SERVICES = "/api/v1/services"


def list_services(api: Api) -> list[Service]:
    """All of the cluster, as they are now. Raises: ApiError."""
    found: list[Service] = []
    more: Mapping[str, str] = {}
    while True:
        page = _page(api, SERVICES, {"limit": str(_PAGE_SIZE), **more})
        found += page[0]
        if not page[1]:
            return found
        more = {"continue": page[1]}


def get_service(api: Api, service: Service) -> Service | None:
    """As it is now; through a list, so that no further right is needed. Raises: ApiError."""
    found, _ = _page(api, _path(service), {"fieldSelector": f"metadata.name={service.name}"})
    return next(iter(found), None)


def patch_status(api: Api, stats: ApiStats, service: Service, body: Mapping[str, Any], within_s: float) -> Service:
    """Raises: ApiError: a conflict where it has changed meanwhile."""
    path = f"{_path(service)}/{quote(service.name, safe='')}/status"
    request = Request("PATCH", path, PATCH_SERVICE_STATUS, body=body, content_type=STRATEGIC_MERGE_PATCH)
    answer = api.call(request, within_s)
    stats.writes["service_status"] += 1
    try:
        return read_service(answer)
    except BadObject as error:
        raise ApiError("other", f"{request.rule}: {error}") from None


def _path(service: Service) -> str:
    return f"/api/v1/namespaces/{quote(service.namespace, safe='')}/services"


def _page(api: Api, path: str, query: Mapping[str, str]) -> tuple[list[Service], str]:
    """Raises: ApiError."""
    request = Request("GET", path, LIST_SERVICES, query)
    try:
        page = read_page(api.call(request))
        return [read_service(item) for item in page.items], page.more
    except BadObject as error:
        raise ApiError("other", f"{request.rule}: {error}") from None
