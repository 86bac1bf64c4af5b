"""The addresses of Services move: endpoints, a lost node, a cordon, and a node lost while the API is stopped."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.probe import Probe
from tests.cluster.harness import HANDOVER_S, Cluster, api_stopped
from tests.cluster.measure import record
from tests.cluster.services import Served, Services, installed
from tests.support.waits import SOON_S

NAMES = [f"spread{number}" for number in range(6)]


@pytest.fixture(scope="module")
def services(cluster: Cluster) -> Iterator[Services]:
    pool = "loadBalancer.pools[0].addresses={10.77.0.210-10.77.0.250}"
    # -1: what moves, moves for what the test does.
    with installed(
        cluster, lambda: cluster.install("loadBalancer.enabled=true", "loadBalancer.rebalanceDelay=-1", pool)
    ) as services:
        cluster.wait_for_rollout()
        yield services


class Spread:
    """Some Services, and who holds their addresses."""

    def __init__(self, services: Services, stack: ExitStack) -> None:
        self.services = services
        self.served: dict[str, Served] = {}
        self.watches: dict[str, HolderWatch] = {}
        for name in NAMES:
            self.served[name] = stack.enter_context(services.served(name))
            self.watches[name] = stack.enter_context(services.watch(self.served[name].address))

    def settled(self) -> dict[str, str]:
        """The node of each, when none has moved for a while."""
        for watch in self.watches.values():
            watch.wait_until_quiet(2, SOON_S)
        return {name: watch.wait_for_exactly_one(SOON_S) for name, watch in self.watches.items()}

    def wait_until_moved_from(self, node: str) -> dict[str, str]:
        """Wait until another node holds each address that this one held; the other's name, by Service."""
        for watch in self.watches.values():
            watch.wait_until(lambda holders: bool(holders - {node}), SOON_S, "a holder elsewhere")
        return {name: next(iter(watch.holders_now() - {node})) for name, watch in self.watches.items()}

    def moved_since(self, since: float, lost: str = "") -> set[str]:
        """The Services whose address has changed hands; what a node does that hears nobody does not count."""
        return {
            name
            for name, watch in self.watches.items()
            if any(one.at > since and one.node != lost for one in watch.changes)
        }


@contextmanager
def asked(services: Services, served: Served) -> Iterator[Probe]:
    """While the client asks it without a pause."""
    with Probe(services.cluster.client, served.address) as probe:
        probe.wait_until_answered(SOON_S)
        yield probe


@pytest.fixture
def spread(services: Services) -> Iterator[Spread]:
    with ExitStack() as stack:
        yield Spread(services, stack)


def test_local_follows_the_endpoints(services: Services) -> None:
    services.place_pods(["node1"])
    try:
        with (
            services.served("local", externalTrafficPolicy="Local") as local,
            services.watch(local.address) as watch,
        ):
            watch.wait_for_holder("node1", SOON_S)
            assert services.ask(local.address) == ("node1", "10.77.0.200"), "the client's own address is seen"
            # kube-proxy's, for balancers of other kinds: ours leaves it open.
            port = services.get("local")["spec"]["healthCheckNodePort"]
            services.cluster.wait_for(lambda: [health(services, n, port) for n in (1, 2)] == ["200", "503"], "it")
            services.place_pods(["node2"])
            watch.wait_until(lambda holders: holders == {"node2"}, SOON_S, "node2, where the pod is now")
            services.cluster.wait_for(lambda: services.node("local") == "node2", "the annotation")
            assert services.ask(local.address) == ("node2", "10.77.0.200")
            services.cluster.kubectl("scale", "deployment", "web", "--replicas=0")
            watch.wait_for_holder(None, SOON_S)
            services.cluster.wait_for(
                lambda: services.condition("local", "held").get("status") == "False", "the condition"
            )
    finally:
        services.place_pods(["node1", "node2", "node3"])


def health(services: Services, node: int, port: int) -> str:
    """What the client is told at a node's own address, by HTTP's status."""
    url = f"http://10.77.0.1{node}:{port}/"
    return services.cluster.client.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "5", url])


def test_of_a_lost_node_only_its_addresses_move(spread: Spread) -> None:
    services = spread.services
    before = spread.settled()
    lost = before[NAMES[0]]
    services.place_pods(sorted(services.cluster.nodes.keys() - {lost}))
    try:
        with asked(services, spread.served[NAMES[0]]) as probe:
            since = time.monotonic()
            services.cluster.nodes[lost].cut_off()
            try:
                spread.wait_until_moved_from(lost)
                probe.wait_until_answered(SOON_S)
                outage_s = probe.longest_outage_s(since)
                moved = spread.moved_since(since, lost)
                services.cluster.wait_for(lambda: services.node(NAMES[0]) not in ("", lost), "the annotation")
            finally:
                services.cluster.nodes[lost].rejoin()
        record("Service's node lost", without_answer=outage_s, addresses_moved=len(moved))
        assert moved == {name for name, node in before.items() if node == lost}
        assert outage_s < 6
        assert spread.settled().keys() == before.keys(), "each has one holder"
    finally:
        services.place_pods(sorted(services.cluster.nodes))


def test_the_addresses_of_a_cordoned_node_leave_without_a_gap(spread: Spread) -> None:
    services = spread.services
    before = spread.settled()
    cordoned = before[NAMES[0]]
    with asked(services, spread.served[NAMES[0]]) as probe:
        since = time.monotonic()
        services.cluster.kubectl("cordon", cordoned)
        try:
            spread.wait_until_moved_from(cordoned)
            assert cordoned not in spread.settled().values()
            outage_s = probe.longest_outage_s(since)
            moved = spread.moved_since(since)
        finally:
            services.cluster.kubectl("uncordon", cordoned)
    record("Service's node cordoned", without_answer=outage_s, addresses_moved=len(moved))
    assert moved == {name for name, node in before.items() if node == cordoned}
    assert all(watch.two_holders_s(since) < HANDOVER_S for watch in spread.watches.values())
    assert outage_s < 1


def test_the_addresses_of_nodes_that_are_excluded_move_at_once(spread: Spread) -> None:
    services = spread.services
    before = spread.settled()
    label = "node.kubernetes.io/exclude-from-external-load-balancers"
    excluded = sorted(services.cluster.nodes)[:2]
    since = time.monotonic()
    services.cluster.kubectl("label", "node", *excluded, f"{label}=")
    try:
        for node in excluded:
            spread.wait_until_moved_from(node)
        assert set(spread.settled().values()) == {"node3"}
        assert spread.moved_since(since) == {name for name, node in before.items() if node != "node3"}
    finally:
        services.cluster.kubectl("label", "node", *excluded, f"{label}-")


def test_a_node_that_is_lost_while_the_api_is_stopped_loses_its_addresses(spread: Spread) -> None:
    services = spread.services
    before = spread.settled()
    lost = before[NAMES[0]]
    services.place_pods(sorted(services.cluster.nodes.keys() - {lost}))
    try:
        with asked(services, spread.served[NAMES[0]]) as probe, api_stopped():
            since = time.monotonic()
            services.cluster.nodes[lost].cut_off()
            try:
                after = spread.wait_until_moved_from(lost)
                probe.wait_until_answered(SOON_S)
                outage_s = probe.longest_outage_s(since)
            finally:
                services.cluster.nodes[lost].rejoin()
        record("Service's node lost while the API is stopped", without_answer=outage_s)
        assert outage_s < 6
        assert {name: after[name] for name, node in before.items() if node != lost} == {
            name: node for name, node in before.items() if node != lost
        }
        holder = spread.settled()[NAMES[0]]
        services.cluster.wait_for(lambda: services.node(NAMES[0]) == holder, "the annotation", 120)
    finally:
        services.place_pods(sorted(services.cluster.nodes))
