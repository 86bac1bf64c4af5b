"""Services and pools, and a cluster of them that does what the plan says."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from msgspec.structs import replace

from carpsidecar.pools import Pool, Pools, parse_range
from carpsidecar.reporter.kubernetes.services.allocation import plan
from carpsidecar.reporter.kubernetes.services.freed import REST_S, Freed
from carpsidecar.reporter.kubernetes.services.holdings import Rules, holders
from carpsidecar.reporter.kubernetes.services.objects import ALLOCATED, ALLOCATION, Key, Service
from carpsidecar.reporter.kubernetes.services.outcome import Outcome, is_done, patch

OURS = "carpsidecar.io/carp"
_numbers = count(1)


def pool(name: str = "default", *texts: str, **more: Any) -> Pool:
    return Pool(name, tuple(parse_range(text) for text in texts or ("192.0.2.200-192.0.2.203",)), **more)


def rules(*pools: Pool, vhids: range = range(1000, 2000), **more: Any) -> Rules:
    values = {"class_": OURS, "addresses_max": 100, **more}
    return Rules(vhids=vhids, pools=Pools(pools or (pool(),)), **values)


def service(name: str = "web", namespace: str = "shop", **more: Any) -> Service:
    number = next(_numbers)
    values = {"class_": OURS, "created": f"{number:09}", "ports": frozenset({("TCP", 80)}), **more}
    return Service(namespace=namespace, name=name, uid=f"uid-{number}", version=str(number), **values)


class Cluster:
    """What the API server keeps, without one."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.services: dict[Key, Service] = {}
        self.unavailable: dict[str, str] = {}
        self.now = 0.0
        self._freed = Freed()

    def rest(self) -> None:
        """Until each address that is free may be given to anyone."""
        self.plan()
        self.now += REST_S

    def add(self, *services: Service) -> None:
        self.services |= {one.key: one for one in services}

    def change(self, key: Key, **more: Any) -> None:
        self.services[key] = replace(self.services[key], **more)

    def annotate(self, key: Key, **annotations: str) -> None:
        found = {**self.services[key].annotations} | {
            f"carpsidecar.io/{name}": text for name, text in annotations.items()
        }
        self.change(key, annotations=found)

    def plan(self) -> Mapping[Key, Outcome]:
        services = self.services.values()
        self._freed.update(holders(services, self.rules), self.now)
        freed, resting = self._freed.since(float("inf"), self.now), self._freed.since(REST_S, self.now)
        return plan(services, self.rules, self.unavailable, freed=freed, resting=resting)

    def allocate(self) -> None:
        """Do all that the plan says, as the API server would; then nothing is left to do."""
        for key, outcome in self.plan().items():
            if not is_done(self.services[key], outcome):
                self._write(key, patch(self.services[key], outcome, "now"), outcome)
        left = {key: outcome for key, outcome in self.plan().items() if not is_done(self.services[key], outcome)}
        assert left == {}, "the plan is its own result"

    def addresses(self, name: str = "web", namespace: str = "shop") -> Sequence[str]:
        return self.services[namespace, name].ingress

    def reason(self, name: str = "web", namespace: str = "shop") -> tuple[str, str]:
        condition = self.services[namespace, name].conditions[ALLOCATED]
        return condition.status, condition.reason

    def message(self, name: str = "web", namespace: str = "shop") -> str:
        return self.services[namespace, name].conditions[ALLOCATED].message

    def _write(self, key: Key, body: dict[str, Any], outcome: Outcome) -> None:
        before = self.services[key]
        annotations = {**before.annotations, **body["metadata"]["annotations"]}
        self.change(
            key,
            annotations={name: text for name, text in annotations.items() if text is not None},
            ingress=tuple(one["ip"] for one in body["status"]["loadBalancer"]["ingress"] or ()),
            conditions={ALLOCATED: outcome.condition} if outcome.condition is not None else {},
        )


def vhids(cluster: Cluster) -> list[str]:
    return [one.annotations.get(ALLOCATION, "") for one in cluster.services.values()]
