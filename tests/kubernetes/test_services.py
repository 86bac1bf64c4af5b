"""Services of type LoadBalancer get their addresses, keep them, and say who holds them: seen by their users."""

import json
import time
from typing import Any

import pytest

from carpsidecar.ipc.settings import LoadBalancerPool
from tests.kubernetes.scene import Scene
from tests.kubernetes.services import POOL, Engine, Services, addresses_of, annotation, condition
from tests.support.waits import wait_until

TWO = LoadBalancerPool(name="default", addresses=["192.0.2.200-192.0.2.203", "2001:db8::1-2001:db8::9"])
ONE = LoadBalancerPool(name="default", addresses=["192.0.2.200"])


def test_a_service_gets_an_address_and_each_node_is_to_take_part_for_it(scene: Scene) -> None:
    services = Services(scene)
    nodes = [services.node(1), services.node(2)]
    services.create()
    assert services.wait_address() == ["192.0.2.200"]
    service = services.read()
    assert service["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.200", "ipMode": "VIP"}]
    [(ip, vhid)] = json.loads(annotation(service, "allocation") or "").items()
    assert (condition(service, "allocated") or {})["status"] == "True"
    assert (ip, vhid in range(1000, 2000)) == ("192.0.2.200", True)
    asked = [node.wait_asked("192.0.2.200") for node in nodes]
    assert [(one.vhid, one.services, one.eligible) for one in asked] == [
        (vhid, [f"{scene.namespace}/web"], True)
    ] * 2
    wait_until(lambda: {node.wait_asked(ip).advskew for node in nodes} == {0, 4}, "they have an order")
    assert sum(node.engine.probed.count("192.0.2.200") for node in nodes) == 1
    scene_event(scene, "CarpAssigned", "192.0.2.200")


def scene_event(scene: Scene, reason: str, text: str = "", name: str = "web") -> None:
    event = scene.wait_event(reason, text, timeout_s=20.0)
    assert (event["regarding"]["kind"], event["regarding"]["name"]) == ("Service", name)


def test_a_deleted_service_leaves_nothing_and_moves_no_other(scene: Scene) -> None:
    services = Services(scene)
    node = services.node()
    for name in ("web", "mail"):
        services.create(name)
    found = {name: services.wait_address(name)[0] for name in ("web", "mail")}
    before = node.wait_asked(found["mail"])
    node.wait_asked(found["web"])
    services.delete("web")
    wait_until(lambda: node.engine.addresses.keys() == {found["mail"]}, "the other one is left alone")
    assert node.engine.addresses[found["mail"]] is before
    assert services.wait_address("mail") == [found["mail"]]


@pytest.mark.parametrize("by", ["type", "class"])
def test_who_is_ours_no_more_loses_the_address_at_once_and_nothing_of_ours_stays(scene: Scene, by: str) -> None:
    services = Services(scene, ONE)
    node = services.node()
    services.create()
    services.wait_address()
    services.create("mail")
    services.wait_reason("mail", "NoAddressLeft")
    services.patch("web", {"spec": {"type": "ClusterIP", "loadBalancerClass": None}})
    if by == "class":
        services.patch("web", {"spec": {"type": "LoadBalancer", "loadBalancerClass": "other.io/lb"}})
    web = services.wait(
        "web", lambda one: not one["status"].get("conditions") and not annotation(one, "allocation")
    )
    assert addresses_of(web) == []
    assert services.wait_address("mail") == ["192.0.2.200"]
    wait_until(lambda: node.wait_asked("192.0.2.200").services == [f"{scene.namespace}/mail"], "it is the other's")
    services.delete("mail")
    if by == "type":
        services.patch("web", {"spec": {"type": "LoadBalancer", "loadBalancerClass": services.settings.class_}})
        assert services.wait_address("web") == ["192.0.2.200"]


def test_both_families_by_the_services_policy(scene: Scene) -> None:
    services = Services(scene, TWO)
    services.node()
    services.create(ipFamilyPolicy="RequireDualStack")
    assert services.wait_address(count=2) == ["192.0.2.200", "2001:db8::1"]
    services.create("mail", ipFamilies=["IPv6"])
    assert services.wait_address("mail") == ["2001:db8::2"]
    services.patch("web", {"spec": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"], "clusterIPs": None}})
    assert services.wait_address() == ["192.0.2.200"]


def test_a_requested_address_is_given_and_changed_by_request(scene: Scene) -> None:
    services = Services(scene)
    services.node()
    services.create(annotations={"address": "192.0.2.202"})
    services.create("mail", loadBalancerIP="192.0.2.201")
    assert services.wait_address() == ["192.0.2.202"]
    assert services.wait_address("mail") == ["192.0.2.201"]
    services.annotate("web", address="192.0.2.203")
    services.wait("web", lambda one: addresses_of(one) == ["192.0.2.203"])
    services.annotate("mail", address="192.0.2.203")
    assert "is that of Service" in services.wait_reason("mail", "AddressTaken")
    assert addresses_of(services.read("mail")) == ["192.0.2.201"]


@pytest.mark.parametrize(
    ("annotations", "text"),
    [
        ({"address": "203.0.113.1"}, "is in no pool"),
        ({"address": "nonsense"}, "give an address"),
        ({"pool": "gold"}, "there is no such pool"),
    ],
)
def test_nonsense_is_reported_where_its_author_looks(scene: Scene, annotations: dict[str, str], text: str) -> None:
    services = Services(scene)
    services.node()
    services.create(annotations=annotations)
    assert text in services.wait_reason("web", "BadRequest")
    scene_event(scene, "CarpBadRequest", text)
    services.annotate("web", **dict.fromkeys(annotations))
    assert services.wait_address() == ["192.0.2.200"]


def test_an_address_that_a_stranger_answers_for_is_passed_over_and_one_that_is_requested_waited_for(
    scene: Scene,
) -> None:
    services = Services(scene)
    engine = Engine()
    engine.in_use = dict.fromkeys(("192.0.2.200", "192.0.2.203"), "in use by 02:00:00:00:00:66")
    services.node(engine=engine)
    services.create()
    services.create("mail", annotations={"address": "192.0.2.203"})
    assert services.wait_address() == ["192.0.2.201"]
    assert "in use by 02:00:00:00:00:66" in services.wait_reason("mail", "AddressTaken")
    scene_event(scene, "CarpAddressTaken", "192.0.2.203", "mail")
    engine.in_use.clear()
    assert services.wait_address("mail", timeout_s=40) == ["192.0.2.203"]


def test_services_with_one_key_share_an_address(scene: Scene) -> None:
    services = Services(scene)
    node = services.node()
    share = {"share": "front"}
    services.create(annotations=share)
    services.create("mail", annotations=share, ports=[{"port": 25}])
    assert services.wait_address() == services.wait_address("mail") == ["192.0.2.200"]
    services.create("clash", annotations=share)
    assert services.wait_address("clash") == ["192.0.2.201"]
    names = [f"{scene.namespace}/{name}" for name in ("mail", "web")]
    node.wait_asked("192.0.2.200", lambda one: sorted(one.services) == names)
    services.delete("web")
    node.wait_asked("192.0.2.200", lambda one: one.services == names[:1])


def test_an_exhausted_pool_serves_who_waits_as_soon_as_there_is_something(scene: Scene) -> None:
    services = Services(scene, ONE)
    services.node()
    services.create()
    services.wait_address()
    services.create("mail")
    assert "no IPv4 address is left" in services.wait_reason("mail", "NoAddressLeft")
    scene_event(scene, "CarpNoAddressLeft", name="mail")
    services.delete("web")
    assert services.wait_address("mail") == ["192.0.2.200"]


def test_a_pool_that_is_gone_leaves_the_address_with_its_service_and_unserved(scene: Scene) -> None:
    services = Services(scene)
    node = services.node()
    services.create()
    services.wait_address()
    node.wait_asked("192.0.2.200")
    node.reporter.stop(2.0)
    services.settings = Services(scene, LoadBalancerPool(name="other", addresses=["198.51.100.0/24"])).settings
    node = services.node()
    assert "192.0.2.200 is in no pool any more" in services.wait_reason("web", "PoolGone")
    assert services.wait_address() == ["192.0.2.200"]
    wait_until(lambda: node.engine.kept == [[]], "it is not to be served")
    scene_event(scene, "CarpPoolGone")


def test_a_pool_for_some_namespaces(scene: Scene) -> None:
    other = scene.add_namespace()
    scene.admin.patch(f"/api/v1/namespaces/{other}", {"metadata": {"labels": {"team": scene.namespace}}})
    pool = LoadBalancerPool(name="default", addresses=["192.0.2.200"], namespace_selector=f"team={scene.namespace}")
    services = Services(scene, pool)
    services.node()
    services.create()
    services.wait_reason("web", "NoAddressLeft")
    scene.admin.patch(f"/api/v1/namespaces/{scene.namespace}", {"metadata": {"labels": {"team": scene.namespace}}})
    assert services.wait_address() == ["192.0.2.200"]


def test_who_holds_it_is_written_by_its_node_and_taken_back_where_nobody_follows(scene: Scene) -> None:
    services = Services(scene)
    first, second = services.node(1), services.node(2)
    services.create()
    [ip] = services.wait_address()
    first.become(ip, "master", "the master bowed out")
    web = services.wait("web", lambda one: annotation(one, "node") == f"{scene.namespace}-n1")
    held = condition(web, "held") or {}
    assert (held["status"], held["reason"]) == ("True", "Held")
    assert f"{ip} is on {scene.namespace}-n1 since" in held["message"]
    assert "the master bowed out" in held["message"]
    scene_event(scene, "CarpMaster", ip)
    first.become(ip, "backup")
    second.become(ip, "master", "no advertisement from the master")
    services.wait("web", lambda one: annotation(one, "node") == f"{scene.namespace}-n2")
    second.become(ip, "backup")
    web = services.wait("web", lambda one: annotation(one, "node") is None)
    assert (condition(web, "held") or {})["status"] == "False"
    assert [view.held for view in first.reporter.services()] == [False]


def test_local_means_that_only_nodes_with_a_ready_endpoint_take_part(scene: Scene) -> None:
    services = Services(scene)
    nodes = [services.node(1), services.node(2)]
    services.create(externalTrafficPolicy="Local")
    [ip] = services.wait_address()
    for node in nodes:
        node.wait_asked(ip, lambda one: not one.eligible and "no ready endpoint" in one.text)
    services.endpoints("web", n1=True, n2=False)
    nodes[0].wait_asked(ip, lambda one: one.eligible)
    services.endpoints("web", n1=False, n2=True)
    nodes[0].wait_asked(ip, lambda one: not one.eligible)
    nodes[1].wait_asked(ip, lambda one: one.eligible)
    services.patch("web", {"spec": {"externalTrafficPolicy": "Cluster"}})
    nodes[0].wait_asked(ip, lambda one: one.eligible)


def test_a_node_with_the_label_that_excludes_it_takes_no_part(scene: Scene) -> None:
    services = Services(scene)
    node = services.node()
    services.create()
    [ip] = services.wait_address()
    node.wait_asked(ip, lambda one: one.eligible)
    label = "node.kubernetes.io/exclude-from-external-load-balancers"
    path = f"/api/v1/nodes/{scene.namespace}-n1"
    scene.admin.patch(path, {"metadata": {"labels": {label: ""}}})
    node.wait_asked(ip, lambda one: not one.eligible and label in one.text)
    scene.admin.patch(path, {"metadata": {"labels": {label: None}}})
    node.wait_asked(ip, lambda one: one.eligible)


def test_a_node_that_came_back_waits_before_it_takes_its_share(scene: Scene) -> None:
    services = Services(scene, rebalance_delay_s=2.0)
    node = services.node()
    services.create()
    [ip] = services.wait_address()
    node.wait_asked(ip, lambda one: (one.advskew, one.advskew_returned) == (0, 120))
    node.reporter.stop(0.0)
    # Its reporter and its engine are new.
    node = services.node()
    since = time.monotonic()
    node.wait_asked(ip, lambda one: one.advskew == 120)
    node.wait_asked(ip, lambda one: one.advskew == 0)
    assert time.monotonic() - since >= 1.5
    # One that is master is in its place.
    node.reporter.stop(0.0)
    services.settings = Services(scene, rebalance_delay_s=-1).settings
    node = services.node()
    node.wait_asked(ip, lambda one: one.advskew == 120)
    node.become(ip, "master")
    node.wait_asked(ip, lambda one: one.advskew == 0)


def test_what_the_engine_refuses_is_reported_and_requested_again(scene: Scene, monkeypatch: Any) -> None:
    monkeypatch.setattr("carpsidecar.reporter.kubernetes.services.node_requests.REFUSED_AGAIN_S", 0.5)
    services = Services(scene)
    engine = Engine()
    engine.refuses["192.0.2.200"] = "it is in no pool of this node's"
    node = services.node(engine=engine)
    services.create()
    services.wait_address()
    scene_event(scene, "CarpNotServed", "it is in no pool of this node's")
    first = node.wait_asked("192.0.2.200")
    engine.addresses.clear()
    assert node.wait_asked("192.0.2.200") == first


def test_while_the_api_is_away_nothing_changes(scene: Scene) -> None:
    services = Services(scene)
    node = services.node()
    services.create()
    [ip] = services.wait_address()
    before = node.wait_asked(ip)
    kept = list(node.engine.kept)
    scene.proxy.go_away()
    node.become(ip, "master")
    services.delete("web")
    wait_until(lambda: node.stats.failures["unreachable"] > 3, "it tries")
    assert node.engine.addresses == {ip: before}
    assert node.engine.kept == kept
    scene.proxy.come_back()
    wait_until(lambda: node.engine.addresses == {}, "now it knows")


def test_a_reporter_without_the_api_requests_nothing_of_its_engine(scene: Scene) -> None:
    services = Services(scene)
    scene.proxy.go_away()
    node = services.node()
    wait_until(lambda: node.stats.failures["unreachable"] > 3, "it tries")
    assert node.engine.addresses == {}
    assert node.engine.kept == []


def test_two_allocators_never_give_one_address_twice_whoever_is_killed(scene: Scene) -> None:
    pool = LoadBalancerPool(name="default", addresses=["192.0.2.200-192.0.2.220"])
    services = Services(scene, pool)
    for number in (1, 2, 3):
        services.node(number, Engine())
    given: dict[str, list[str]] = {}
    nodes = {number: services.node(number, Engine()) for number in (4, 5)}
    for round_ in range(4):
        for number in range(4):
            services.create(f"s{round_}-{number}")
        victim = 4 + round_ % 2
        nodes[victim].reporter.stop(0.0)
        for number in range(4):
            given[f"s{round_}-{number}"] = services.wait_address(f"s{round_}-{number}", timeout_s=40)
        nodes[victim] = services.node(victim, Engine())
    found = {one["metadata"]["name"]: addresses_of(one) for one in scene.admin.get(services.path)["items"]}
    assert {name: found[name] for name in given} == given
    assert len({ip for [ip] in found.values()}) == len(found)


def test_of_two_that_wait_for_a_pool_of_one_one_is_served_whoever_is_killed(scene: Scene) -> None:
    services = Services(scene, ONE)
    nodes = {number: services.node(number) for number in (1, 2)}
    services.create("first")
    assert services.wait_address("first") == ["192.0.2.200"]
    for name in ("second", "third"):
        services.create(name)
        services.wait_reason(name, "NoAddressLeft")
    for number, gone, next_ in ((1, "first", "second"), (2, "second", "third")):
        nodes[number].reporter.stop(0.0)
        services.delete(gone)
        assert services.wait_address(next_, timeout_s=40) == ["192.0.2.200"]
        nodes[number] = services.node(number)
    assert [addresses_of(one) for one in scene.admin.get(services.path)["items"]] == [["192.0.2.200"]]


def test_what_was_freed_a_moment_ago_is_given_last(scene: Scene) -> None:
    services = Services(scene)
    services.node()
    services.create()
    assert services.wait_address() == ["192.0.2.200"]
    services.delete("web")
    services.create("mail")
    assert services.wait_address("mail") == ["192.0.2.201"]


def test_an_allocator_that_is_gone_is_followed_by_another(scene: Scene) -> None:
    services = Services(scene)
    first = services.node(1)
    services.create()
    services.wait_address()
    second = services.node(2)
    # Killed: the Lease is not given back.
    first.reporter._services._election._valid_until = 0  # type: ignore[union-attr]
    first.reporter._services._allocations.shut_down()  # type: ignore[union-attr]
    services.create("mail")
    assert services.wait_address("mail", timeout_s=40) == ["192.0.2.201"]
    assert second.engine.probed == ["192.0.2.201"]


def test_at_rest_nothing_is_asked_but_to_go_on_watching(scene: Scene) -> None:
    services = Services(scene)
    nodes = [services.node(1), services.node(2)]
    services.create()
    [ip] = services.wait_address()
    nodes[0].become(ip, "master")
    services.wait("web", lambda one: annotation(one, "node") is not None)
    scene_event(scene, "CarpMaster")
    # A test of what does not happen takes its time.
    time.sleep(3.0)
    before = len(scene.proxy.seen)
    for _ in range(10):
        for node in nodes:
            node.heartbeat()
        time.sleep(0.2)
    assert scene.proxy.seen[before:] == []


def test_many_services_at_once_are_served_soon(scene: Scene) -> None:
    pool = LoadBalancerPool(name="default", addresses=["192.0.2.1-192.0.2.100"])
    services = Services(scene, pool)
    engine = Engine()
    engine.probe_s = 0.05
    services.node(engine=engine)
    for number in range(60):
        services.create(f"s{number}")
    last = services.wait_address("s59", timeout_s=60)
    assert last
    wait_until(lambda: len(engine.addresses) == 60, "all are to be served")


def test_a_service_is_deleted_and_made_again_with_the_same_requested_address(scene: Scene) -> None:
    services = Services(scene)
    node = services.node()
    vhids = set()
    for _ in range(20):
        services.create(annotations={"address": "192.0.2.203"})
        assert services.wait_address() == ["192.0.2.203"]
        vhids.add(node.wait_asked("192.0.2.203").vhid)
        services.delete("web")
    assert len(vhids) == 1
    wait_until(lambda: node.engine.addresses == {}, "nothing is left")


def test_pools_are_of_one_installation_and_its_class(scene: Scene) -> None:
    services = Services(scene, POOL)
    services.node()
    services.create("theirs", loadBalancerClass="other.io/lb")
    services.create("none", loadBalancerClass=None)
    services.create()
    assert services.wait_address() == ["192.0.2.200"]
    for name in ("theirs", "none"):
        assert addresses_of(services.read(name)) == []
        assert services.read(name)["metadata"].get("annotations") is None


def test_a_node_outside_the_pools_network_leaves_the_allocation_to_another(scene: Scene) -> None:
    services = Services(scene)
    outside = Engine()
    outside.in_use = {f"192.0.2.{number}": "no network of this node has it" for number in range(200, 204)}
    services.node(1, outside)
    services.create()
    assert "can't be asked for on the network: no network of this" in services.wait_reason("web", "NotAsked")
    inside = services.node(2)
    assert services.wait_address(timeout_s=40) == ["192.0.2.200"]
    assert inside.engine.probed == ["192.0.2.200"]


def test_an_address_that_our_own_nodes_are_letting_go_of_is_given_as_soon_as_they_have(
    scene: Scene, monkeypatch: Any
) -> None:
    # A stranger's would be asked for again only after this.
    monkeypatch.setattr("carpsidecar.reporter.kubernetes.services.allocator.TAKEN_S", 1000.0)
    services = Services(scene, ONE)
    engine = Engine()
    services.node(engine=engine)
    services.create()
    services.wait_address()
    engine.in_use["192.0.2.200"] = "in use by 02:00:00:00:00:01"
    services.delete("web")
    services.create("mail")
    services.wait_reason("mail", "NoAddressLeft")
    engine.in_use.clear()
    services.wait_address("mail")
