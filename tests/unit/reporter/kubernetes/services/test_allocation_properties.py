"""Whatever is made, changed and deleted, in whatever order: no address twice, and none ever changes."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from carpsidecar.reporter.kubernetes.services.holdings import (
    addresses_of,
    holders,
    is_ours,
    share_problem,
    vhids_of,
)
from carpsidecar.reporter.kubernetes.services.objects import ALLOCATION, CLASS, REQUESTED, SHARE, Key, family_of
from tests.unit.reporter.kubernetes.services.builders import OURS, Cluster, pool, rules, service

ADDRESSES = [f"192.0.2.{number}" for number in range(200, 206)] + ["2001:db8::1", "2001:db8::2", "203.0.113.1"]
POOLS = [
    (pool("default", "192.0.2.200-192.0.2.203", "2001:db8::1-2001:db8::2"),),
    (pool("default", "192.0.2.200-192.0.2.201"),),
    (pool("a", "192.0.2.200-192.0.2.201"), pool("b", "192.0.2.202-192.0.2.203", "2001:db8::1")),
    (pool("renamed", "192.0.2.200-192.0.2.203", "2001:db8::1-2001:db8::2", auto_assign=False),),
    (pool("default", "192.0.2.201"),),
    (pool("default", "198.51.100.1-198.51.100.9"),),
]
ANNOTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "carpsidecar.io/address": st.sampled_from(ADDRESSES) | st.text(max_size=20),
        "carpsidecar.io/pool": st.sampled_from(["default", "a", "b", "gone"]),
        "carpsidecar.io/share": st.sampled_from(["x", "y"]),
        "carpsidecar.io/allocation": st.text(max_size=20)
        | st.dictionaries(st.sampled_from(ADDRESSES), st.integers(5, 16)).map(
            lambda one: str(one).replace("'", '"')
        ),
    },
)
FAMILIES = st.sampled_from([(4,), (6,), (4, 6), (6, 4)])


class Allocation(RuleBasedStateMachine):
    """After each step the allocator does what there is to do; `asked` is who may have moved by that."""

    services = Bundle("services")

    def __init__(self) -> None:
        super().__init__()
        self.here = Cluster(rules(*POOLS[0], vhids=range(8, 14)))
        self.had: dict[Key, tuple[str, ...]] = {}
        self.number = 0

    def given(self, annotations: dict[str, str]) -> dict[str, str]:
        return annotations

    def allocate(self, *asked: Key) -> None:
        self.here.allocate()
        for key, one in self.here.services.items():
            # Who requests another address gets it as soon as it is free.
            if key not in asked and REQUESTED not in one.annotations and is_ours(one, self.here.rules):
                kept = [ip for ip in self.had.get(key, ()) if ip in one.ingress]
                assert kept == list(self.had.get(key, ())), f"{key} had {self.had[key]}, and has {one.ingress}"
        self.had = {key: one.ingress for key, one in self.here.services.items() if is_ours(one, self.here.rules)}

    @rule(target=services, annotations=ANNOTATIONS, families=FAMILIES, port=st.integers(1, 3))
    def make(self, annotations: dict[str, str], families: tuple[int, ...], port: int) -> Key:
        self.number += 1
        one = service(
            f"s{self.number}",
            annotations=self.given(annotations),
            families=families,
            ports=frozenset({("TCP", port)}),
        )
        self.here.add(one)
        self.allocate(one.key)
        return one.key

    @rule(key=consumes(services))
    def delete(self, key: Key) -> None:
        del self.here.services[key]
        self.had.pop(key, None)
        self.allocate()

    @rule(key=services, annotations=ANNOTATIONS)
    def annotate(self, key: Key, annotations: dict[str, str]) -> None:
        """The user of it writes what he likes; of ours, too."""
        annotations_before = self.here.services[key].annotations
        before = {name: annotations_before[name] for name in (ALLOCATION, CLASS) if name in annotations_before}
        self.here.change(key, annotations={**before, **self.given(annotations)})
        self.allocate(*([key] if "carpsidecar.io/address" in annotations else []))

    @rule(
        key=services,
        values=st.sampled_from([{"class_": "other.io/x"}, {"is_load_balancer": False}, {"class_": OURS}]),
    )
    def change_class(self, key: Key, values: dict[str, Any]) -> None:
        self.here.change(key, **{"is_load_balancer": True, **values})
        self.allocate(key)

    @rule(key=services, families=FAMILIES)
    def change_families(self, key: Key, families: tuple[int, ...]) -> None:
        self.here.change(key, families=families)
        self.allocate(key)

    @rule(key=services, port=st.integers(1, 3))
    def change_port(self, key: Key, port: int) -> None:
        self.here.change(key, ports=frozenset({("TCP", port)}))
        self.allocate()

    @rule(pools=st.sampled_from(POOLS))
    def change_pools(self, pools: Any) -> None:
        self.here.rules = rules(*pools, vhids=range(8, 14))
        self.allocate()

    @rule(address=st.sampled_from(ADDRESSES), is_taken=st.booleans())
    def stranger(self, address: str, is_taken: bool) -> None:
        self.here.unavailable.pop(address, None)
        if is_taken:
            self.here.unavailable[address] = "is in use"
        self.allocate()

    @invariant()
    def what_does_not_go_together_any_more_is_reported(self) -> None:
        for key, one in self.here.services.items():
            families = [family_of(ip) for ip in one.ingress]
            assert len(set(families)) == len(families)
            if not is_ours(one, self.here.rules):
                assert one.ingress == (), f"{key} has {one.ingress}"
                continue
            assert tuple(addresses_of(one, self.here.rules).values()) == one.ingress
        for ip, services in holders(self.here.services.values(), self.here.rules).items():
            problems = [share_problem(one, services[0]) for one in services[1:]]
            for one, problem in zip(services[1:], problems, strict=True):
                assert not problem or problem in self.here.message(one.name), f"{ip}: {problem}"

    @invariant()
    def no_vhid_is_that_of_two_addresses(self) -> None:
        held = holders(self.here.services.values(), self.here.rules)
        found = vhids_of(held, self.here.rules)
        assert len(set(found.values())) == len(found)
        assert len(found) == min(len(held), 6) or len(held) > 6


class WithoutSharing(Allocation):
    def given(self, annotations: dict[str, str]) -> dict[str, str]:
        return {name: text for name, text in annotations.items() if name != SHARE}

    @invariant()
    def no_address_twice(self) -> None:
        for ip, services in holders(self.here.services.values(), self.here.rules).items():
            assert len(services) == 1, ip


Allocation.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
WithoutSharing.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAllocation = Allocation.TestCase
TestWithoutSharing = WithoutSharing.TestCase
