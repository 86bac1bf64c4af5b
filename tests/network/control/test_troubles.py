"""What `status`, its exit status and the log make of trouble that leaves a group running."""

from pathlib import Path

import pytest

from carpsidecar.lab.node import Node
from tests.network.control.client import ask, told, wait_until_told
from tests.support.daemon import GROUP, VIP, Configuration, group, start, start_master
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

VIP6 = "fd99::100"


@pytest.mark.parametrize("lifetime", ["", "valid_lft 600 preferred_lft 0"])
def test_an_address_of_the_group_on_a_backup_is_a_fault_until_it_goes(
    node: Node, peer: Node, tmp_path: Path, lifetime: str
) -> None:
    start_master(node, Configuration(tmp_path, group()))
    backup = start(peer, Configuration(tmp_path, group(advskew=60)))
    wait_until_told(peer, lambda group: group["role"] == "backup" and group["master"] is not None)
    assert ask(peer, "status").returncode == 0
    since = backup.log_size
    peer.shell(f"ip address add {VIP}/32 dev eth0 {lifetime}")
    backup.wait_for(f"became fault: {VIP} is on this node, which is not master", SOON_S, after=since)
    wait_until_told(peer, lambda group: group["role"] == "fault")
    asked = ask(peer, "status")
    assert asked.returncode == 4
    assert "PROBLEM" in asked.stdout
    peer.shell(f"ip address del {VIP}/32 dev eth0")
    backup.wait_for("became backup: the address is off this node again", SOON_S, after=since)
    wait_until_told(peer, lambda group: group["role"] == "backup")
    assert ask(peer, "status").returncode == 0


def test_a_demotion_of_its_own_is_listed_and_a_promotion_takes_it_back(
    node: Node, peer: Node, tmp_path: Path
) -> None:
    master = start_master(node, Configuration(tmp_path, group(vip=[VIP, VIP6])))
    start(peer, Configuration(tmp_path, group(vip=[VIP, VIP6], advskew=60)))
    wait_until_told(peer, lambda group: group["role"] == "backup" and group["master"] is not None)
    since = master.log_size
    node.shell("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1")
    wait_until_told(node, lambda group: group.get("demotions") == {"addresses": 240})
    status = ask(node, "status").stdout
    assert "demoted by 240, addresses: " in status
    assert told(node)["demoted_since_s"].keys() == {"addresses"}
    node.shell("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
    promoted = ask(node, "promote", GROUP)
    assert promoted.returncode == 0, promoted.stderr
    master.wait_for("became master: promoted", SOON_S, after=since)
    assert told(node)["demotions"] == {}


def test_a_group_of_both_families_without_a_source_in_one_says_so_or_takes_no_part(
    node: Node, peer: Node, tmp_path: Path
) -> None:
    missing = "eth0 has no IPv6 address to advertise from"
    node.shell("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1")
    ours = start(node, Configuration(tmp_path, group(vip=[VIP, VIP6], advskew=200)))
    ours.wait_for(f"WARNING {GROUP}: {missing}: FreeBSD and OpenBSD", SOON_S)
    wait_until_told(node, lambda group: any(missing in text for text in group.get("warnings", [])))
    assert missing in ask(node, "status").stdout.replace("\n", " ")
    assert ours.stop() == 0

    strict = start(node, Configuration(tmp_path, group(vip=[VIP, VIP6], both_families=True)))
    strict.wait_for(f"waiting: {missing}, and both_families is set", SOON_S)
    node.shell("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
    strict.wait_for("became master", SOON_S)
