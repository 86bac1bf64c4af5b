"""What users of other implementations report: endpoints flap, allocators die, Services come and go by the hundred,
pools change, ours is updated. Nobody else's address moves, none is given twice, and nothing is left.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from carpsidecar.lab.commands import run
from carpsidecar.lab.probe import Probe
from tests.cluster import flapping
from tests.cluster.harness import CHART, HANDOVER_S, NAMESPACE, VIP, Cluster
from tests.cluster.measure import record
from tests.cluster.processes import ours
from tests.cluster.services import Services, installed
from tests.support.waits import SOON_S

FLAPS_FOR_S = float(os.environ.get("CARPSIDECAR_FLAPPING_S", "15"))
LOOPS = int(os.environ.get("CARPSIDECAR_CHURN_LOOPS", "3"))
MANY = int(os.environ.get("CARPSIDECAR_CHURN_SERVICES", "100"))
POOL = "loadBalancer.pools[0].addresses={10.77.0.110-10.77.0.199,10.77.0.201-10.77.0.250}"
LOWER, UPPER = "loadBalancer.pools[0]", "loadBalancer.pools[1]"


@pytest.fixture(scope="module")
def services(cluster: Cluster) -> Iterator[Services]:
    with installed(
        cluster, lambda: cluster.install("loadBalancer.enabled=true", "loadBalancer.rebalanceDelay=5", POOL)
    ) as services:
        cluster.wait_for_rollout()
        yield services


def slice_of(services: Services, service: str) -> dict[str, Any]:
    """The pods of `web`, one a node, behind a Service that selects none."""
    pods = services.cluster.get("pods", "-n", "default", "-l", "app=web")
    running = {pod["spec"]["nodeName"]: pod["status"]["podIP"] for pod in pods if "podIP" in pod["status"]}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "web", "port": 80, "protocol": "TCP"}, {"name": "lab", "port": 7007, "protocol": "UDP"}],
        "endpoints": [{"addresses": [ip], "nodeName": node} for node, ip in sorted(running.items())],
    }


@pytest.fixture
def flapping_one(services: Services) -> Iterator[tuple[str, dict[str, Any]]]:
    """A Local Service's address, and its EndpointSlice."""
    services.make("flaps", selector=None, externalTrafficPolicy="Local")
    try:
        found = slice_of(services, "flaps")
        services.cluster.kubectl("create", "--validate=false", "-f", "-", text=json.dumps(found))
        services.cluster.wait_for(lambda: services.addresses("flaps"), "an address")
        yield services.addresses("flaps")[0], found
    finally:
        services.delete("flaps")
        services.cluster.kubectl("delete", "endpointslice", "flaps-1", "--ignore-not-found")


def test_a_pod_that_stays_has_the_address_while_others_flap(
    services: Services, flapping_one: tuple[str, dict[str, Any]]
) -> None:
    address, slice_ = flapping_one
    with services.watch(address) as watch, Probe(services.cluster.client, address) as probe:
        watch.wait_for_exactly_one(SOON_S)
        flapping.flap(slice_, 3, steady="node2")
        watch.wait_until(lambda holders: holders == {"node2"}, SOON_S, "node2, where a pod stays")
        probe.wait_until_answered_by("node2", SOON_S)
        since = time.monotonic()
        changes = flapping.flap(slice_, FLAPS_FOR_S, steady="node2")
        outage_s = probe.longest_outage_s(since)
        assert changes > FLAPS_FOR_S
        assert [one.node for one in watch.changes if one.at > since] == []
    record("endpoints flap beside one that stays", without_answer=outage_s)
    assert outage_s < 1


def test_never_two_have_the_address_while_all_endpoints_flap(
    services: Services, flapping_one: tuple[str, dict[str, Any]]
) -> None:
    address, slice_ = flapping_one
    with services.watch(address) as watch:
        watch.wait_for_exactly_one(SOON_S)
        since = time.monotonic()
        flapping.flap(slice_, FLAPS_FOR_S)
        longest_s = max((one.duration_s for one in watch.overlaps(since)), default=0.0)
        flapping.flap(slice_, 1, steady="node3")
        watch.wait_until(lambda holders: len(holders) == 1, SOON_S, "one, when it is over")
    record("all endpoints flap", two_holders=longest_s)
    assert longest_s < HANDOVER_S


def test_allocators_die_and_no_address_changes_nor_is_given_twice(services: Services) -> None:
    given: dict[str, list[str]] = {}
    names = [[f"round{number}-{which}" for which in range(3)] for number in range(4)]
    try:
        for round_ in names:
            for name in round_:
                services.make(name)
            kill_allocator(services)
            for name in round_:
                services.cluster.wait_for(partial(services.addresses, name), f"{name}'s address")
                given[name] = services.addresses(name)
        assert {name: services.addresses(name) for name in given} == given
        assert len({ip for [ip] in given.values()}) == len(given)
    finally:
        services.delete(*(name for round_ in names for name in round_))
        services.cluster.wait_for_rollout()


def kill_allocator(services: Services) -> None:
    """The reporter of whoever has the Lease, and its engine's pod is replaced."""
    leases = services.cluster.get("leases", "-n", NAMESPACE)
    [lease] = [one for one in leases if one["metadata"]["name"].startswith("carpsidecar-services-")]
    pod = lease["spec"].get("holderIdentity", "").partition("_")[0]
    if pod:
        services.cluster.kubectl(
            "delete", "pod", "-n", NAMESPACE, pod, "--force", "--grace-period=0", "--wait=false", check=False
        )


def test_one_that_is_deleted_while_its_holder_is_cut_off_is_gone_when_that_is_back(
    services: Services,
) -> None:
    requested = {"annotations": {"carpsidecar.io/address": "10.77.0.245"}}
    with ExitStack() as stack:
        before = stack.enter_context(services.served("before", **requested))
        watch = stack.enter_context(services.watch(before.address))
        lost = watch.wait_for_exactly_one(SOON_S)
        machine = services.cluster.nodes[lost]
        machine.cut_off()
        stack.callback(machine.rejoin)
        services.delete("before")
        after = stack.enter_context(services.served("after", **requested))
        assert after.address == before.address
        watch.wait_until(lambda holders: bool(holders - {lost}), SOON_S, "another node")
        machine.rejoin()
        since = time.monotonic()
        services.cluster.wait_for(lambda: len(watch.holders_now()) == 1, "one holder")
        services.cluster.wait_for(lambda: services.node("after") in watch.holders_now(), "the annotation")
        record("deleted while its holder was cut off", two_holders=watch.two_holders_s(since))
    with services.watch(before.address) as watch:
        watch.wait_for_holder(None, SOON_S)


@pytest.mark.timeout(900)
def test_a_hundred_services_made_and_deleted_in_a_loop_leave_nothing(services: Services) -> None:
    names = [f"churn{number:03}" for number in range(MANY)]
    with ExitStack() as stack:
        stack.callback(services.delete, *names)
        stays = stack.enter_context(services.served("stays"))
        watch = stack.enter_context(services.watch(stays.address))
        watch.wait_for_exactly_one(SOON_S)
        watch.wait_until_quiet(7, SOON_S)
        since = time.monotonic()
        memory_kb = []
        for _ in range(LOOPS):
            made = [manifest(name) for name in names]
            listed = {"apiVersion": "v1", "kind": "List", "items": made}
            services.cluster.kubectl("create", "--validate=false", "-f", "-", text=json.dumps(listed))
            services.cluster.wait_for(lambda: held_by_all(services) == MANY + 1, "all addresses on the nodes", 240)
            services.delete(*names)
            services.cluster.wait_for(lambda: held_by_all(services) == 1, "the end of all but one", 240)
            memory_kb.append(max(memory_of(services, node) for node in services.cluster.nodes))
        assert [one for one in watch.changes if one.at > since] == []
        for node in services.cluster.nodes:
            services.cluster.wait_for(partial(closed_only, services, node, stays.address), f"rules of {node}")
            assert groups_of(services, node) == 1
    record("a hundred Services in a loop", memory_first_mb=memory_kb[0] / 1024, memory_last_mb=memory_kb[-1] / 1024)
    assert memory_kb[-1] < memory_kb[0] + 4096 + 1024 * LOOPS, memory_kb


def manifest(name: str) -> dict[str, Any]:
    ports = [{"name": "web", "port": 80, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "selector": {"app": "web"},
            "ports": ports,
        },
    }


def held_by_all(services: Services) -> int:
    """How many addresses of the pool the nodes hold, all together."""
    listed = (node.run(["ip", "-4", "-o", "addr"]).splitlines() for node in services.cluster.nodes.values())
    return sum(" 10.77." in line and "/32" in line for lines in listed for line in lines)


def closed_only(services: Services, node: str, address: str) -> bool:
    """Whether the node's own ports are closed at this address and at no other."""
    tables = json.loads(services.cluster.nodes[node].run(["nft", "-j", "list", "ruleset"]))["nftables"]
    sets = [one["set"] for one in tables if one.get("set", {}).get("name") == "closed4"]
    return [element["elem"]["val"] for one in sets for element in one.get("elem", [])] == [address]


def groups_of(services: Services, node: str) -> int:
    pod = services.cluster.pod_on(node)["metadata"]["name"]
    inside = ("exec", "-n", NAMESPACE, pod, "-c", "carpsidecar", "--")
    said = services.cluster.kubectl(*inside, "carpsidecar", "status", "--json", check=False)
    return len(json.loads(said)["groups"])


def memory_of(services: Services, node: str) -> int:
    """Of our processes there, in kB."""
    pids = [pid for command in ("run", "reporter") for pid in ours(services.cluster.nodes[node].ns, command)]
    lines = run(["cat", *(f"/proc/{pid}/smaps_rollup" for pid in pids)]).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def test_an_update_of_ours_keeps_every_address_served(services: Services) -> None:
    with ExitStack() as stack:
        served = [stack.enter_context(services.served(f"rolled{number}")) for number in range(3)]
        watches = [stack.enter_context(services.watch(one.address)) for one in served]
        probes = [stack.enter_context(Probe(services.cluster.client, one.address)) for one in served]
        for probe in probes:
            probe.wait_until_answered(SOON_S)
        since = time.monotonic()
        services.cluster.helm("upgrade", "carp", str(CHART), "--reuse-values", "--set", "podAnnotations.rolled=yes")
        services.cluster.wait_for_rollout()
        for watch in watches:
            watch.wait_until_quiet(6, SOON_S)
        outage_s = max(probe.longest_outage_s(since) for probe in probes)
        overlaps = [one.duration_s for watch in watches for one in watch.overlaps(since)]
        two_s = max(overlaps, default=0.0)
    record("Services: rolling update", without_answer=outage_s, two_holders=two_s)
    assert two_s < HANDOVER_S
    assert outage_s < 1


@pytest.mark.timeout(400)
def test_pools_are_renamed_split_and_shrunk_and_what_is_held_stays(services: Services) -> None:
    with (
        services.served("low") as low,
        services.served("high", annotations={"carpsidecar.io/address": "10.77.0.248"}) as high,
    ):
        lower = (f"{LOWER}.name=lower", f"{LOWER}.addresses={{10.77.0.110-10.77.0.199}}")
        upgrade(services, *lower, f"{UPPER}.name=upper", f"{UPPER}.addresses={{10.77.0.240-10.77.0.250}}")
        services.ask(low.address)
        services.ask(high.address)
        assert (services.addresses("low"), services.addresses("high")) == ([low.address], [high.address])
        upgrade(services, *lower, f"{UPPER}.name=upper", f"{UPPER}.addresses={{10.77.0.240-10.77.0.245}}")
        services.cluster.wait_for(
            lambda: services.condition("high", "allocated").get("reason") == "PoolGone", "what no longer fits"
        )
        assert services.notes("high", "CarpPoolGone")
        assert services.addresses("high") == [high.address]
        services.ask(low.address)
    upgrade(services, POOL)


def upgrade(services: Services, *values: str) -> None:
    services.cluster.install("loadBalancer.enabled=true", "loadBalancer.rebalanceDelay=5", *values)
    services.cluster.wait_for_rollout()


@pytest.mark.timeout(400)
def test_switched_off_the_services_have_no_address_any_more(services: Services) -> None:
    with services.served("off") as off, services.watch(off.address) as watch:
        watch.wait_for_exactly_one(SOON_S)
        # Not by `install`: Helm validates what hooks make, whatever it is asked for.
        off_now = ("--set", "loadBalancer.enabled=false", "--set", f"vip={VIP}")
        services.cluster.helm("upgrade", "carp", str(CHART), "--reuse-values", *off_now)
        services.cluster.wait_for(lambda: not services.addresses("off"), "the end of the address")
        found = services.get("off")
        assert not [name for name in found["metadata"].get("annotations", {}) if name.startswith("carpsidecar.io/")]
        assert not found["status"].get("conditions")
        services.cluster.wait_for_rollout()
        watch.wait_for_holder(None, SOON_S)
        services.cluster.install("loadBalancer.enabled=true", POOL)
        services.cluster.wait_for(lambda: services.addresses("off"), "an address again")
        services.cluster.uninstall()
        assert services.get("off")["status"] == {"loadBalancer": {}}
