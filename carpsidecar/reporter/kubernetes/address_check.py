"""Whether an address to float is one that a node, a pod or a Service of the cluster has: then it is not claimed."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import TypeVar

from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.client import Api, ApiError, Request
from carpsidecar.reporter.kubernetes.objects import BadObject, Node, Service, read_node, read_page, read_service
from carpsidecar.reporter.kubernetes.rbac import LIST_NODES, LIST_SERVICES, Rule

_PAGE_SIZE = 200
_T = TypeVar("_T", Node, Service)


class AddressCheck:
    """Asks once, and again when the groups' addresses change."""

    def __init__(self, cache: Cache, api: Api) -> None:
        self._cache = cache
        self._api = api
        self._checked: frozenset[str] = frozenset()

    def reconcile(self, _: tuple[str, ...]) -> float | None:
        """Raises: ApiError."""
        with self._cache.lock:
            addresses = frozenset(ip for group in self._cache.groups for ip in group.addresses)
        if not self._cache.settings.check_addresses or addresses <= self._checked:
            return None
        try:
            nodes = [read_node(item) for item in self._list("/api/v1/nodes", LIST_NODES)]
            services = [read_service(item) for item in self._list("/api/v1/services", LIST_SERVICES)]
        except BadObject as error:
            raise ApiError("other", str(error)) from None
        with self._cache.lock:
            self._checked = addresses
            self._cache.taken = dict(_taken(addresses, nodes, services))
        return None

    def _list(self, path: str, rule: Rule) -> Iterator[bytes]:
        """Raises: ApiError, BadObject."""
        more = ""
        while True:
            query = {"limit": str(_PAGE_SIZE)} | ({"continue": more} if more else {})
            page = read_page(self._api.call(Request("GET", path, rule, query)))
            yield from page.items
            more = page.more
            if not more:
                return


def _taken(
    addresses: Iterable[str], nodes: Iterable[Node], services: Iterable[Service]
) -> Iterator[tuple[str, str]]:
    """Each address that is taken, with what it is."""
    nodes, services = list(nodes), list(services)
    for text in addresses:
        ip = ip_address(text)
        for node in nodes:
            if text in node.addresses:
                yield text, f"it is the address of node {node.name}"
            elif any(ip in ip_network(network, strict=False) for network in node.pod_networks):
                yield text, f"it is in the network of the pods on node {node.name}"
        for service in services:
            if text in service.addresses:
                yield text, f"it is the address of Service {service.namespace}/{service.name}"
