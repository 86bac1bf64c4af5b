"""The rights for Services of type LoadBalancer are all that is needed, and each of them is."""

import time

import pytest

from carpsidecar.ipc.settings import KubernetesSettings, LoadBalancerPool, LoadBalancerSettings
from carpsidecar.reporter.kubernetes.rbac import Rule, rules
from tests.kubernetes.scene import Scene
from tests.kubernetes.services import Services, annotation

WITHOUT = KubernetesSettings(pod_name="carp-1", pod_namespace="own", node_name="n1", cordon_demotion=1)
POOL = LoadBalancerPool(name="default", addresses=["192.0.2.200-192.0.2.203"], namespace_selector="team")
SETTINGS = LoadBalancerSettings(vhid_first=1000, vhid_last=1999, addresses_max=9, pools=[POOL])
MORE = {
    Rule("list", "services", ""),
    Rule("watch", "services", ""),
    Rule("patch", "services/status", ""),
    Rule("list", "endpointslices", "", "discovery.k8s.io"),
    Rule("watch", "endpointslices", "", "discovery.k8s.io"),
    Rule("list", "namespaces", ""),
    Rule("watch", "namespaces", ""),
    Rule("create", "events", "", "events.k8s.io"),
    Rule("patch", "events", "", "events.k8s.io"),
    Rule("get", "leases", "own", "coordination.k8s.io"),
    Rule("create", "leases", "own", "coordination.k8s.io"),
    Rule("update", "leases", "own", "coordination.k8s.io"),
}


def with_services(*pools: LoadBalancerPool) -> set[Rule]:
    settings = LoadBalancerSettings(vhid_first=1000, vhid_last=1999, addresses_max=9, pools=list(pools))
    values = {
        name: getattr(WITHOUT, name) for name in ("pod_name", "pod_namespace", "node_name", "cordon_demotion")
    }
    return set(rules(KubernetesSettings(**values, load_balancer=settings)))


def test_without_them_nothing_of_it_is_needed() -> None:
    assert not set(rules(WITHOUT)) & MORE
    own_events = {rule for rule in rules(WITHOUT) if rule.resource == "events"}
    assert with_services(POOL) == (set(rules(WITHOUT)) - own_events) | MORE
    without_selector = LoadBalancerPool(name="default", addresses=POOL.addresses)
    assert with_services(POOL) - with_services(without_selector) == {
        rule for rule in MORE if rule.resource == "namespaces"
    }


def do_all(scene: Scene, services: Services, missing: Rule | None = None) -> None:
    """Everything that needs a right of these; without one, as much as goes."""
    name = f"{scene.namespace}"
    scene.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"team": "x"}}})
    pool = LoadBalancerPool(name="default", addresses=["192.0.2.200-192.0.2.203"], namespace_selector="team")
    services.settings = Services(scene, pool).settings
    settings = scene.settings(node_name=f"{name}-n1", load_balancer=services.settings)
    needed = [rule for rule in rules(settings) if rule != missing]
    node = services.node(account=scene.account(needed))
    services.create(externalTrafficPolicy="Local")
    services.endpoints("web", n1=True)
    if missing is not None:
        line = scene.logs.wait(f"not allowed to {missing}", timeout_s=30.0)
        assert f'"{missing.verb}" on the resource "{missing.resource}"' in line
        others = [rule for rule in needed if f"not allowed to {rule}:" in "\n".join(scene.logs.lines)]
        assert others == []
        scene.grant(missing)
    [ip] = services.wait_address(timeout_s=40.0)
    # The Lease is renewed for what comes later.
    services.create("mail")
    services.wait_address("mail", timeout_s=40.0)
    node.wait_asked(ip, lambda one: one.eligible)
    for _ in range(2):
        node.become(ip, "master", since_s=time.time())
        services.wait("web", lambda one: annotation(one, "node") is not None)
        node.become(ip, "backup", since_s=time.time() - 10)
        services.wait("web", lambda one: annotation(one, "node") is None)
    scene.wait_event("CarpMaster", ip, count=2, timeout_s=40.0)


def test_the_rights_in_the_table_suffice(scene: Scene) -> None:
    do_all(scene, Services(scene))
    assert "not allowed" not in "\n".join(scene.logs.lines)


@pytest.mark.parametrize("missing", sorted(MORE, key=str), ids=str)
def test_without_one_of_them_something_fails_and_says_which_it_is(scene: Scene, missing: Rule) -> None:
    own = Rule(missing.verb, missing.resource, missing.namespace and scene.namespace, missing.api_group)
    if own.verb == "update" or (own.verb, own.resource) == ("patch", "events"):
        pytest.skip("needed only later: the next test")
    do_all(scene, Services(scene), own)


@pytest.mark.parametrize("resource", ["leases", "events"])
def test_without_one_that_is_needed_only_later(scene: Scene, resource: str) -> None:
    [missing] = [
        Rule(rule.verb, rule.resource, rule.namespace and scene.namespace, rule.api_group)
        for rule in MORE
        if rule.resource == resource and rule.verb in ("update", "patch")
    ]
    services = Services(scene)
    settings = scene.settings(node_name=f"{scene.namespace}-n1", load_balancer=services.settings)
    needed = [rule for rule in rules(settings) if rule != missing]
    node = services.node(account=scene.account(needed))
    services.create()
    [ip] = services.wait_address()
    if resource == "events":
        for _ in range(2):
            node.become(ip, "master", since_s=time.time())
            services.wait("web", lambda one: annotation(one, "node") is not None)
            scene.wait_event("CarpMaster", ip)
            node.become(ip, "backup", since_s=time.time() - 10)
            services.wait("web", lambda one: annotation(one, "node") is None)
    else:
        # The Lease runs out only after a while, and is renewed then.
        time.sleep(4.0)
        services.create("mail")
    scene.logs.wait(f"not allowed to {missing}", timeout_s=30.0)
    scene.grant(missing)
    if resource == "events":
        scene.wait_event("CarpMaster", ip, count=2, timeout_s=40.0)
    else:
        services.wait_address("mail", timeout_s=40.0)
