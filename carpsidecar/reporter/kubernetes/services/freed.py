"""Addresses that were a Service's lately: kube-proxy has its rules of them for a second yet, and clients ask."""

from collections.abc import Mapping, Sequence

from carpsidecar.reporter.kubernetes.services.objects import Key, Service

REST_S = 3.0
"""kube-proxy brings its rules up to date each second, by default."""
_REMEMBERED_MAX = 4096


class Freed:
    """As far as this process has seen them go. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._held: dict[str, Key] = {}
        self._freed: dict[str, tuple[Key, float]] = {}

    def update(self, held: Mapping[str, Sequence[Service]], now: float) -> bool:
        """These are all that are a Service's now; whether there are new ones."""
        has_new = not held.keys() <= self._held.keys()
        for ip in self._held.keys() - held.keys():
            self._freed[ip] = self._held[ip], now
        for ip in held.keys() & self._freed.keys():
            del self._freed[ip]
        while len(self._freed) > _REMEMBERED_MAX:
            del self._freed[next(iter(self._freed))]
        self._held = {ip: services[0].key for ip, services in held.items()}
        return has_new

    def given(self, ip: str, service: Service) -> None:
        """Just now: it may be deleted before that is seen."""
        self._held.setdefault(ip, service.key)

    def since(self, age_s: float, now: float) -> dict[str, Key]:
        """Those that are free for no longer than that, with the Service that had each; the first freed first."""
        return {ip: key for ip, (key, at) in self._freed.items() if now - at < age_s}

    def rested_at(self, now: float) -> float | None:
        """When the next one of those that rest may be given to any Service."""
        return min((at + REST_S for _, at in self._freed.values() if now - at < REST_S), default=None)
