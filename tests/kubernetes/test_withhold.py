"""Groups that must not be claimed: with somebody else's address, or beside a claim under another agreement."""

from collections.abc import Sequence

import pytest

from carpsidecar.ipc.messages import Withhold
from tests.kubernetes.scene import Running, Scene, annotation_of


def waits(running: Running, role: str, word: str) -> Withhold:
    def found() -> Withhold | None:
        withheld = (one for one in running.asked if isinstance(one, Withhold))
        return next((one for one in withheld if one.role == role and word in one.text), None)

    with running._news:
        request = running._news.wait_for(found, 10)
    assert request, running.asked
    return request


def start(scene: Scene, *addresses: str, agreement: str = "", agrees_with: Sequence[str] = ()) -> Running:
    scene.pod("carp-1", host_ips=["192.0.2.11"])
    running = scene.start(scene.settings(check_addresses=True))
    running.snapshot("backup", addresses=list(addresses), agreement=agreement, agrees_with=list(agrees_with))
    return running


def test_the_address_of_a_node(scene: Scene) -> None:
    name = f"{scene.namespace}-n7"
    scene.node(name)
    addresses = [{"type": "InternalIP", "address": "192.0.2.17"}, {"type": "Hostname", "address": name}]
    scene.admin.patch(f"/api/v1/nodes/{name}/status", {"status": {"addresses": addresses}})
    running = start(scene, "192.0.2.100", "192.0.2.17")
    waits(running, "fault", f"192.0.2.17 is refused: it is the address of node {name}")


def test_the_address_of_a_node_as_our_own_pods_there_tell_it(scene: Scene) -> None:
    scene.pod("carp-2", node="n2", host_ips=["192.0.2.12"])
    waits(start(scene, "192.0.2.12"), "fault", "192.0.2.12 is refused: it is the address of node n2")


def test_an_address_of_the_pods(scene: Scene) -> None:
    name = f"{scene.namespace}-n8"
    body = {"metadata": {"name": name}, "spec": {"podCIDR": "10.88.8.0/24", "podCIDRs": ["10.88.8.0/24"]}}
    scene.admin.create("/api/v1/nodes", body)
    scene._bindings.append(f"/api/v1/nodes/{name}")
    waits(start(scene, "10.88.8.77"), "fault", f"it is in the network of the pods on node {name}")


def test_the_address_of_a_service(scene: Scene) -> None:
    body = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    service = scene.admin.create(f"/api/v1/namespaces/{scene.namespace}/services", body)
    running = start(scene, service["spec"]["clusterIP"])
    waits(running, "fault", f"it is the address of Service {scene.namespace}/web")


def test_an_address_that_is_nobodys_costs_two_requests_and_no_more(scene: Scene) -> None:
    running = start(scene, "192.0.2.100")
    scene.proxy.wait(lambda seen: any("/services" in one.path for one in seen))
    running.snapshot("backup", "again", addresses=["192.0.2.100"])
    scene.wait_pod("carp-1", lambda pod: annotation_of(pod, "reason") == "again")
    running.snapshot("master", addresses=["192.0.2.100"])
    scene.wait_role("carp-1", "master")
    assert scene.proxy.count("GET", "/services") == 1
    assert not any(isinstance(one, Withhold) for one in running.asked)


@pytest.mark.parametrize("end", ["backup", None])
def test_a_pod_stays_backup_beside_a_claim_under_another_agreement_until_it_is_gone(
    scene: Scene, end: str | None
) -> None:
    scene.pod("carp-2", node="n2")
    other = scene.start(scene.settings("carp-2", node_name="n2"))
    other.snapshot("master", agreement="0123456789abcdef")
    scene.wait_role("carp-2", "master")
    running = start(scene, "192.0.2.100", agreement="fedcba9876543210")
    request = waits(running, "backup", "carp-2 on n2 claims it under other addresses, vhid, mode or passphrase")
    assert request.group == "web"
    scene.wait_event("CarpConfigDiffers", "carp-2 on n2 claims it")
    running.asked.clear()
    if end is None:
        scene.admin.delete(f"{scene.pods}/carp-2")
    else:
        other.snapshot("backup", agreement="0123456789abcdef")
    running.wait(Withhold(group="web", role="fault", text=""))


def test_a_claim_under_the_same_agreement_is_that_of_a_member(scene: Scene) -> None:
    scene.pod("carp-2", node="n2")
    other = scene.start(scene.settings("carp-2", node_name="n2"))
    other.snapshot("master", agreement="0123456789abcdef")
    scene.wait_role("carp-2", "master")
    running = start(scene, "192.0.2.100", agreement="0123456789abcdef")
    scene.wait_role("carp-1", "backup")
    assert annotation_of(scene.read("carp-1"), "agreement") == "0123456789abcdef"
    assert not any(isinstance(one, Withhold) for one in running.asked)


def test_so_is_one_under_a_passphrase_or_addresses_that_it_accepts(scene: Scene) -> None:
    scene.pod("carp-2", node="n2")
    other = scene.start(scene.settings("carp-2", node_name="n2"))
    other.snapshot("master", agreement="0123456789abcdef")
    scene.wait_role("carp-2", "master")
    running = start(scene, "192.0.2.100", agreement="fedcba9876543210", agrees_with=["0123456789abcdef"])
    scene.wait_role("carp-1", "backup")
    assert annotation_of(scene.read("carp-1"), "agreement") == "fedcba9876543210"
    assert not any(isinstance(one, Withhold) for one in running.asked)


def test_a_master_is_not_asked(scene: Scene) -> None:
    scene.pod("carp-2", node="n2")
    other = scene.start(scene.settings("carp-2", node_name="n2"))
    running = start(scene, "192.0.2.100", agreement="0123456789abcdef")
    running.snapshot("master", agreement="0123456789abcdef", addresses=["192.0.2.100"])
    scene.wait_role("carp-1", "master")
    other.snapshot("master", agreement="fedcba9876543210")
    scene.wait_role("carp-2", "master")
    scene.wait_role("carp-1", "unknown")
    assert not any(isinstance(one, Withhold) for one in running.asked)
