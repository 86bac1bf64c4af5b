"""The informers' handlers of Services, their pods and their namespaces."""

from collections.abc import Callable, Iterable

from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.informers import BadSetting, Informer
from carpsidecar.reporter.kubernetes.services.cache import ServiceCache
from carpsidecar.reporter.kubernetes.services.objects import EndpointSlice, Key, Service

Changed = Callable[[Key | None], None]
"""Called, with the lock held, after something in the cache has changed; with the Service, or None for all."""


class Services(Informer):
    """All: also one that is ours no more may have an address of ours."""

    def __init__(self, cache: Cache, services: ServiceCache, changed: Changed, bad_setting: BadSetting) -> None:
        super().__init__(cache, lambda _: None, bad_setting, "Services")
        self._services = services
        self._changed_key = changed

    def listed(self, objects: Iterable[Service]) -> None:
        with self._cache.lock:
            self._services.services.replace(objects)
            self._changed_key(None)

    def changed(self, one: Service) -> None:
        with self._cache.lock:
            self._services.services.put(one)
            self._changed_key(one.key)

    def deleted(self, one: Service) -> None:
        with self._cache.lock:
            self._services.services.remove(one)
            self._changed_key(one.key)


class EndpointSlices(Informer):
    def __init__(self, cache: Cache, services: ServiceCache, changed: Changed, bad_setting: BadSetting) -> None:
        super().__init__(cache, lambda _: None, bad_setting, "EndpointSlices")
        self._services = services
        self._changed_key = changed

    def listed(self, objects: Iterable[EndpointSlice]) -> None:
        with self._cache.lock:
            self._services.endpoints.replace(objects)
            self._changed_key(None)

    def changed(self, one: EndpointSlice) -> None:
        with self._cache.lock:
            self._services.endpoints.put(one)
            self._changed_of(one)

    def deleted(self, one: EndpointSlice) -> None:
        with self._cache.lock:
            self._services.endpoints.remove(one)
            self._changed_of(one)

    def _changed_of(self, one: EndpointSlice) -> None:
        service = self._services.services.get((one.namespace, one.service))
        if service is not None and service.is_local:
            self._changed_key(service.key)


class Namespaces(Informer):
    """Those that one pool's selector selects."""

    def __init__(
        self,
        cache: Cache,
        services: ServiceCache,
        changed: Changed,
        bad_setting: BadSetting,
        pool: str,
        selector: str,
    ) -> None:
        what = f"namespaces by the namespace_selector {selector!r} of pool {pool!r}"
        super().__init__(cache, lambda _: None, bad_setting, what)
        self._services = services
        self._changed_key = changed
        self._pool = pool
        self._selector = selector

    def query(self) -> dict[str, str]:
        return {"labelSelector": self._selector}

    def listed(self, objects: Iterable[str]) -> None:
        self._set(frozenset(objects))

    def changed(self, one: str) -> None:
        self._set(self._selected | {one})

    def deleted(self, one: str) -> None:
        self._set(self._selected - {one})

    @property
    def _selected(self) -> frozenset[str]:
        return self._services.namespaces.get(self._pool, frozenset())

    def _set(self, selected: frozenset[str]) -> None:
        """Only its own thread changes it."""
        with self._cache.lock:
            self._services.namespaces[self._pool] = selected
            self._changed_key(None)
