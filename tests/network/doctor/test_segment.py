"""Who else is on the segment: other groups, VRRP, a foreign machine with our address, multicast that gets lost."""

import itertools
from collections.abc import Iterator

import pytest

from carpsidecar.lab.commands import run
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.network.doctor.lab import MASTER, PASSPHRASE, THERE, VHID, VIP, VIP6, DoctorLab, repeating, undone
from tests.support.frames import ipv4, ipv6
from tests.support.peers import KEEPALIVED, UCARP, needs_keepalived, needs_ucarp
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S
from tests.unit.capture.packets import carp

pytestmark = pytest.mark.network


@needs_ucarp
def test_another_group_with_our_vhid(lab: DoctorLab, master: Process) -> None:
    """A real ucarp that has nothing to do with us."""
    argv = [str(UCARP), "-i", "eth0", "-s", THERE, "-v", str(VHID), "-p", "of another", "-a", "10.98.0.5", "-z"]
    foreign = lab.there.start([*argv, "-b", "1", "-k", "0", "-f", "none"])
    try:
        foreign.wait_for("MASTER", SOON_S)
        report = lab.run_checks(listen_s=1.3)
        assert (
            report.one("vhid", "problem")
            == f"{THERE} uses vhid 42 too, and neither our passphrase nor our addresses"
        )
        assert f"that of {THERE} does not fit, nor does anything near" in report.one("digest", "problem")
        assert report.one("digest", "ok") == f"that of {MASTER} fits"
    finally:
        foreign.kill()


def keepalived(lab: DoctorLab, node: Node, version: int, vrid: int) -> Process:
    directory = lab.lab.directory
    config = directory / f"{node.name}.conf"
    config.write_text(
        f"global_defs {{\n  vrrp_version {version}\n}}\nvrrp_instance lab {{\n  interface eth0\n"
        f"  virtual_router_id {vrid}\n  priority 150\n  advert_int 1\n"
        "  virtual_ipaddress {\n    10.99.0.77/32\n  }\n}\n"
    )
    pids = [f"--{flag}={directory}/{node.name}-{flag}" for flag in ("pid", "vrrp_pid")]
    return node.start([str(KEEPALIVED), "--vrrp", "--dont-fork", "--log-console", f"--use-file={config}", *pids])


@needs_keepalived
def test_vrrp_routers_with_our_number_and_with_another(lab: DoctorLab) -> None:
    """Not that of a master of ours: a VRRP router falls silent when it hears its number from CARP."""
    with Tap(lab.here) as tap:
        other = lab.lab.node("router")
        routers = [keepalived(lab, lab.there, 2, 43), keepalived(lab, other, 3, 51)]
        try:
            for node in (lab.there, other):
                tap.wait_for(advertises(node.address), SOON_S)
            report = lab.run_checks(vhid=43, vip="10.99.0.143", listen_s=1.3)
            beside = lab.run_checks(vhid=44, vip="10.99.0.144", listen_s=1.3)
        finally:
            for router in routers:
                router.kill()
    assert report.one("vhid", "problem").startswith(
        f"{THERE} speaks VRRP 2 with virtual router id 43, our vhid: its master falls silent"
    )
    assert beside.one("vhid", "ok").startswith("44 is used by nobody else; beside it here: ")
    assert beside.one("vhid", "ok").endswith("VRRP 43, VRRP 51")


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_a_foreign_machine_has_the_address(lab: DoctorLab, vip: str) -> None:
    free = {VIP: "10.99.0.150", VIP6: "fd99::150"}[vip]
    length = 32 if vip == VIP else 128
    with undone(
        lab.there,
        f"ip address add {free}/{length} dev eth0 {'nodad' if length == 128 else ''}",
        f"ip address del {free}/{length} dev eth0",
    ):
        found = lab.run_checks(vip=free, vhid=150).one("holder", "problem")
    assert found == f"{free} is held by 02:ca:00:00:00:0d, from which no advertisement of this vhid comes"


def test_a_foreign_machine_has_the_address_of_our_master(lab: DoctorLab, master: Process) -> None:
    with undone(lab.there, f"ip address add {VIP}/32 dev eth0", f"ip address del {VIP}/32 dev eth0"):
        found = lab.run_checks().one("holder", "problem")
        here = lab.run_checks(node=lab.master).one("holder", "problem")
    assert found == f"{VIP} is held by 02:ca:00:00:00:0d and by another one at once"
    assert here == f"{VIP} is held by 02:ca:00:00:00:0d and by this machine at once"


def test_a_master_that_does_not_answer_for_its_address(lab: DoctorLab, master: Process) -> None:
    with undone(
        lab.master, "sysctl -w net.ipv4.conf.eth0.arp_ignore=8", "sysctl -w net.ipv4.conf.eth0.arp_ignore=0"
    ):
        report = lab.run_checks()
    assert report.one("holder", "warning") == f"{MASTER} advertises, but nobody answers for {VIP}"


@pytest.fixture
def lost_multicast(lab: DoctorLab) -> Iterator[None]:
    """A switch that keeps CARP's groups to itself, as one that snoops and knows of no member does."""
    rules = (
        "table bridge snoops {\nchain it {\ntype filter hook forward priority 0;\n"
        "ip daddr 224.0.0.18 drop\nip6 daddr ff02::12 drop\n}\n}\n"
    )
    switch = f"{lab.lab.name}-switch"
    run(["nft", "-f", "-"], namespace=switch, stdin=rules)
    yield
    run(["nft", "delete", "table", "bridge", "snoops"], namespace=switch)


def test_multicast_that_the_switch_keeps(lab: DoctorLab, master: Process, lost_multicast: None) -> None:
    report = lab.run_checks()
    assert report.one("peers", "warning").startswith("no master was heard in")
    assert report.one("holder", "problem") == (
        f"{VIP} is held by 02:ca:00:00:00:0b, from which no advertisement of this vhid comes"
    )
    assert "IGMP snooping without a querier" in report.of("holder")[0]["remedy"]


def test_packets_that_are_bad(lab: DoctorLab, master: Process) -> None:
    with Tap(lab.there) as tap, repeating(tap, lambda: ipv4(tap.mac, "192.0.2.9", carp(), ttl=63)):
        finding = lab.run_checks().of("packets", "warning")[0]
    assert finding["found"] == "192.0.2.9 sends protocol 112 that is bad: ttl 63, not 255"
    assert "a router must not pass CARP on" in finding["remedy"]
    with Tap(lab.there) as tap, repeating(tap, lambda: ipv6(tap.mac, "fe80::9", carp()[:-1] + b"!")):
        assert "fe80::9 sends protocol 112 that is bad: checksum 0x" in lab.run_checks().one("packets", "warning")


def bridged(node: Node, *settings: str) -> str:
    addresses = f"ip address add {THERE}/24 dev br9 && ip address add fd99::13/64 dev br9 nodad"
    return (
        f"ip link add br9 type bridge {' '.join(settings)} && ip link set eth0 master br9 && ip link set br9 up"
        f" && ip address flush dev eth0 scope global && {addresses}"
    )


def test_a_bridge_of_our_own_that_snoops(lab: DoctorLab) -> None:
    """By the command itself: a process in a node sees the node's own /sys."""
    node = lab.lab.node("bridge")
    node.shell(bridged(node, "mcast_snooping 1", "mcast_querier 0"))

    def bridge_findings(*flags: str) -> list[str]:
        lines = lab.run_doctor("--interface", "br9", *flags, node=node).log.splitlines()
        return [" ".join(line.split()[3:]) for line in lines if " snooping " in line]

    assert bridge_findings() == ["bridge br9 lets the groups through"], "224.0.0.0/24 is flooded"
    [found] = bridge_findings("--vip", VIP6)
    assert found.startswith("bridge br9 snoops multicast and is no querier")
    node.run(["ip", "link", "set", "br9", "type", "bridge", "mcast_querier", "1"])
    assert bridge_findings("--vip", VIP6) == ["bridge br9 lets the groups through"]


def test_the_passphrase_is_never_shown(lab: DoctorLab, master: Process) -> None:
    assert PASSPHRASE not in str(lab.run_checks(passphrase=f"{PASSPHRASE} ").findings)


def test_a_flood_of_invented_senders_is_reported_in_short(lab: DoctorLab, master: Process) -> None:
    numbers = itertools.count(1)

    def forged() -> bytes:
        number = next(numbers)
        return ipv4(tap.mac, f"10.1.{number >> 8 & 255}.{number & 255}", carp())

    with Tap(lab.there) as tap, repeating(tap, forged, every_s=0.002):
        report = lab.run_checks()
    assert "more sources do not fit" in str(report.of("digest", "problem"))
    assert report.one("digest", "ok") == f"that of {MASTER} fits"
    assert len(report.findings) < 80
