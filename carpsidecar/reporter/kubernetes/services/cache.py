"""What is known of Services, their pods and their groups. Whoever reads or changes it holds the cache's lock."""

from collections.abc import Iterable

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.ipc.settings import LoadBalancerSettings
from carpsidecar.pools import Pool, Pools, parse_range
from carpsidecar.reporter.kubernetes.services.endpoints import Endpoints
from carpsidecar.reporter.kubernetes.services.holdings import Rules
from carpsidecar.reporter.kubernetes.services.objects import Key, Service

_GONE_MAX = 4096


class ServiceStore:
    """The newest version of each Service that may concern us, by namespace and name."""

    def __init__(self) -> None:
        self.listed = False
        self._services: dict[Key, Service] = {}
        self._gone: dict[str, None] = {}
        """The uids of those that were deleted last: an answer to a write of ours may come after that."""

    def all(self) -> list[Service]:
        return list(self._services.values())

    def get(self, key: Key) -> Service | None:
        return self._services.get(key)

    def replace(self, services: Iterable[Service]) -> None:
        """These are all that there are."""
        before, self._services = self._services, {}
        for one in services:
            known = before.get(one.key)
            self.put(known if known is not None and _is_newer(known, one) else one)
        self.listed = True

    def put(self, one: Service) -> None:
        """Take it, unless a newer version is known."""
        before = self._services.get(one.key)
        if one.uid in self._gone or (before is not None and _is_newer(before, one)):
            return
        if one.is_load_balancer or one.annotations or one.conditions:
            self._services[one.key] = one
        else:
            self._services.pop(one.key, None)

    def remove(self, one: Service) -> None:
        """Unless another one of this name is there."""
        self._gone[one.uid] = None
        if len(self._gone) > _GONE_MAX:
            del self._gone[next(iter(self._gone))]
        before = self._services.get(one.key)
        if before is not None and before.uid == one.uid:
            del self._services[one.key]


class ServiceCache:
    def __init__(self, settings: LoadBalancerSettings) -> None:
        self.services = ServiceStore()
        self.endpoints = Endpoints()
        self.namespaces: dict[str, frozenset[str]] = {}
        """By pool, those that its selector selects; a pool without a selector is not in it."""
        self.groups: dict[str, GroupSnapshot] = {}
        """By address."""
        self._settings = settings
        self._pools = Pools(
            Pool(pool.name, tuple(map(parse_range, pool.addresses)), pool.auto_assign, pool.namespace_selector)
            for pool in settings.pools
        )

    @property
    def is_listed(self) -> bool:
        """Whether enough is known to allocate."""
        selecting = {pool.name for pool in self._settings.pools if pool.namespace_selector}
        return self.services.listed and selecting <= self.namespaces.keys()

    @property
    def rules(self) -> Rules:
        settings = self._settings
        return Rules(
            class_=settings.class_,
            is_default=settings.default,
            vhids=range(settings.vhid_first, settings.vhid_last + 1),
            addresses_max=settings.addresses_max,
            pools=self._pools,
            namespaces=dict(self.namespaces),
        )


def _is_newer(one: Service, other: Service) -> bool:
    """Resource versions of one resource are numbers that rise."""
    if one.uid != other.uid or not (one.version.isdecimal() and other.version.isdecimal()):
        return False
    return int(one.version) > int(other.version)
