"""Which node is to serve which address: rendezvous hashing, so that each address has an order of nodes of its own,
and a node that goes moves only its own addresses. Pure functions."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from carpsidecar.reporter.kubernetes.services.objects import SHARE, Service

STEP = 4
"""Between two nodes of the order: some 16 ms."""
RETURNED = 120
"""What a node that returned adds meanwhile."""
_RANK_MAX = RETURNED // STEP - 1


@lru_cache(maxsize=4096)
def order_of(key: str, nodes: frozenset[str]) -> Sequence[str]:
    """The nodes, the preferred one first."""
    return sorted(nodes, key=lambda node: hashlib.sha256(f"{node}\0{key}".encode()).digest())


def key_of(service: Service) -> str:
    """Services that share an address have one order, and so have both addresses of a Service."""
    share = service.annotations.get(SHARE, "")
    return f"share {share}" if share else str(service)


def advskew_of(node: str, key: str, nodes: frozenset[str]) -> int:
    """Args: nodes: all that take part, `node` among them."""
    order = order_of(key, nodes)
    return STEP * min(order.index(node), _RANK_MAX)
