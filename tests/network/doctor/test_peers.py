"""What is wrong between this machine and the others of its group, planted and found."""

import secrets
import time
from ipaddress import ip_address

import pytest

from carpsidecar.lab.process import Process
from carpsidecar.protocol.auth import Claim
from carpsidecar.protocol.hardened import Hardened
from carpsidecar.protocol.hardened_packet import Role
from carpsidecar.protocol.keys import KeyRing
from tests.network.doctor.lab import HERE, MASTER, PASSPHRASE, THERE, VIP, VIP6, DoctorLab, repeating
from tests.support.frames import ipv4
from tests.support.tap import Tap
from tests.support.waits import SOON_S
from tests.unit.capture.packets import carp

pytestmark = pytest.mark.network


def test_a_group_that_is_well(lab: DoctorLab, master: Process) -> None:
    report = lab.run_checks()
    assert (report.exit_status, report.problems) == (0, set()), str(report)
    assert {one["check"] for one in report.findings if one["status"] == "warning"} <= {"clock"}
    assert report.one("peers", "ok").startswith(f"{MASTER} is master: every 0.0781 s, advskew 20")
    assert report.one("digest", "ok") == f"that of {MASTER} fits"
    assert report.one("delivery", "ok") == f"what {MASTER} sends reaches programs"
    assert report.one("holder", "ok") == f"{VIP} is held by the master, {MASTER}"
    assert report.one("vhid", "ok") == "42 is used by nobody else"
    assert report.one("multicast", "ok") == "224.0.0.18 can be joined, and comes back"


def test_it_disturbs_nobody(lab: DoctorLab, master: Process) -> None:
    """No advertisement and no claim leaves the machine: what leaves it asks, from no address."""
    with Tap(lab.there) as tap:
        lab.run_checks("--vip", VIP6)
        ours = [frame.data for frame in tap.heard if frame.data[6:12] == bytes.fromhex("02ca0000000c")]
    assert ours, "it has asked for the address"
    assert [frame for frame in ours if frame[12:14] == b"\x08\x00" and frame[23] == 112] == []
    arp = [frame for frame in ours if frame[12:14] == b"\x08\x06"]
    assert {frame[28:32] for frame in arp if frame[20:22] == b"\0\1"} == {bytes(4)}
    assert "became" not in master.log[master.log.index("became master") + 13 :]


@pytest.mark.parametrize(
    ("passphrase", "words"),
    [
        ("another one", "nor does anything near our settings: most likely its passphrase is another"),
        (f"{PASSPHRASE} ", "its passphrase has no blanks or line ends around it"),
        (f"{PASSPHRASE}\r\n", "its passphrase has no blanks or line ends around it"),
        (f'"{PASSPHRASE}"', "its passphrase has no quotes around it"),
        (PASSPHRASE + " yes", "its passphrase is ours cut after 15 bytes"),
        (PASSPHRASE[:-1], "nor does anything near our settings"),
    ],
    ids=["another", "blank", "CR LF", "quotes", "longer", "shorter"],
)
def test_a_wrong_passphrase(lab: DoctorLab, master: Process, passphrase: str, words: str) -> None:
    report = lab.run_checks(passphrase=passphrase)
    found = report.one("digest", "problem")
    assert found.startswith(f"that of {MASTER} does not fit")
    assert words in found
    assert passphrase not in str(report)


@pytest.mark.parametrize(
    ("flags", "vip", "words"),
    [
        (("--vip", "10.99.0.101"), VIP, f"its addresses are {VIP}: 10.99.0.101 is missing there"),
        (("--vip", VIP6), VIP, f"its addresses are {VIP}: {VIP6} is missing there"),
        ((), "10.99.0.109", f"its only address is {VIP}"),
    ],
    ids=["one more", "one family more", "another"],
)
def test_other_addresses(lab: DoctorLab, master: Process, flags: tuple[str, ...], vip: str, words: str) -> None:
    assert words in lab.run_checks(*flags, vip=vip).one("digest", "problem")


def test_the_other_mode(lab: DoctorLab, master: Process) -> None:
    found = lab.run_checks("--auth", "hardened").one("digest", "problem")
    assert found == f"{MASTER} uses auth carp, and this configuration hardened"


def test_the_other_mode_and_another_address(lab: DoctorLab, master: Process) -> None:
    found = lab.run_checks("--auth", "hardened", vip="10.99.0.109").one("digest", "problem")
    assert found == f"{MASTER} uses auth carp, and this configuration hardened; its only address is {VIP}"


def test_another_vhid(lab: DoctorLab, master: Process) -> None:
    report = lab.run_checks(vhid=43)
    assert report.one("vhid", "problem") == f"{MASTER} has our passphrase and addresses, but vhid 42, not 43"
    assert report.one("peers", "warning").startswith("no master was heard in")


def test_equal_priorities(lab: DoctorLab, master: Process) -> None:
    found = lab.run_checks(advskew=20).one("priority", "warning")
    assert found == f"{MASTER} has advbase 0 and advskew 20, as we have"


def test_intervals_that_do_not_fit(lab: DoctorLab, master: Process) -> None:
    found = lab.run_checks("--advbase", "9").one("priority", "problem")
    assert found.startswith(f"this machine advertises every 9.2 s, longer than {MASTER} waits for a master")


def test_a_running_daemon_that_was_configured_otherwise(lab: DoctorLab, master: Process) -> None:
    report = lab.run_checks("--vip", "10.99.0.101", node=lab.master)
    found = report.one("digest", "problem")
    assert found.startswith(f"that of this machine's own daemon ({MASTER}) does not fit: its addresses are {VIP}")
    assert "send the daemon HUP" in report.of("digest")[0]["remedy"]


def test_a_backup_that_has_the_address(lab: DoctorLab, master: Process) -> None:
    backup = lab.run(lab.there, advskew=60)
    backup.wait_for("became backup", SOON_S)
    # In the shape of a lease, which a permanent one has not.
    leased = ["valid_lft", "100", "preferred_lft", "0", "noprefixroute"]
    lab.there.run(["ip", "address", "add", f"{VIP}/32", "dev", "eth0", *leased])
    report = lab.run_checks(node=lab.there, advskew=60)
    found = report.one("addresses", "problem")
    assert found == f"{VIP} is on this machine, and another one is master: both answer for it"
    assert not report.of("addresses", "ok")
    lab.there.run(["ip", "address", "del", f"{VIP}/32", "dev", "eth0"])
    assert backup.stop() == 0


def test_the_master_itself(lab: DoctorLab, master: Process) -> None:
    report = lab.run_checks(node=lab.master, advskew=20)
    assert report.problems == set(), str(report)
    assert report.one("peers", "ok") == "this machine is master, and no other one is"
    assert report.one("addresses", "ok") == f"this machine holds {VIP}"
    assert report.one("holder", "ok") == f"{VIP} is held by this machine, and nobody else answers for it"
    assert "serves it, for" in report.one("daemon", "ok")


def test_two_masters_at_once(lab: DoctorLab, master: Process) -> None:
    """The other one hears nothing, and takes over; both are heard here."""
    lab.there.drop_incoming()
    try:
        second = lab.run_master(lab.there, advskew=60)
        report = lab.run_checks()
        assert report.one("peers", "problem") == f"{MASTER}, {THERE} are masters at once"
        again = lab.run_checks(node=lab.master)
        assert again.one("peers", "problem") == f"this machine is master, and so is {THERE}: two at once"
        assert second.stop() == 0
    finally:
        lab.there.rejoin()


def test_another_machine_has_our_own_address(lab: DoctorLab, master: Process) -> None:
    with Tap(lab.there) as tap, repeating(tap, lambda: ipv4(tap.mac, HERE, carp())):
        report = lab.run_checks()
    assert report.one("reflection", "problem") == f"advertisements from our own address {HERE} come in on eth0"
    assert report.problems == {"reflection"}


def test_our_own_packets_come_back_and_are_no_rivals(lab: DoctorLab, master: Process) -> None:
    mac = bytes.fromhex(lab.here.run(["cat", "/sys/class/net/eth0/address"]).strip().replace(":", ""))
    with Tap(lab.there) as tap, repeating(tap, lambda: ipv4(mac, HERE, carp())):
        report = lab.run_checks()
    found = report.one("reflection", "warning")
    assert found == "the network returns what this machine sends on eth0; it is not heeded"
    assert not report.problems


def test_a_member_with_other_addresses(lab: DoctorLab) -> None:
    """Hardened: it is a member all the same, and what it has is read off its fingerprint."""
    other = Hardened(0.0, 44, KeyRing([PASSPHRASE.encode()]), [ip_address("10.99.0.2")], secrets.token_bytes)
    began = time.monotonic()

    def advertisement() -> bytes:
        claim = Claim(Role.MASTER, 0, 40, since_s=0.0)
        return ipv4(tap.mac, THERE, other.advertisement(time.monotonic() - began, ip_address(THERE), claim))

    with Tap(lab.there) as tap, repeating(tap, advertisement):
        report = lab.run_checks("--auth", "hardened", vhid=44)
    assert report.one("members", "warning").startswith(
        f"{THERE} has other addresses: its only address is 10.99.0.2; here they are {VIP}"
    )
    assert report.of("digest", "ok")
