"""Services as the status page shows them."""

from carpsidecar.reporter.kubernetes.services.cache import ServiceCache
from carpsidecar.reporter.kubernetes.services.holder import nodes_of
from carpsidecar.reporter.kubernetes.services.holdings import addresses_of, is_ours
from carpsidecar.reporter.kubernetes.services.objects import ALLOCATED, HELD
from carpsidecar.status.model import ServiceView


def views(services: ServiceCache) -> list[ServiceView]:
    """With the cache's lock held."""
    rules = services.rules
    found = []
    for service in sorted(services.services.all(), key=lambda one: one.key):
        if is_ours(service, rules):
            nodes = nodes_of(service)
            allocated, held = service.conditions.get(ALLOCATED), service.conditions.get(HELD)
            is_allocated = allocated is not None and allocated.status == "True"
            shown = held if is_allocated else allocated
            found.append(
                ServiceView(
                    service=str(service),
                    addresses={ip: nodes.get(ip, "") for ip in addresses_of(service, rules).values()},
                    allocated=is_allocated,
                    held=held is not None and held.status == "True",
                    text=shown.message if shown is not None else "",
                )
            )
    return found
