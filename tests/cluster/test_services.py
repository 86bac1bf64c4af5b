"""Services of type LoadBalancer with kube-proxy: docs/services.md, command by command, and who gets an address."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.cluster.harness import CHART, Cluster
from tests.cluster.services import WEB_PORT, Services, installed
from tests.cluster.workstation import Workstation
from tests.support.manual.page import claim
from tests.support.waits import SOON_S

INSTALL, TEST, EXPOSE, CURL, WHO = claim(
    "docs/services.md",
    "kubectl create namespace",
    "helm test",
    "kubectl expose",
    "curl",
    "kubectl get service web -o",
)
FIRST, STRANGER = "192.0.2.200", "10.77.0.200"
"""The first address of the page's pool, and here the client's own."""
KUBELET_PORT, NODE_PORT = 10250, 8022


@pytest.fixture(scope="module")
def services(cluster: Cluster, workstation: Workstation) -> Iterator[Services]:
    """Installed as the page says."""
    with installed(cluster, lambda: workstation.run([INSTALL])) as services:
        yield services


def test_the_first_five_minutes(services: Services, workstation: Workstation) -> None:
    printed = workstation.run([EXPOSE])
    [address] = services.addresses("web")
    assert address in printed
    assert address != STRANGER, "a machine has the first one"
    services.cluster.wait_for(lambda: services.node("web"), "the name of the node")
    with services.watch(address) as watch:
        assert services.node("web") == watch.wait_for_exactly_one(SOON_S)
    services.cluster.wait_for(lambda: services.is_open(address, WEB_PORT), "kube-proxy's rule")
    curl = replace(CURL, text=CURL.text.replace(FIRST, address))
    assert {*workstation.run([curl]).split()} & services.cluster.nodes.keys(), "the name of the pod's node"
    printed = workstation.run([WHO])
    assert services.node("web") in printed
    assert "CarpAssigned" in printed
    assert "CarpMaster" in printed
    assert services.get("web")["status"]["loadBalancer"]["ingress"] == [{"ip": address, "ipMode": "VIP"}]
    for kind in ("allocated", "held"):
        assert services.condition("web", kind)["status"] == "True"


def test_helm_test_makes_a_service_of_its_own(services: Services, workstation: Workstation) -> None:
    before = [service["metadata"]["name"] for service in services.cluster.get("services", "-A")]
    assert "Phase:          Succeeded" in workstation.run([TEST])
    assert [service["metadata"]["name"] for service in services.cluster.get("services", "-A")] == before


def test_a_deleted_services_address_is_gone(services: Services) -> None:
    with services.served("gone") as gone, services.watch(gone.address) as watch:
        watch.wait_for_exactly_one(SOON_S)
        services.ask(gone.address)
        services.delete("gone")
        watch.wait_for_holder(None, SOON_S)
    # The client knows the former holder's hardware address yet, and kube-proxy there its rule, for a second.
    services.cluster.wait_for(lambda: not services.is_open(gone.address, WEB_PORT), "its end")


def test_nothing_else_of_the_node_answers_there(services: Services) -> None:
    with services.served("closed") as closed, services.watch(closed.address) as watch:
        holder = watch.wait_for_exactly_one(SOON_S)
        own = f"10.77.0.1{holder.removeprefix('node')}"
        listening = services.cluster.nodes[holder].start(["python3", "-m", "http.server", str(NODE_PORT)])
        try:
            services.cluster.wait_for(partial(services.is_open, own, NODE_PORT), "the node's own server")
            assert services.is_open(own, KUBELET_PORT)
            assert not services.is_open(closed.address, NODE_PORT)
            assert not services.is_open(closed.address, KUBELET_PORT)
        finally:
            listening.kill()
        services.ask(closed.address)
        services.cluster.client.run(["ping", "-c", "1", "-W", "5", closed.address])


def test_of_two_services_that_request_one_address_the_first_has_it(services: Services) -> None:
    requested = {"annotations": {"carpsidecar.io/address": "10.77.0.240"}}
    with services.served("first", **requested) as first:
        try:
            services.make("second", **requested)
            services.cluster.wait_for(lambda: services.notes("second", "CarpAddressTaken"), "the event")
            assert first.address == "10.77.0.240"
            assert services.addresses("first") == ["10.77.0.240"]
            assert services.addresses("second") == []
            assert services.condition("second", "allocated")["reason"] == "AddressTaken"
            services.delete("first")
            services.cluster.wait_for(lambda: services.addresses("second") == ["10.77.0.240"], "the free one")
            services.ask("10.77.0.240")
        finally:
            services.delete("second")


def test_an_address_that_a_stranger_has_is_not_given(services: Services) -> None:
    mac = services.cluster.client.run(["cat", "/sys/class/net/eth0/address"]).strip()
    try:
        services.make("taken", annotations={"carpsidecar.io/address": STRANGER})
        services.cluster.wait_for(lambda: services.notes("taken", "CarpAddressTaken"), "the event")
        assert mac in services.notes("taken", "CarpAddressTaken")[0].lower()
        assert services.addresses("taken") == []
    finally:
        services.delete("taken")


def test_deleted_and_made_again_it_has_the_address_that_it_requests(services: Services) -> None:
    requested = {"annotations": {"carpsidecar.io/address": "10.77.0.241"}}
    for _ in range(20):
        with services.served("again", **requested) as again:
            assert again.address == "10.77.0.241"
    with services.served("again", **requested) as again:
        services.ask(again.address)


def test_other_ports_keep_the_address(services: Services) -> None:
    with services.served("ports") as ports:
        services.ask(ports.address)
        services.patch("ports", ports=[{"name": "web", "port": 8080, "targetPort": WEB_PORT, "protocol": "TCP"}])
        services.ask(ports.address, 8080)
        services.cluster.wait_for(
            lambda: not services.is_open(ports.address, WEB_PORT), "the end of the former port"
        )
        assert services.addresses("ports") == [ports.address]


def test_another_type_gives_the_address_back(services: Services) -> None:
    with services.served("type") as first, services.watch(first.address) as watch:
        watch.wait_for_exactly_one(SOON_S)
        services.patch("type", type="ClusterIP")
        watch.wait_for_holder(None, SOON_S)
        annotations = ("carpsidecar.io/allocation", "carpsidecar.io/node")
        services.cluster.wait_for(
            lambda: not services.get("type")["metadata"].get("annotations", {}).keys() & {*annotations},
            "the end of the annotations",
        )
        services.patch("type", type="LoadBalancer")
        services.cluster.wait_for(lambda: services.addresses("type"), "an address again")
        services.ask(services.addresses("type")[0])


def test_another_class_is_not_ours(services: Services) -> None:
    try:
        services.make("other", loadBalancerClass="example.com/other")
        with services.served("ours", loadBalancerClass="carpsidecar.io/carp") as ours:
            services.ask(ours.address)
        assert services.get("other")["status"] == {"loadBalancer": {}}
    finally:
        services.delete("other")


def test_source_ranges_and_no_node_ports(services: Services) -> None:
    """kube-proxy's: it drops what comes from elsewhere."""
    ranges = {"loadBalancerSourceRanges": ["10.77.0.1/32"], "allocateLoadBalancerNodePorts": False}
    with services.served("ranges", **ranges) as ranged, services.watch(ranged.address) as watch:
        watch.wait_for_exactly_one(SOON_S)
        assert all("nodePort" not in port for port in services.get("ranges")["spec"]["ports"])
        services.cluster.wait_for(lambda: not services.is_open(ranged.address, WEB_PORT), "kube-proxy's rule")
        services.patch("ranges", loadBalancerSourceRanges=[f"{STRANGER}/32"])
        services.ask(ranged.address)


def test_a_pool_that_is_exhausted_is_reported_and_what_is_freed_is_given(services: Services) -> None:
    with services.served("before") as before:
        one = (
            "pools[0].name=default",
            "pools[0].addresses={10.77.0.200-10.77.0.249}",
            "pools[1].name=one",
            "pools[1].addresses={10.77.0.250}",
        )
        settings = [word for setting in one for word in ("--set", f"loadBalancer.{setting}")]
        services.cluster.helm("upgrade", "carp", str(CHART), "--reuse-values", *settings)
        services.cluster.wait_for_rollout()
        named = {"annotations": {"carpsidecar.io/pool": "one"}}
        with services.served("only", **named) as only:
            try:
                services.make("waits", **named)
                services.cluster.wait_for(lambda: services.notes("waits", "CarpNoAddressLeft"), "the event")
                assert services.addresses("waits") == []
                services.delete("only")
                services.cluster.wait_for(
                    lambda: services.addresses("waits") == [only.address], "what is free again"
                )
                services.ask(only.address)
            finally:
                services.delete("waits")
        assert services.addresses("before") == [before.address]
