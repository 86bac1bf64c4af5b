"""What our advertisements are to a third party: tshark decodes them as CARP, with all that was configured."""

import hmac
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from tests.support.peers import PASSPHRASE, VHID, VIP, Kind, segment
from tests.support.tap import Tap
from tests.support.tshark import BOW_OUT, CHECKSUM_GOOD, Recording, needs_tshark

pytestmark = [pytest.mark.network, needs_tshark, pytest.mark.at_once]

VIP6, OTHER_VIP = "fd99::100", "10.99.0.7"


def recorded(kind: Kind, *flags: str, vip: str = VIP, advskew: int = 0) -> list[dict[str, str]]:
    """The first three advertisements of a new master."""
    with segment("speaker", "witness", vip=vip) as made:
        recording = Recording(made.nodes["witness"], made.lab.directory, packets=3)
        made.expect_holder(made.join(kind, "speaker", *flags, advskew=advskew))
        return recording.packets()


def digest(packet: dict[str, str], *addresses: str) -> str:
    """As ucarp and the BSDs compute it, here by the standard library."""
    signed = b"".join(ip_address(address).packed for address in addresses)
    counter = int(packet["carp.counter"]).to_bytes(8, "big")
    return hmac.new(PASSPHRASE.encode(), b"\x02\x01" + bytes([VHID]) + signed + counter, "sha1").hexdigest()


def values(packets: Sequence[dict[str, str]], field: str) -> list[int]:
    return [int(packet[field], 0) for packet in packets]


@pytest.mark.parametrize("kind", ["ours", "drop-in"])
def test_an_advertisement_is_carp_with_the_configured_fields(kind: Kind) -> None:
    packets = recorded(kind, advskew=77)
    for packet in packets:
        assert packet["carp.version"] == "2"
        assert packet["carp.type"] == "1"
        assert packet["carp.vhid"] == str(VHID)
        assert packet["carp.advskew"] == "77"
        assert packet["carp.adver_int"] == "1"
        assert packet["carp.authlen"] == "7"
        assert packet["carp.demotion"] == "0"
        assert packet["carp.checksum.status"] == CHECKSUM_GOOD
        assert packet["carp.hmac"].replace(":", "") == digest(packet, VIP)
        assert "vrrp.version" not in packet
    first, *later = values(packets, "carp.counter")
    assert later == [(first + 1) % 2**64, (first + 2) % 2**64]


@pytest.mark.parametrize("kind", ["ours", "drop-in"])
def test_it_travels_as_carp_does(kind: Kind) -> None:
    for packet in recorded(kind):
        assert packet["ip.src"] == "10.99.0.11"
        assert packet["ip.dst"] == "224.0.0.18"
        assert packet["eth.dst"] == "01:00:5e:00:00:12"
        assert packet["ip.ttl"] == "255"
        assert packet["ip.dsfield"] == "0x10"
        assert packet["ip.flags.df"] == "1"
        assert packet["ip.len"] == str(20 + 36)


def test_the_digest_covers_all_addresses_in_ascending_order() -> None:
    for packet in recorded("ours", "--vip", OTHER_VIP):
        assert packet["carp.hmac"].replace(":", "") == digest(packet, OTHER_VIP, VIP)


def test_over_ipv6_it_is_the_same_carp() -> None:
    for packet in recorded("ours", vip=VIP6, advskew=5):
        assert packet["ipv6.dst"] == "ff02::12"
        assert packet["eth.dst"] == "33:33:00:00:00:12"
        assert packet["ipv6.hlim"] == "255"
        assert packet["ipv6.plen"] == "36"
        assert ip_address(packet["ipv6.src"]).is_link_local or packet["ipv6.src"] == "fd99::b"
        assert packet["carp.version"] == "2"
        assert packet["carp.vhid"] == str(VHID)
        assert packet["carp.advskew"] == "5"
        assert packet["carp.checksum.status"] == CHECKSUM_GOOD
        assert packet["carp.hmac"].replace(":", "") == digest(packet, VIP6)


def test_a_broadcast_reaches_everybody_and_names_the_group() -> None:
    for packet in recorded("ours", "--broadcast"):
        assert packet["eth.dst"] == "ff:ff:ff:ff:ff:ff"
        assert packet["ip.dst"] == "224.0.0.18"
        assert packet["ip.ttl"] == "255"
        assert packet["carp.checksum.status"] == CHECKSUM_GOOD


def test_hardened_mode_is_not_taken_for_carp_version_2() -> None:
    for packet in recorded("ours", "--auth", "hardened"):
        assert int(packet["ip.len"]) >= 20 + 92
        assert "carp.version" not in packet
        assert (packet["vrrp.version"], int(packet["vrrp.type"])) in [("3", 2), ("3", 3), ("3", 4)]


def test_the_last_words_of_a_master_that_stops_are_a_bow_out() -> None:
    with segment("speaker", "witness") as made:
        witness = made.nodes["witness"]
        recording = Recording(witness, made.lab.directory, packets=1, only=BOW_OUT)
        with Tap(witness) as tap:
            speaker = made.join("ours", "speaker")
            made.expect_holder(speaker)
            assert speaker.process.stop() == 0
            (last,) = recording.packets()
            assert [heard.is_bow_out for heard in tap.advertisements[-2:]] == [False, True]
    assert (last["carp.adver_int"], last["carp.advskew"]) == ("255", "255")
    assert last["carp.hmac"].replace(":", "") == digest(last, VIP)
