"""What is wrong on the machine itself: rights, link, addresses, kernel settings, firewall, commands."""

import json
import re
import shutil
from pathlib import Path

import pytest

from carpsidecar.lab.process import Process
from tests.network.doctor.lab import HERE, MASTER, VIP, VIP6, DoctorLab, undone
from tests.support.daemon import script
from tests.support.realtime import needs_realtime

pytestmark = pytest.mark.network

NFT = (
    "nft add table inet f"
    " && nft 'add chain inet f i {{ type filter hook {hook} priority 0; policy {policy}; }}'"
    " && nft add rule inet f i {rule}"
)
needs_iptables = pytest.mark.skipif(
    shutil.which("iptables-legacy", path="/usr/sbin:/sbin") is None, reason="iptables is not installed"
)


def test_no_privilege(lab: DoctorLab) -> None:
    process = lab.run_doctor(by=("setpriv", "--bounding-set", "-all"))
    assert process.returncode == 1
    found = [" ".join(line.split()) for line in process.log.splitlines()]
    assert any(line.startswith("problem privileges CAP_NET_ADMIN and CAP_NET_RAW are missing") for line in found)
    assert "skipped digest vhid-42 CAP_NET_RAW is missing: nothing can be heard" in found
    assert "skipped firewall vhid-42 `nft -j list ruleset`: CAP_NET_ADMIN is missing" in found
    assert any(line.startswith("ok interface vhid-42 eth0 is up") for line in found)


def test_realtime_is_looked_at_where_it_is_configured(lab: DoctorLab) -> None:
    assert lab.run_checks().of("realtime") == []
    assert lab.run_checks("--realtime").one("realtime", "ok") == "CAP_SYS_NICE and CAP_IPC_LOCK are there"
    process = lab.run_doctor("--realtime", by=("setpriv", "--bounding-set", "-sys_nice"))
    found = [" ".join(line.split()) for line in process.log.splitlines()]
    assert any(line.startswith("warning realtime missing here: CAP_SYS_NICE") for line in found)


@needs_realtime
@pytest.mark.parametrize(("flags", "status"), [(("--realtime",), "ok"), ((), "warning")])
def test_realtime_of_a_daemon_that_runs(lab: DoctorLab, flags: tuple[str, ...], status: str) -> None:
    daemon = lab.run_master(lab.here, *flags)
    try:
        assert lab.run_checks("--realtime").one("realtime", status).startswith("the daemon has")
    finally:
        daemon.stop()


def test_the_command_says_what_it_waits_for_and_how_it_was(lab: DoctorLab, master: Process) -> None:
    process = lab.run_doctor()
    assert process.returncode == 0, process.log
    first, *lines, last = process.log.splitlines()
    assert first == "carpsidecar doctor: listening on eth0 for 0.4 s"
    assert re.fullmatch(r"\d+ ok(, \d+ skipped)?", last)
    assert "\x1b" not in process.log
    starts = {line.index("  ", 30) for line in lines if not line.startswith(" ")}
    assert starts, "aligned"
    reported = lab.run_doctor("--json", "--auth", "hardened")
    assert reported.returncode == 1
    document = json.loads(reported.log.partition("\n")[2])
    assert (document["version"], document["exit_status"]) == (1, 1)
    assert {tuple(one) for one in document["findings"]} == {("check", "status", "about", "found", "remedy")}


def test_no_link_and_an_interface_that_is_down(lab: DoctorLab) -> None:
    lab.here.pull_cable()
    try:
        report = lab.run_checks()
    finally:
        lab.here.plug_cable()
    assert report.one("interface", "problem") == "eth0 has no link"
    assert report.one("peers", "skipped") == "eth0 is not there or has no link"
    lab.here.pull_cable()
    try:
        assert lab.run_checks("--ignore-link").one("interface", "warning") == "eth0 has no link"
    finally:
        lab.here.plug_cable()
    with undone(lab.there, "ip link set eth0 down", "ip link set eth0 up"):
        assert lab.run_checks(node=lab.there).one("interface", "problem") == "eth0 is down"


def test_no_such_interface(lab: DoctorLab) -> None:
    assert lab.run_checks("--interface", "eth7").one("interface", "problem") == "there is no eth7"


def test_no_interface_is_given_and_none_fits(lab: DoctorLab) -> None:
    report = lab.run_checks(vip="203.0.113.9", interface=None)
    assert report.one("interface", "problem") == "none is given, and no network of this machine has 203.0.113.9"


def test_no_source_address_and_a_wrong_one(lab: DoctorLab) -> None:
    with undone(lab.here, "ip address flush dev eth0 scope global", f"ip address add {HERE}/24 brd + dev eth0"):
        report = lab.run_checks()
    assert report.one("source", "problem") == "eth0 has no IPv4 address to advertise from"
    report = lab.run_checks("--source", "10.99.0.55")
    assert report.one("source", "problem") == "10.99.0.55 is given as source, and is no address of eth0"


def test_an_address_that_is_configured_here_for_good(lab: DoctorLab) -> None:
    with undone(lab.here, "ip address add 10.99.0.151/24 dev eth0", "ip address del 10.99.0.151/24 dev eth0"):
        report = lab.run_checks(vip="10.99.0.151")
    assert report.one("addresses", "problem") == "10.99.0.151/24 is configured on eth0 for good"
    assert report.of("promote_secondaries", "warning")


def test_an_address_in_no_network_of_the_interface(lab: DoctorLab) -> None:
    assert lab.run_checks(vip="203.0.113.9").one("addresses", "warning") == "203.0.113.9: in no network of eth0"


@pytest.mark.parametrize(
    ("setting", "value", "vip", "check"),
    [
        ("net.ipv4.conf.eth0.arp_ignore", 8, VIP, "arp_ignore"),
        ("net.ipv4.conf.all.arp_ignore", 8, VIP, "arp_ignore"),
        ("net.ipv6.conf.eth0.disable_ipv6", 1, VIP6, "disable_ipv6"),
    ],
)
def test_kernel_settings(lab: DoctorLab, setting: str, value: int, vip: str, check: str) -> None:
    restore = f"sysctl -w {setting}=0; ip address add fd99::c/64 dev eth0 nodad || true"
    with undone(lab.here, f"sysctl -w {setting}={value}", restore):
        assert lab.run_checks(vip=vip).one(check, "problem").startswith(f"it is {value}")
    assert check not in lab.run_checks(vip=vip).problems


def test_a_strict_reverse_path_filter_with_the_route_elsewhere(lab: DoctorLab, master: Process) -> None:
    with undone(
        lab.here,
        "ip link add away type veth peer name far && ip link set away up && ip link set far up"
        " && ip route add 10.99.0.0/25 dev away"
        " && sysctl -w net.ipv4.conf.eth0.rp_filter=1",
        "sysctl -w net.ipv4.conf.eth0.rp_filter=0; ip link del away",
    ):
        report = lab.run_checks()
    assert MASTER in report.one("rp_filter", "problem")
    assert report.one("delivery", "problem").endswith("reached the card, and none a program")


@pytest.mark.parametrize(
    ("hook", "policy", "rule", "found"),
    [
        ("input", "accept", "ip protocol 112 drop", "chain i: rule handle"),
        ("input", "accept", "ip daddr 224.0.0.18 drop", "chain i: rule handle"),
        ("input", "drop", "tcp dport 22 accept", "its policy is drop, and no rule lets 112 pass"),
        ("input", "drop", "ct state established,related accept", "its policy is drop"),
        ("output", "accept", "meta l4proto 112 reject", "advertisements out to the network"),
        ("prerouting", "accept", "iifname eth0 meta pkttype multicast drop", "advertisements from the network"),
    ],
)
def test_nftables_that_drop(lab: DoctorLab, master: Process, hook: str, policy: str, rule: str, found: str) -> None:
    rules = NFT.format(hook=hook, policy=policy, rule=rule)
    with undone(lab.here, rules, "nft delete table inet f"):
        report = lab.run_checks()
    assert found in report.one("firewall", "problem")
    assert ("delivery" in report.problems) == (hook != "output"), str(report)


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        ("drop", "ip protocol 112 accept"),
        ("drop", "'ip saddr 10.99.0.0/24 meta l4proto { 112, 89 } accept'"),
        ("drop", "'ct state vmap { new : accept, invalid : drop }'"),
        ("accept", "ip saddr 10.5.0.0/16 ip protocol 112 drop"),
        ("accept", "iifname eth1 drop"),
    ],
)
def test_nftables_that_let_it_pass(lab: DoctorLab, master: Process, policy: str, rule: str) -> None:
    """The kernel is the judge: it delivers, and nothing is said against the rules."""
    rules = NFT.format(hook="input", policy=policy, rule=rule)
    with undone(lab.here, rules, "nft delete table inet f"):
        report = lab.run_checks()
    assert report.of("firewall", "ok"), str(report)
    assert report.of("delivery", "ok")


@needs_iptables
@pytest.mark.parametrize("tool", ["iptables", "iptables-legacy"])
def test_iptables_that_drop(lab: DoctorLab, master: Process, tool: str) -> None:
    rule = "INPUT -i eth0 -d 224.0.0.18 -p 112 -m comment --comment 'no carp' -j DROP"
    with undone(lab.here, f"{tool} -A {rule}", f"{tool} -D {rule}"):
        report = lab.run_checks()
    found = report.one("firewall", "problem")
    assert "takes advertisements from the network (IPv4)" in found
    assert ("iptables-legacy-save table filter, chain INPUT: `-A INPUT -d 224" in found) == ("legacy" in tool)
    assert "delivery" in report.problems


def test_hooks_that_can_not_be_run(lab: DoctorLab, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    good = script(tmp_path, "good", "true")
    report = lab.run_checks(
        *("--on-master", "/usr/local/sbin/gone --now", "--on-backup", str(plain), "--on-fault", good)
    )
    assert [one["found"] for one in report.of("hooks", "problem")] == [
        "on_master: /usr/local/sbin/gone does not exist",
        f"on_backup: {plain} is not executable",
    ]
    assert report.one("hooks", "ok") == f"{good} can be run"


def test_an_old_daemon_and_one_that_left_its_address(lab: DoctorLab) -> None:
    process = lab.run_master(lab.there, "--dead-ratio", "100", vip="10.99.0.160", vhid=160, advskew=10)
    assert (
        lab.run_checks(node=lab.there, vip="10.99.0.160", vhid=160)
        .one("daemon", "ok")
        .startswith(f"process {process.pid} serves it, for ")
    )
    process.kill()
    report = lab.run_checks(node=lab.there, vip="10.99.0.160", vhid=160, listen_s=0.2)
    assert report.one("daemon", "ok") == "none runs for this group here"
    assert "left by a daemon that runs no more" in report.one("addresses", "warning")
