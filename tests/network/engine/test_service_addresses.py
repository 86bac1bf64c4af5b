"""Addresses of Services: their groups come, change and go while the engine runs, and their neighbours go on."""

import errno
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from carpsidecar.ipc.messages import (
    Drain,
    GroupGone,
    GroupSnapshot,
    Heartbeat,
    KeepServiceAddresses,
    ProbeAddress,
    Result,
    SendHeartbeat,
    SetDemotion,
    SetServiceAddress,
)
from carpsidecar.lab.node import Node
from tests.network.process.consumer import DEMOTES, Consumer, consume
from tests.support.builders import snapshot
from tests.support.cluster import inside
from tests.support.daemon import Configuration, group, holds
from tests.support.segment import lab, node, peer, tap
from tests.support.tap import Tap
from tests.support.waits import SOON_S, wait_until

__all__ = ["lab", "node", "peer", "tap"]

pytestmark = pytest.mark.network

POOLS: dict[str, Any] = {
    "vhids": "1000-1099",
    "max_addresses": 20,
    "pools": [
        {"name": "web", "addresses": ["10.99.0.200-10.99.0.230"]},
        {"name": "six", "addresses": ["fd63::1:0/120"], "interface": "eth0"},
        {"name": "far", "addresses": ["198.51.100.0/28"]},
    ],
}
ADDRESS, VHID = "10.99.0.200", 1000
TAKEN6, FREE6 = "fd63::1:7", "fd63::1:8"
NOBODY = snapshot()


def configuration(directory: Path, **changes: Any) -> Configuration:
    directory.mkdir(exist_ok=True)
    return Configuration(directory, group(), beside={"load_balancer": {**POOLS, **changes}})


@contextmanager
def engine(node: Node, directory: Path, **changes: Any) -> Iterator["Services"]:
    with consume(node, configuration(directory, **changes), *DEMOTES) as consumer:
        yield Services(consumer)


class Services:
    """An engine, and what is asked of it for Services; every group as it was reported last."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.groups: dict[str, GroupSnapshot] = {}
        self.reported: list[str] = []
        """The groups, each time."""
        self.results: dict[int, Result] = {}
        self.heartbeats: list[Heartbeat] = []
        self._id = 0

    def ask(self, command: Any) -> Result:
        number = self.send(command)
        self.wait_until(lambda: number in self.results)
        return self.results[number]

    def send(self, command: Any) -> int:
        self._id += 1
        self.consumer.ask(replace(command, id=self._id))
        return self._id

    def set(self, address: str = ADDRESS, vhid: int = VHID, **changes: Any) -> Result:
        return self.ask(wanted(address, vhid, **changes))

    def keep(self, *addresses: str) -> None:
        assert self.ask(KeepServiceAddresses(addresses=list(addresses))).outcome == "done"

    def wait_for(self, role: str, vhid: int = VHID) -> GroupSnapshot:
        return self.wait_for_group(lambda group: group.role == role, vhid)

    def wait_for_group(self, wanted: Callable[[GroupSnapshot], bool], vhid: int = VHID) -> GroupSnapshot:
        self.wait_until(lambda: (group := self.groups.get(f"lb-{vhid}")) is not None and wanted(group))
        return self.groups[f"lb-{vhid}"]

    def wait_until_gone(self, vhid: int = VHID) -> None:
        self.wait_until(lambda: f"lb-{vhid}" not in self.groups)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SOON_S
        while not holds():
            assert time.monotonic() < deadline, self.groups
            message = self.consumer.receive()
            if isinstance(message, GroupSnapshot):
                self.groups[message.group] = message
                self.reported.append(message.group)
            elif isinstance(message, GroupGone):
                self.groups.pop(message.group, None)
            elif isinstance(message, Heartbeat):
                self.heartbeats.append(message)
            elif isinstance(message, Result):
                self.results[message.id] = message


def wanted(address: str = ADDRESS, vhid: int = VHID, **changes: Any) -> SetServiceAddress:
    given = {"advskew": 20, "services": ["default/web"], **changes}
    return SetServiceAddress(address=address, vhid=vhid, **given)


def test_an_address_comes_is_held_and_goes_and_its_neighbour_notices_nothing(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    with engine(node, tmp_path) as services:
        services.wait_until(lambda: services.groups.get("vhid-100", NOBODY).role == "master")
        assert services.set().outcome == "done"
        snapshot = services.wait_for("master")
        assert (snapshot.addresses, snapshot.services, snapshot.vhid) == ([ADDRESS], ["default/web"], VHID)
        assert holds(node, ADDRESS)
        services.reported.clear()
        services.keep()
        services.wait_until_gone()
        assert not holds(node, ADDRESS)
        services.set("10.99.0.201", 1001)
        services.wait_for("master", 1001)
        assert "vhid-100" not in services.reported
        neighbour = [frame for frame in tap.advertisements if frame.vhid == 100]
        assert neighbour
        assert not any(frame.is_bow_out for frame in neighbour)
        assert services.consumer.log.count("vhid-100: became") == 2
        assert services.consumer.log.count("lb-1000: became master") == 1


def test_a_node_that_is_not_eligible_hands_over_and_takes_part_again(
    node: Node, peer: Node, tmp_path: Path
) -> None:
    with engine(node, tmp_path / "a") as first, engine(peer, tmp_path / "b") as second:
        first.set(advskew=10)
        first.wait_for("master")
        second.set(advskew=20)
        second.wait_for("backup")
        first.set(advskew=10, eligible=False, text="no ready endpoint here")
        assert first.wait_for("backup").reason == "no ready endpoint here"
        assert second.wait_for("master").reason == "the master bowed out"
        first.wait_for_group(lambda group: group.master == str(peer.address))
        first.set(advskew=10)
        assert first.wait_for("master").reason == "preempting a slower master"
        second.wait_for("backup")
        assert "still waiting" not in first.consumer.log
        assert "can't take part" not in first.consumer.log


def test_another_rank_moves_it_and_other_services_only_say_so(node: Node, peer: Node, tmp_path: Path) -> None:
    with engine(node, tmp_path / "a") as first, engine(peer, tmp_path / "b") as second:
        first.set(advskew=10)
        first.wait_for("master")
        second.set(advskew=20)
        second.wait_for("backup")
        first.set(advskew=10, services=["default/web", "default/dns"])
        assert first.wait_for_group(lambda group: len(group.services) == 2).role == "master"
        first.set(advskew=40)
        second.wait_for("master")
        first.wait_for("backup")
        wait_until(lambda: first.consumer.log.count("lb-1000: became") == 3)


def test_what_lies_outside_what_is_configured_is_refused(node: Node, tmp_path: Path) -> None:
    with engine(node, tmp_path, max_addresses=2) as services:
        answers = {
            services.set("10.99.0.199").reason: "is in no pool",
            services.set(str(node.address)).reason: "is in no pool",
            services.set("web").reason: "is no address",
            services.set("2001:db8::1%eth0").reason: "is no address",
            services.set(vhid=100).reason: "vhid 100 is not one of load_balancer.vhids, 1000-1099",
            services.ask(ProbeAddress(address="192.0.2.1")).reason: "is in no pool",
            services.ask(KeepServiceAddresses(addresses=["x"])).reason: "is no address",
        }
        assert all(part in reason for reason, part in answers.items()), answers
        assert services.set().outcome == "done"
        assert services.set("10.99.0.201", 1001).outcome == "done"
        assert "as many as load_balancer.max_addresses" in services.set("10.99.0.202", 1002).reason
        assert services.set("10.99.0.201", 1001, advskew=30).outcome == "done"


def test_without_pools_everything_is_refused(node: Node, tmp_path: Path) -> None:
    with consume(node, Configuration(tmp_path, group()), *DEMOTES) as consumer:
        refused = Services(consumer).set()
        assert (refused.outcome, refused.reason) == ("refused", "no load_balancer is configured")


def test_each_is_counted_when_that_is_requested_and_now_and_then_by_itself(node: Node, tmp_path: Path) -> None:
    with engine(node, tmp_path) as services:
        services.set()
        services.wait_for("master")
        requested = services.send(SendHeartbeat())
        services.wait_until(lambda: requested in services.results)
        assert services.heartbeats[-1].counters.keys() == {"vhid-100", f"lb-{VHID}"}
        seen = len(services.heartbeats)
        services.wait_until(lambda: any(f"lb-{VHID}" in beat.counters for beat in services.heartbeats[seen:]))
        assert all("vhid-100" in beat.counters for beat in services.heartbeats)


def test_a_vhid_that_goes_to_another_address_leaves_the_first_one(node: Node, tmp_path: Path) -> None:
    with engine(node, tmp_path) as services:
        services.set()
        services.wait_for("master")
        services.set("10.99.0.201")
        services.wait_for_group(lambda group: group.addresses == ["10.99.0.201"] and group.role == "master")
        assert (holds(node, ADDRESS), holds(node, "10.99.0.201")) == (False, True)


def test_a_restarted_engine_serves_what_it_served_last_without_being_told(node: Node, tmp_path: Path) -> None:
    stored = Path(node.environment["STATE_DIRECTORY"], "service-addresses.json")
    with engine(node, tmp_path) as services:
        services.set()
        services.set("10.99.0.201", 1001)
        services.wait_for("master", 1001)
        services.keep(ADDRESS)
        wait_until(lambda: stored.exists() and "10.99.0.201" not in stored.read_text())
        services.consumer.engine.send_signal(signal.SIGKILL)
        services.consumer.engine.wait(SOON_S)
    with engine(node, tmp_path) as services:
        services.wait_for("master")
        assert holds(node, ADDRESS)
        assert not holds(node, "10.99.0.201")
        services.set("10.99.0.202", 1002)
        assert services.consumer.stop() == 0
        assert not holds(node, ADDRESS)
    with engine(node, tmp_path) as services:
        services.wait_for("master", 1002)


def test_a_restarted_engine_is_behind_the_others_until_its_reporter_gives_it_its_place(
    node: Node, tmp_path: Path
) -> None:
    stored = Path(node.environment["STATE_DIRECTORY"], "service-addresses.json")
    with engine(node, tmp_path) as services:
        services.set(advskew=4, advskew_returned=124)
        assert services.wait_for("master").advskew_advertised == 4
        wait_until(stored.exists)
    with engine(node, tmp_path) as services:
        assert services.wait_for("master").advskew_advertised == 124
        services.set(advskew=4, advskew_returned=124)
        services.wait_for_group(lambda group: group.advskew_advertised == 4)


@pytest.mark.parametrize("content", ["", "[", "{}", '[{"type":"service_address"}]', "\0"])
def test_a_spoilt_file_is_said_and_nothing_is_served_from_it(node: Node, tmp_path: Path, content: str) -> None:
    state = Path(node.environment["STATE_DIRECTORY"])
    state.mkdir(exist_ok=True)
    (state / "service-addresses.json").write_text(content)
    with engine(node, tmp_path) as services:
        services.consumer.wait_for_log("begins without addresses of Services")
        assert services.set().outcome == "done"
        services.wait_for("master")


def test_what_no_network_has_waits_and_says_so(node: Node, tmp_path: Path) -> None:
    with engine(node, tmp_path) as services:
        answer = services.set("198.51.100.3", 1003)
        assert answer.outcome == "done"
        assert answer.reason == (
            "no network of this node has 198.51.100.3: give its pool an interface, or other addresses"
        )
        assert services.wait_for("init", 1003).reason == answer.reason
        services.consumer.wait_for_log("no network of this node has 198.51.100.3")
        node.run(["ip", "address", "add", "198.51.100.14/28", "dev", "eth0"])
        services.wait_for("master", 1003)
        services.keep()
        services.wait_until_gone(1003)


def test_a_pool_that_shrinks_lets_go_of_what_it_no_longer_has(node: Node, tmp_path: Path) -> None:
    given = configuration(tmp_path)
    with consume(node, given, *DEMOTES) as consumer:
        services = Services(consumer)
        services.set()
        services.set("10.99.0.230", 1001)
        services.wait_for("master", 1001)
        pools = [{"name": "new", "addresses": ["10.99.0.200-10.99.0.205"]}]
        given.beside["load_balancer"] = {**POOLS, "pools": pools}
        given.write()
        consumer.engine.send_signal(signal.SIGHUP)
        services.wait_until_gone(1001)
        services.wait_for("master")
        assert (holds(node, ADDRESS), holds(node, "10.99.0.230")) == (True, False)
        assert consumer.log.count("lb-1000: became") == 2


def test_who_has_an_address_is_asked_of_the_segment(node: Node, peer: Node, tmp_path: Path) -> None:
    peer.run(["ip", "address", "add", "10.99.0.210/32", "dev", "eth0"])
    peer.run(["ip", "address", "add", f"{TAKEN6}/128", "dev", "eth0", "nodad"])
    mac = json.loads(peer.run(["ip", "-j", "link", "show", "dev", "eth0"]))[0]["address"]
    with engine(node, tmp_path) as services:
        for free, taken in (("10.99.0.211", "10.99.0.210"), (FREE6, TAKEN6)):
            answer = services.ask(ProbeAddress(address=free))
            assert (answer.outcome, answer.reason) == ("done", f"nobody answers for {free}")
            answer = services.ask(ProbeAddress(address=taken))
            assert (answer.outcome, answer.reason) == ("refused", f"in use by {mac}")
        elsewhere = services.ask(ProbeAddress(address="198.51.100.3"))
        assert elsewhere.outcome == "done", "whoever is in that network asks before he takes it"
        numbers = [services.send(ProbeAddress(address=f"10.99.0.{last}")) for last in range(200, 231)]
        services.wait_until(lambda: all(number in services.results for number in numbers))
        refused = [number for number in numbers if services.results[number].outcome != "done"]
        assert [numbers.index(number) for number in refused] == [10]


def test_what_changes_too_often_changes_at_a_bounded_rate_and_ends_as_said_last(node: Node, tmp_path: Path) -> None:
    with engine(node, tmp_path) as services:
        services.set()
        services.wait_for("master")
        before = services.consumer.log.count("lb-1000: became")
        for _ in range(20):
            services.send(wanted(eligible=False))
            services.send(wanted())
        assert services.ask(wanted()).outcome == "done"
        services.wait_for("master")
        assert services.consumer.log.count("lb-1000: became") - before < 12
        assert holds(node, ADDRESS)


def test_a_demotion_and_a_drain_hold_for_them_too_and_not_for_a_later_one(node: Node, tmp_path: Path) -> None:
    with engine(node, tmp_path) as services:
        services.set(advskew=5)
        services.wait_for("master")
        services.ask(SetDemotion(cause="cordon", amount=240))
        services.wait_for_group(lambda group: group.advskew_advertised == 240)
        services.ask(SetDemotion(cause="cordon", amount=0))
        services.ask(Drain(group=f"lb-{VHID}", text="by hand"))
        services.wait_for_group(lambda group: group.advskew_advertised == 240)
        services.keep()
        services.wait_until_gone()
        services.set("10.99.0.201", advskew=5)
        assert services.wait_for("master").advskew_advertised == 5


def test_on_a_drained_machine_what_comes_after_a_restart_is_drained_too(node: Node, tmp_path: Path) -> None:
    with engine(node, tmp_path) as services:
        assert services.ask(Drain(text="by hand")).outcome == "done"
    with engine(node, tmp_path) as services:
        services.set(advskew=5)
        drained = services.wait_for_group(lambda group: group.advskew_advertised == 240)
        assert drained.demotion_texts == {"operator": "by hand"}
        services.ask(Drain(on=False))
        services.wait_for_group(lambda group: group.advskew_advertised == 5)
    with engine(node, tmp_path) as services:
        services.set("10.99.0.201", 1001, advskew=5)
        assert services.wait_for("master", 1001).advskew_advertised == 5


@pytest.mark.parametrize("node_ports", ["closed", "open"])
def test_ports_of_the_node_are_in_reach_there_only_where_that_is_wanted(
    node: Node, peer: Node, tmp_path: Path, node_ports: str
) -> None:
    expected = errno.ECONNREFUSED if node_ports == "closed" else 0
    ssh = inside(node, lambda: socket.create_server(("", 22)))
    with ssh, engine(node, tmp_path, node_ports=node_ports) as services:
        services.set()
        services.wait_for("master")
        with inside(peer, socket.socket) as asks:
            asks.settimeout(SOON_S)
            assert asks.connect_ex((ADDRESS, 22)) == expected
        with inside(peer, socket.socket) as asks:
            asks.settimeout(SOON_S)
            assert asks.connect_ex((str(node.address), 22)) == 0
        assert services.groups[f"lb-{VHID}"].warnings == []
        services.keep()
        assert services.consumer.stop() == 0
        assert "carpsidecar" not in node.run(["nft", "list", "tables"])


def test_both_families_are_served(node: Node, tmp_path: Path) -> None:
    with engine(node, tmp_path) as services:
        services.set()
        services.set(FREE6, 1001)
        services.wait_for("master")
        services.wait_for("master", 1001)
        assert f" {FREE6}/128" in node.run(["ip", "-6", "addr", "show"])


def test_an_address_of_kube_proxys_own_interface_is_no_fault_and_is_left_there(node: Node, tmp_path: Path) -> None:
    node.run(["ip", "link", "add", "kube-ipvs0", "type", "bridge"])
    node.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "kube-ipvs0"])
    with engine(node, tmp_path) as services:
        services.set()
        assert services.wait_for("master").interface == "eth0"
        assert services.consumer.stop() == 0
    assert f" {ADDRESS}/32" in node.run(["ip", "addr", "show", "dev", "kube-ipvs0"])


def test_the_nodes_own_address_is_not_taken(node: Node, tmp_path: Path) -> None:
    node.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "eth0"])
    with engine(node, tmp_path) as services:
        assert "is this node's own address" in services.set().reason
        services.wait_for("init")
        node.run(["ip", "address", "del", f"{ADDRESS}/32", "dev", "eth0"])
        services.wait_for("master")
