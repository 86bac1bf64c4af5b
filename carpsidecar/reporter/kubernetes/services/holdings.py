"""Who has which address, and the vhid of each: what the Services themselves say, read the same way on every node.

An address is a Service's while its status says so, which no user of it may write. The annotation with the vhids
is open to whoever may change the Service, so that what it says of an address that the Service does not have is
ignored, and of two claims for one vhid the same one wins everywhere. Pure functions.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct, field

from carpsidecar.pools import Pool, Pools
from carpsidecar.reporter.kubernetes.services.objects import (
    ALLOCATION,
    CLASS,
    PREFER_TWO,
    SHARE,
    Service,
    canonical,
    family_of,
    parse_address,
)

_allocation = msgspec.json.Decoder(dict[str, int])


class Rules(Struct, frozen=True, kw_only=True):
    """What the configuration says."""

    class_: str
    is_default: bool = False
    """Whether Services without a class are ours too."""
    vhids: range
    addresses_max: int
    pools: Pools
    namespaces: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By pool, whose Services may have addresses of it; one that is not named here is for all."""

    def pool_of(self, address: str) -> Pool | None:
        parsed = parse_address(address)
        return None if parsed is None else self.pools.pool_of(parsed)

    def serves(self, pool: Pool, namespace: str) -> bool:
        return pool.name not in self.namespaces or namespace in self.namespaces[pool.name]


def has_family(pool: Pool, family: int) -> bool:
    return any(one.first.version == family for one in pool.ranges)


def is_ours(service: Service, rules: Rules) -> bool:
    """One without a class that another implementation has given an address is not, whatever the default is."""
    if not service.is_load_balancer or service.leaving:
        return False
    if service.class_:
        return service.class_ == rules.class_
    allocation = allocation_of(service, rules.class_)
    theirs = (ip for ip in service.ingress if ip not in allocation and rules.pool_of(ip) is None)
    return rules.is_default and not any(theirs)


def families_of(service: Service, rules: Rules) -> tuple[int, ...]:
    """Those that it is to have an address of. A second one that is only preferred needs a pool that has it."""
    if service.family_policy != PREFER_TWO:
        return service.families
    had = {family for family in service.families if any(has_family(pool, family) for pool in rules.pools)}
    return tuple(family for family in service.families if family in had) or service.families[:1]


def is_marked(service: Service, class_: str) -> bool:
    """Whether an allocator of this class wrote on it last."""
    return service.annotations.get(CLASS) == class_


def allocation_of(service: Service, class_: str) -> Mapping[str, int]:
    """The vhids by address that its annotation names; nothing where it is nonsense, or of another class."""
    return _read(service.annotations.get(ALLOCATION, "")) if is_marked(service, class_) else {}


@lru_cache(maxsize=4096)
def _read(allocation: str) -> Mapping[str, int]:
    try:
        named = _allocation.decode(allocation)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    return {canonical(ip): vhid for ip, vhid in named.items()}


def addresses_of(service: Service, rules: Rules) -> dict[int, str]:
    """By family, the addresses that this Service of ours has."""
    allocation, found = allocation_of(service, rules.class_), dict[int, str]()
    for ip in service.ingress:
        family = family_of(ip)
        named = ip in allocation or is_marked(service, rules.class_)
        if family in service.families and (named or rules.pool_of(ip) is not None):
            found.setdefault(family, ip)
    wanted = families_of(service, rules)
    return {family: found[family] for family in service.families if family in found and family in wanted}


def holders(services: Iterable[Service], rules: Rules) -> dict[str, list[Service]]:
    """Our Services by the addresses that they have, those that were made first first."""
    found: dict[str, list[Service]] = {}
    for service in sorted((one for one in services if is_ours(one, rules)), key=lambda one: one.order):
        for ip in addresses_of(service, rules).values():
            found.setdefault(ip, []).append(service)
    return found


def vhids_of(held: Mapping[str, Sequence[Service]], rules: Rules) -> dict[str, int]:
    """The vhid of each address that has one; an address whose claim lost is not in it."""
    claims: dict[int, tuple[int, int, str]] = {}
    for number, (ip, services) in enumerate(held.items()):
        named = (allocation_of(service, rules.class_).get(ip) for service in services)
        vhid = next((one for one in named if one is not None and one in rules.vhids), None)
        if vhid is not None:
            claim = (vhid - first_vhid(ip, rules.vhids)) % len(rules.vhids), number, ip
            claims[vhid] = min(claim, claims.get(vhid, claim))
    return {ip: vhid for vhid, (_, _, ip) in claims.items()}


def first_vhid(address: str, vhids: range) -> int:
    """What it is given where that is free: the same as it had before, so that a node that knows only of its former
    Service is in the same group, and never a second master."""
    digest = hashlib.sha256(address.encode()).digest()
    return vhids[int.from_bytes(digest[:8]) % len(vhids)]


def free_vhid(address: str, used: Iterable[int], vhids: range) -> int | None:
    taken = set(used)
    first = first_vhid(address, vhids) - vhids.start
    candidates = (vhids[(first + step) % len(vhids)] for step in range(len(vhids)))
    return next((vhid for vhid in candidates if vhid not in taken), None)


def share_problem(one: Service, other: Service) -> str:
    """Why they can't have the same address; empty where they can."""
    key = one.annotations.get(SHARE, "")
    if not key or key != other.annotations.get(SHARE, ""):
        return f"the annotation {SHARE} is not the same on both"
    if clash := one.ports & other.ports:
        return f"both have port {', '.join(f'{number}/{protocol}' for protocol, number in sorted(clash))}"
    if one.is_local is not other.is_local or (one.is_local and one.selector != other.selector):
        return "with externalTrafficPolicy Local both must have it, and select the same pods"
    return ""
