"""The allocator: brings what Services have to what the plan says, one node at a time.

Every node makes the plan, and so sees whether there is something to do; only who has the Lease does it. Who takes
it over lists all Services first, and each write holds only for the version of the Service that it was made for.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from logging import INFO, WARNING

from carpsidecar.ipc.messages import ProbeAddress, Result, ToEngine
from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.client import Api, ApiError
from carpsidecar.reporter.kubernetes.pod_status import is_alive
from carpsidecar.reporter.kubernetes.ratelimit import Backoff, LogLimiter
from carpsidecar.reporter.kubernetes.recorder import EventRecorder
from carpsidecar.reporter.kubernetes.services.allocation import ADDRESS_RESTS, plan
from carpsidecar.reporter.kubernetes.services.cache import ServiceCache
from carpsidecar.reporter.kubernetes.services.events import REASONS, about
from carpsidecar.reporter.kubernetes.services.freed import REST_S, Freed
from carpsidecar.reporter.kubernetes.services.holdings import holders
from carpsidecar.reporter.kubernetes.services.lease import REQUEST_S, Election
from carpsidecar.reporter.kubernetes.services.objects import ALLOCATED, Key, Service
from carpsidecar.reporter.kubernetes.services.order import order_of
from carpsidecar.reporter.kubernetes.services.outcome import Outcome, is_done, patch
from carpsidecar.reporter.kubernetes.services.requests import get_service, list_services, patch_status
from carpsidecar.status.stats import ApiStats

BATCH = 32
PROBE_S = 3.0
TAKEN_S = 3.0
"""Who answers for an address is asked again after this: before the Lease of whoever knows it runs out."""
LEAVING_S, LEFT_AGAIN_S = 10.0, 0.5
"""So long our own nodes may take to let go of an address, which is asked for again after this meanwhile."""
ASK_AGAIN_S = 2.0
"""One that could not be asked for."""
GRACE_S = 2.0
"""What a holder who lives gets to do it himself."""
TURN_S = 0.3
"""Between the turns of those who might follow him."""
OBSERVED_EVERY_S = 60.0
"""A node that does nothing sees who allocates this often at most, and only after something was allocated."""
STAND_BACK_S = 30.0
"""A node that is in the network of no pool leaves it to the others for so long."""
_IN_USE, _NO_NETWORK = "in use", "no network of this node"
"""How the engine's reasons begin."""
_REFUSED_MAX = 4096

Request = Callable[[ToEngine, float], "Future[Result]"]
_Work = tuple[Service, Outcome]


class Allocator:
    def __init__(
        self,
        cache: Cache,
        services: ServiceCache,
        api: Api,
        stats: ApiStats,
        election: Election,
        request: Request,
        recorder: EventRecorder,
    ) -> None:
        self._cache = cache
        self._services = services
        self._api = api
        self._stats = stats
        self._election = election
        self._request = request
        self._recorder = recorder
        self._taken: dict[str, tuple[str, float]] = {}
        """What answers for an address, and until when that counts."""
        self._freed = Freed()
        self._unasked: dict[str, tuple[str, float]] = {}
        """Why an address could not be asked for, and until when that counts."""
        self._clear: set[str] = set()
        """Addresses that nobody answered for, and that are to be given now."""
        self._refused: dict[Key, Backoff] = {}
        """Services that the API does not let us write."""
        self._waiting_since: float | None = None
        self._observed_at = float("-inf")
        self._is_outdated = False
        """Whether somebody else has allocated since then."""
        self._stands_back_until = float("-inf")
        self._log_limiter = LogLimiter()

    def reconcile(self, _: tuple[str, ...]) -> float | None:
        """Do a part of it. Raises: ApiError."""
        with self._cache.lock:
            if self._cache.stopping or not self._services.is_listed or self._cache.own is None:
                return None
            now = time.monotonic()
            work = self._work(now)
            if not work:
                self._waiting_since = None
            is_new = self._waiting_since is None
            wait_s = self._turn_in_s(now) if work else 0.0
        if not work:
            self._leave_to_others(now)
            if self._is_outdated and now >= self._observed_at + OBSERVED_EVERY_S:
                self._observe(now)
            return self._due_in_s(now)
        if wait_s > 0:
            if is_new:
                self._observe(now)
            return wait_s
        wait_s = self._election.acquire()
        if wait_s > 0:
            return wait_s
        if self._election.must_list:
            self._list()
            return 0.0
        work = work[:BATCH]
        self._probe([ip for _, outcome in work for ip in outcome.new])
        for service, outcome in work:
            if self._election.has_left_s() < 2 * REQUEST_S:
                return 0.0
            if self._clear >= set(outcome.new):
                self._write(service, outcome)
        self._clear.clear()
        return 0.0

    def _observe(self, now: float) -> None:
        """So that a holder who is gone need not be waited for later on. Raises: ApiError."""
        self._is_outdated = False
        self._observed_at = now
        self._election.observe()

    def _leave_to_others(self, now: float) -> None:
        """Where it is in the network of no pool, and that has been reported. Raises: ApiError."""
        if any(text.startswith(_NO_NETWORK) for text, _ in self._unasked.values()) and self._election.is_ours:
            self._stands_back_until = now + STAND_BACK_S
            self._election.release()

    def release(self) -> None:
        """Raises: ApiError."""
        self._election.release()

    def _work(self, now: float) -> list[_Work]:
        """What there is to do, what frees addresses first."""
        self._taken = {ip: taken for ip, taken in self._taken.items() if taken[1] > now}
        self._unasked = {ip: unasked for ip, unasked in self._unasked.items() if unasked[1] > now}
        unavailable = {ip: text for ip, (text, _) in self._taken.items()}
        unavailable |= {
            ip: f"is an address of node {pod.node}" for pod in self._cache.carp_pods for ip in pod.host_ips
        }
        unavailable |= {
            ip.partition("/")[0]: f"is the vip of group {group.group}"
            for group in self._cache.groups
            for ip in group.addresses
        }
        services, rules = self._services.services.all(), self._services.rules
        self._is_outdated |= self._freed.update(holders(services, rules), now) and not self._election.is_ours
        unasked = {ip: text for ip, (text, _) in self._unasked.items()}
        freed, resting = self._freed.since(float("inf"), now), self._freed.since(REST_S, now)
        found = plan(services, rules, unavailable, unasked, freed, resting)
        work = []
        for key, outcome in found.items():
            service = self._services.services.get(key)
            is_due = key not in self._refused or self._refused[key].due_at <= now
            if service is not None and is_due and not is_done(service, outcome):
                work.append((service, outcome))
        return sorted(work, key=lambda one: one[1].condition is not None)

    def _due_in_s(self, now: float) -> float | None:
        due = [until for _, until in (*self._taken.values(), *self._unasked.values())]
        due += [backoff.due_at for key, backoff in self._refused.items() if self._services.services.get(key)]
        if (rested_at := self._freed.rested_at(now)) is not None:
            due.append(rested_at)
        if self._is_outdated:
            due.append(self._observed_at + OBSERVED_EVERY_S)
        return max(0.05, min(due) - now) if due else None

    def _turn_in_s(self, now: float) -> float:
        """Seconds until it is ours to do what the holder has not done by then."""
        if self._stands_back_until > now:
            return self._stands_back_until - now
        if self._election.is_ours:
            return 0.0
        self._waiting_since = self._waiting_since or now
        alive = {pod.name for pod in self._cache.carp_pods if is_alive(pod)}
        own = self._cache.settings.pod_name
        number = order_of("allocator", frozenset({own, *alive})).index(own)
        grace_s = GRACE_S if self._election.holder.partition("_")[0] in alive - {own} else 0.0
        return self._waiting_since + grace_s + number * TURN_S - now

    def _list(self) -> None:
        """Raises: ApiError."""
        services = list_services(self._api)
        with self._cache.lock:
            for one in services:
                self._services.services.put(one)
        self._election.must_list = False
        log(INFO, "allocator", "this node gives Services their addresses from now on")

    def _probe(self, addresses: Sequence[str]) -> None:
        """Ask the network who has them."""
        futures = {
            ip: self._request(ProbeAddress(address=ip), PROBE_S) for ip in addresses if ip not in self._clear
        }
        for ip, future in futures.items():
            try:
                result = future.result(2 * PROBE_S)
            except Exception as error:
                self._unasked[ip] = str(error) or type(error).__name__, time.monotonic() + ASK_AGAIN_S
                continue
            if result.outcome == "done":
                self._clear.add(ip)
            elif result.outcome == "superseded" or not result.reason.startswith(_IN_USE):
                self._unasked[ip] = result.reason or "superseded", time.monotonic() + ASK_AGAIN_S
            else:
                now = time.monotonic()
                again_s = LEFT_AGAIN_S if ip in self._freed.since(LEAVING_S, now) else TAKEN_S
                self._taken[ip] = f"is {result.reason}", now + again_s
                if self._log_limiter.due(time.monotonic(), (ip, result.reason)):
                    log(WARNING, "address_taken", f"{ip} is not given to a Service: {result.reason}")

    def _write(self, service: Service, outcome: Outcome) -> None:
        """Raises: ApiError: where no other write would fare better."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            after = patch_status(self._api, self._stats, service, patch(service, outcome, now), REQUEST_S)
            if not is_done(after, outcome):
                raise ApiError("other", "it was not changed as requested: does a webhook change it back?")
        except ApiError as error:
            if error.of_all:
                raise
            self._failed(service, error)
            return
        with self._cache.lock:
            self._services.services.put(after)
            for ip in outcome.addresses:
                self._freed.given(ip, service)
            self._refused.pop(service.key, None)
            self._report(service, outcome)

    def _failed(self, service: Service, error: ApiError) -> None:
        """Raises: ApiError."""
        now = time.monotonic()
        if error.status in (404, 409):
            after = get_service(self._api, service)
            with self._cache.lock:
                if after is None:
                    self._services.services.remove(service)
                else:
                    self._services.services.put(after)
            return
        if len(self._refused) >= _REFUSED_MAX:
            self._refused.clear()
        self._refused.setdefault(service.key, Backoff(first_s=1.0)).failed(now)
        if self._log_limiter.due(now, (service.key, error.status)):
            log(WARNING, "write_failed", f"Service {service}: {error}", failure=error.failure)

    def _report(self, service: Service, outcome: Outcome) -> None:
        condition = outcome.condition
        if condition is None:
            log(INFO, "service_released", f"Service {service} has no address of ours any more")
        elif service.conditions.get(ALLOCATED) != condition:
            is_good = condition.status == "True" or condition.reason == ADDRESS_RESTS
            log(INFO if is_good else WARNING, "service_allocated", f"Service {service}: {condition.message}")
            if (event := REASONS.get(condition.reason)) is not None:
                self._recorder.event(event, condition.message, about=about(service))
