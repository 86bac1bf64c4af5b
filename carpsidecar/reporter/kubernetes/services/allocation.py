"""Who is given which address: a pure function of all Services and the pools.

What a Service has it keeps, whatever becomes of pools, shares and other Services, for as long as it is a Service of
ours; only another address that it requests itself, and that can be given, takes its place. What no longer fits is
reported in the condition.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from carpsidecar.pools import Pool
from carpsidecar.reporter.kubernetes.objects import Condition
from carpsidecar.reporter.kubernetes.services.holdings import (
    Rules,
    addresses_of,
    allocation_of,
    families_of,
    free_vhid,
    has_family,
    holders,
    is_marked,
    is_ours,
    share_problem,
    vhids_of,
)
from carpsidecar.reporter.kubernetes.services.objects import (
    POOL,
    REQUESTED,
    SHARE,
    Key,
    Service,
    family_of,
    parse_address,
)
from carpsidecar.reporter.kubernetes.services.outcome import Outcome

ASSIGNED = "Assigned"
NO_ADDRESS_LEFT = "NoAddressLeft"
ADDRESS_TAKEN = "AddressTaken"
BAD_REQUEST = "BadRequest"
ADDRESS_RESTS = "AddressRests"
NOT_ASKED = "NotAsked"
POOL_GONE = "PoolGone"
NO_LONGER_FITS = "NoLongerFits"
_TEXT_MAX = 1000
_RESTS = "what there is was another Service's a moment ago, and is given soon"
_NOTHING: Mapping[str, str] = {}
_NONE_FREED: Mapping[str, Key] = {}


class Problem(Exception):
    """Why an address can't be given: one of the reasons above, and a text."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def plan(
    services: Iterable[Service],
    rules: Rules,
    unavailable: Mapping[str, str],
    unasked: Mapping[str, str] = _NOTHING,
    freed: Mapping[str, Key] = _NONE_FREED,
    resting: Mapping[str, Key] = _NONE_FREED,
) -> dict[Key, Outcome]:
    """What each Service is to have that is ours, or was.

    Args:
        unavailable: addresses that something else has, with what that is; others are given instead.
        unasked: addresses of which that could not be found out, with why; they are waited for.
        freed: addresses that a Service had before, the first freed first: they are given when no other is left.
        resting: those of them that only this Service may have yet.
    """
    services = list(services)
    plan = _Plan(services, rules, unavailable, unasked, freed, resting)
    found = {}
    for service in sorted(services, key=lambda one: one.order):
        if is_ours(service, rules):
            found[service.key] = plan.serve(service)
        elif is_marked(service, rules.class_):
            found[service.key] = Outcome({}, None, rules.class_)
    return found


class _Plan:
    def __init__(
        self,
        services: list[Service],
        rules: Rules,
        unavailable: Mapping[str, str],
        unasked: Mapping[str, str],
        freed: Mapping[str, Key],
        resting: Mapping[str, Key],
    ) -> None:
        self._rules = rules
        self._unavailable = unavailable
        self._unasked = unasked
        self._freed = freed
        self._resting = resting
        self._held = holders(services, rules)
        self._vhids = vhids_of(self._held, rules)
        ours = {service.key for found in self._held.values() for service in found}
        self._of_others = {
            ip: str(one) for one in services if one.key not in ours for ip in _served_by_others(one, rules)
        }
        self._free: dict[tuple[str, int], Iterator[str]] = {}
        """By pool and family, what was not looked at yet."""
        self._awaited: set[tuple[str, int]] = set()
        """By pool and family, where an address rests."""

    def serve(self, service: Service) -> Outcome:
        had = addresses_of(service, self._rules)
        has, new, problems = dict(had), list[str](), list[Problem]()
        try:
            requested = _requested(service)
        except Problem as problem:
            requested, problems = {}, [problem]
        broken = bool(problems)
        for family in families_of(service, self._rules):
            asked = requested.get(family)
            if broken or (family in had and asked in (None, had[family])):
                continue
            try:
                ip, is_new = self._requested_one(service, asked) if asked else self._any_one(service, family)
            except Problem as problem:
                problems.append(problem)
                continue
            if family in had:
                self._held[had[family]].remove(service)
            self._held.setdefault(ip, []).append(service)
            has[family] = ip
            if is_new:
                new.append(ip)
        has = {family: has[family] for family in service.families if family in has}
        addresses = {ip: self._vhid(ip) for ip in has.values()}
        if None in addresses.values():
            problems.append(Problem(NO_ADDRESS_LEFT, f"all {len(self._rules.vhids)} vhids are in use"))
            addresses = {ip: vhid for ip, vhid in addresses.items() if vhid is not None or ip not in new}
        problems += [problem for ip in had.values() if ip in addresses for problem in self._misfits(service, ip)]
        is_complete = len(addresses) == len(families_of(service, self._rules)) and None not in addresses.values()
        condition = self._condition(addresses, problems, is_complete)
        return Outcome(addresses, condition, self._rules.class_, tuple(new))

    def _condition(self, addresses: Iterable[str], problems: list[Problem], is_complete: bool) -> Condition:
        is_served = is_complete and all(problem.reason != POOL_GONE for problem in problems)
        texts = [f"it has {', '.join(addresses)}"] if addresses else []
        texts += map(str, problems)
        reason = problems[0].reason if problems else ASSIGNED
        return Condition("True" if is_served else "False", reason, "; ".join(texts)[:_TEXT_MAX])

    def _requested_one(self, service: Service, ip: str) -> tuple[str, bool]:
        """That address, and whether nobody had it. Raises: Problem."""
        pool = self._rules.pool_of(ip)
        named = service.annotations.get(POOL, "")
        if pool is None or (named and pool.name != named):
            where = f"is not in pool {named!r}" if named else "is in no pool"
            raise Problem(BAD_REQUEST, f"{ip} {where}")
        if not self._rules.serves(pool, service.namespace):
            raise Problem(
                BAD_REQUEST, f"{ip} is of pool {pool.name!r}, which is not for namespace {service.namespace}"
            )
        if ip in self._of_others:
            raise Problem(ADDRESS_TAKEN, f"{ip} is that of Service {self._of_others[ip]}")
        for other in self._held.get(ip, ()):
            if problem := share_problem(service, other):
                raise Problem(ADDRESS_TAKEN, f"{ip} is that of Service {other}: {problem}")
        if self._held.get(ip):
            return ip, False
        if ip in self._unavailable:
            raise Problem(ADDRESS_TAKEN, f"{ip} {self._unavailable[ip]}")
        if self._rests(ip, service):
            raise Problem(ADDRESS_RESTS, _RESTS)
        self._check_limit()
        self._check_asked(ip)
        return ip, True

    def _any_one(self, service: Service, family: int) -> tuple[str, bool]:
        """An address that may be given, and whether nobody had it. Raises: Problem."""
        pools = [pool for pool in self._pools_for(service) if has_family(pool, family)]
        if service.annotations.get(SHARE):
            for ip, others in self._held.items():
                fits = others and family_of(ip) == family and self._rules.pool_of(ip) in pools
                if fits and not any(share_problem(service, other) for other in others):
                    return ip, False
        self._check_limit()
        for pool in pools:
            for ip in self._free.setdefault((pool.name, family), self._of_family(pool, family)):
                if self._held.get(ip) or ip in self._of_others or ip in self._unavailable:
                    continue
                if not self._rests(ip, service):
                    self._check_asked(ip)
                    return ip, True
                self._awaited.add((pool.name, family))
        if any((pool.name, family) in self._awaited for pool in pools):
            raise Problem(ADDRESS_RESTS, _RESTS)
        where = f"pool {', '.join(repr(pool.name) for pool in pools)}" if pools else "any pool"
        text = f"no IPv{family} address is left in {where} for namespace {service.namespace}"
        passed = (
            one for one in self._unavailable if family_of(one) == family and self._rules.pool_of(one) in pools
        )
        if (first := next(passed, None)) is not None:
            text += f": {first} {self._unavailable[first]}"
        raise Problem(NO_ADDRESS_LEFT, text)

    def _of_family(self, pool: Pool, family: int) -> Iterator[str]:
        ips = (str(ip) for one in pool.ranges if one.first.version == family for ip in one)
        freed = (ip for ip in self._freed if family_of(ip) == family and self._rules.pool_of(ip) == pool)
        return chain((ip for ip in ips if ip not in self._freed), freed)

    def _rests(self, ip: str, service: Service) -> bool:
        return self._resting.get(ip, service.key) != service.key

    def _pools_for(self, service: Service) -> list[Pool]:
        """Raises: Problem."""
        named = service.annotations.get(POOL, "")
        if not named:
            return [
                pool
                for pool in self._rules.pools
                if pool.auto_assign and self._rules.serves(pool, service.namespace)
            ]
        pool = next((pool for pool in self._rules.pools if pool.name == named), None)
        if pool is None:
            there = ", ".join(pool.name for pool in self._rules.pools)
            raise Problem(BAD_REQUEST, f"the annotation {POOL} is {named!r}: there is no such pool, but {there}")
        if not self._rules.serves(pool, service.namespace):
            raise Problem(BAD_REQUEST, f"pool {named!r} is not for namespace {service.namespace}")
        return [pool]

    def _check_limit(self) -> None:
        """Raises: Problem."""
        if sum(bool(services) for services in self._held.values()) >= self._rules.addresses_max:
            raise Problem(NO_ADDRESS_LEFT, f"all {self._rules.addresses_max} addresses that there may be are given")

    def _check_asked(self, ip: str) -> None:
        """Raises: Problem."""
        if ip in self._unasked:
            raise Problem(NOT_ASKED, f"{ip} can't be asked for on the network: {self._unasked[ip]}")

    def _vhid(self, ip: str) -> int | None:
        if ip not in self._vhids:
            used = (vhid for other, vhid in self._vhids.items() if self._held.get(other))
            vhid = free_vhid(ip, used, self._rules.vhids)
            if vhid is None:
                return None
            self._vhids[ip] = vhid
        return self._vhids[ip]

    def _misfits(self, service: Service, ip: str) -> Iterator[Problem]:
        """What would keep it from being given this address now."""
        pool, named = self._rules.pool_of(ip), service.annotations.get(POOL, "")
        if pool is None:
            yield Problem(POOL_GONE, f"{ip} is in no pool any more, and is not served")
        elif named and pool.name != named:
            yield Problem(NO_LONGER_FITS, f"{ip} is kept, and is of pool {pool.name!r}, not {named!r}")
        elif not self._rules.serves(pool, service.namespace):
            yield Problem(NO_LONGER_FITS, f"{ip} is kept, and pool {pool.name!r} is not for its namespace any more")
        for other in self._held.get(ip, ()):
            if other.key != service.key and (problem := share_problem(service, other)):
                yield Problem(NO_LONGER_FITS, f"{ip} is kept, and is that of Service {other} too: {problem}")


def _requested(service: Service) -> dict[int, str]:
    """The addresses that it asks for, by family. Raises: Problem."""
    annotation = service.annotations.get(REQUESTED, "")
    text, where = (
        (annotation, f"the annotation {REQUESTED}") if annotation else (service.requested_ip, "loadBalancerIP")
    )
    found: dict[int, str] = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        address = parse_address(one)
        if address is None:
            raise Problem(BAD_REQUEST, f"{where} is {text[:100]!r}: give an address, or one of each family")
        if address.version in found or address.version not in service.families:
            raise Problem(BAD_REQUEST, f"{where} is {text[:100]!r}: give one address of each of its ipFamilies")
        found[address.version] = str(address)
    return found


def _served_by_others(service: Service, rules: Rules) -> Iterable[str]:
    """The addresses that its status has, where it is no Service of ours."""
    leaving = allocation_of(service, rules.class_)
    return [ip for ip in service.ingress if ip not in leaving]
