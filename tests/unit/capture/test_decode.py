"""Every link type, CARP and VRRP told apart, the checks that fail, and that no bytes are a traceback."""

import json
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carpsidecar.capture.decode import Packet, Vrrp, decode
from carpsidecar.capture.formatting import line_of, record_of
from carpsidecar.capture.pcap import Frame, LinkType
from carpsidecar.capture.tally import Tally
from carpsidecar.capture.verify import DigestStatus, Verifier, digest_status
from carpsidecar.protocol.auth import Claim
from carpsidecar.protocol.freshness import Reply
from carpsidecar.protocol.hardened import Hardened
from carpsidecar.protocol.hardened_packet import NONE, Kind, Role
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import Advertisement
from tests.unit.capture.packets import (
    MAC,
    carp,
    ethernet,
    frame,
    ipv4,
    ipv6,
    sll,
    sll2,
    vrrp2,
    vrrp3,
    with_checksum,
)

HOP_BY_HOP = bytes([112, 0, 1, 4, 0, 0, 0, 0])
SEVEN = [f"10.99.0.{last}" for last in range(101, 108)]


def decoded(data: bytes, link_type: LinkType = LinkType.ETHERNET) -> Packet:
    packet = decode(frame(data, link_type))
    assert packet is not None
    return packet


def line(data: bytes) -> str:
    return line_of(decoded(data), DigestStatus.UNVERIFIED).split(" ", 2)[2]


@pytest.mark.parametrize(
    ("data", "link_type", "mac"),
    [
        (ethernet(ipv4(carp())), LinkType.ETHERNET, MAC),
        (ethernet(ipv6(carp())), LinkType.ETHERNET, MAC),
        (ethernet(ipv6(carp(), extensions=HOP_BY_HOP)), LinkType.ETHERNET, MAC),
        (ethernet(ipv4(carp())) + bytes(10), LinkType.ETHERNET, MAC),
        (sll(ipv4(carp())), LinkType.LINUX_SLL, MAC),
        (sll2(ipv6(carp())), LinkType.LINUX_SLL2, MAC),
        (ipv4(carp()), LinkType.RAW, b""),
        (ipv6(carp()), LinkType.RAW, b""),
        (ipv4(carp()), LinkType.IPV4, b""),
        (ipv6(carp()), LinkType.IPV6, b""),
    ],
    ids=["ipv4", "ipv6", "extension", "padded", "sll", "sll2", "raw 4", "raw 6", "ipv4 only", "ipv6 only"],
)
def test_every_link_type_and_family(data: bytes, link_type: LinkType, mac: bytes) -> None:
    packet = decoded(data, link_type)
    assert isinstance(packet.message, Advertisement)
    assert (packet.message.vhid, packet.problems, packet.datagram.mac_source) == (42, (), mac)


def test_vlan_tags_are_read_and_shown() -> None:
    packet = decoded(ethernet(ipv4(carp()), 7, 12))
    assert packet.datagram.vlans == (7, 12)
    assert " vlan 7/12 CARP 2 " in line_of(packet, DigestStatus.OK)


def test_cooked_frames_say_which_were_sent_here() -> None:
    for head, kind in ((sll, LinkType.LINUX_SLL), (sll2, LinkType.LINUX_SLL2)):
        assert decoded(head(ipv4(carp()), 4), kind).datagram.outgoing
        assert not decoded(head(ipv4(carp()), 2), kind).datagram.outgoing


def test_what_is_not_protocol_112_is_left_out() -> None:
    udp = bytearray(ipv4(carp()))
    udp[9] = 17
    for data in (ethernet(bytes(udp)), b"", bytes(14), ethernet(ipv4(b""))[:20]):
        assert decode(frame(data)) is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (ipv4(carp()), "CARP 2 vhid 42 advbase 1 advskew 100 every 1.391 s counter 77 digest unverified"),
        (ipv4(carp(b5=255, b2=255)), "advbase 255 advskew 255 bow-out counter"),
        (ipv4(carp(b4=3)), "every 1.391 s demotion 3 counter"),
        (ipv4(carp(), ttl=64), "BAD: ttl 64, not 255"),
        (ipv4(carp() + b"more"), "BAD: length 40, not 36"),
        (ipv4(carp(b0=0x41)), "BAD: version and type 0x41, not 0x21"),
        (ipv4(carp(b3=6)), "BAD: authlen 6, not 7"),
        (ipv4(carp(b1=0)), "BAD: vhid 0"),
        (ipv4(carp()[:-1] + b"!"), "BAD: checksum 0x"),
        (ipv4(carp()[:-1] + b"!", ttl=1), "BAD: ttl 1, not 255, checksum 0x"),
        (ipv4(carp()[:20]), "BAD: "),
        (ipv4(carp(), fragment=0x2000), "protocol 112, 36 bytes BAD: a fragment"),
        (ipv4(b"\0"), "protocol 112, 1 bytes BAD: length 1: neither CARP (36) nor VRRP"),
        (ipv4(carp())[:-6], "BAD: 6 bytes are not in the capture"),
        (ipv4(vrrp2("10.99.0.100")), "VRRP 2 vrid 51 priority 100 every 1.00 s addresses 10.99.0.100"),
        (ipv4(vrrp2("10.99.0.100", priority=0)), "VRRP 2 vrid 51 priority 0 leaves addresses 10.99.0.100"),
        (ipv4(with_checksum(vrrp2("10.99.0.100")[:-4])), "BAD: length 16, not 20 for 1 addresses"),
    ],
)
def test_what_a_line_says(data: bytes, text: str) -> None:
    assert text in line(ethernet(data))


def vrrp3_over_ipv4(*addresses: str, centiseconds: int = 100) -> bytes:
    return vrrp3(*addresses, source="10.99.0.11", destination="224.0.0.18", centiseconds=centiseconds)


def test_vrrp_3_of_either_family() -> None:
    four = vrrp3_over_ipv4("10.99.0.100", centiseconds=25)
    six = vrrp3("fe80::1", "fd99::100", source="fe80::b", destination="ff02::12")
    assert line(ethernet(ipv4(four))).endswith("VRRP 3 vrid 51 priority 100 every 0.25 s addresses 10.99.0.100")
    assert line(ethernet(ipv6(six))).endswith("addresses fe80::1 fd99::100")
    assert "BAD: checksum without pseudo-header" in line(ethernet(ipv4(with_checksum(four))))
    assert "BAD: checksum 0x" in line(ethernet(ipv4(four[:-1] + b"!")))


def test_vrrp_3_with_seven_addresses_is_not_taken_for_carp() -> None:
    payload = vrrp3_over_ipv4(*SEVEN)
    assert (len(payload), payload[3]) == (36, 7), "CARP's size and authlen"
    message = decoded(ethernet(ipv4(payload))).message
    assert isinstance(message, Vrrp)
    assert message.addresses == tuple(map(ip_address, SEVEN))


def test_the_record_has_every_field() -> None:
    record = record_of(decoded(ethernet(ipv4(carp(), ttl=9), 7)), DigestStatus.BAD)
    assert record["problems"] == ["ttl 9, not 255"]
    shown = {
        name: record[name] for name in ("vlans", "vhid", "advskew", "advbase", "demotion", "digest", "bow_out")
    }
    assert shown == {
        "vlans": [7], "vhid": 42, "advskew": 100, "advbase": 1, "demotion": 0, "digest": "bad", "bow_out": False
    }  # fmt: skip


def hardened(kind: Kind = Kind.ADVERTISEMENT, answered: bytes = NONE, role: Role = Role.MASTER) -> bytes:
    """A packet of a group of ours, in the hardened mode."""
    group = Hardened(
        0.0, 4242, KeyRing([b"secret"]), [ip_address("10.99.0.100")], lambda size: b"\x01" * size, "n1", "1.0"
    )
    claim, source = Claim(role, 1, 100, since_s=0.0), ip_address("10.99.0.11")
    if kind is Kind.ADVERTISEMENT:
        return group.advertisement(12.5, source, claim)
    return group.reply(12.5, source, claim, Reply(None, asked=b"\xab" * 8, answered=answered))


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (hardened(), "CARP 3 hardened vhid 4242 advertisement of a master advbase 1 advskew 100 every 1.391 s"),
        (hardened(), "session 0101010101010101 at 12.500000 s fingerprint"),
        (hardened(Kind.SOLICITATION, role=Role.INIT), "solicitation of a init session"),
        (hardened(Kind.ANSWER, b"\xcd" * 8, Role.BACKUP), "answer of a backup session"),
        (
            hardened(Kind.ANSWER, b"\xcd" * 8),
            "asks abababababababab answers cdcdcdcdcdcdcdcd name n1 addresses 10.99.0.100",
        ),
        (hardened()[:-1], "BAD: length 91: not what the packet says of itself"),
    ],
)
def test_what_a_line_says_of_the_hardened_mode(payload: bytes, text: str) -> None:
    assert text in line(ethernet(ipv4(payload)))


def test_a_hardened_packet_is_verified_whatever_the_addresses_are() -> None:
    good, forged = ethernet(ipv4(hardened())), ethernet(ipv4(hardened()[:-1] + b"!"))
    other_source = ethernet(ipv4(hardened(), source="10.99.0.12"))
    verifier = Verifier([b"secret"], [])

    digests = [digest_status(decoded(data), verifier) for data in (good, forged, other_source)]
    assert digests == [DigestStatus.OK, DigestStatus.BAD, DigestStatus.BAD]
    assert digest_status(decoded(good), Verifier([b"other"], [])) is DigestStatus.BAD
    assert digest_status(decoded(good), None) is DigestStatus.UNVERIFIED


def test_the_record_of_a_hardened_packet() -> None:
    record = record_of(decoded(ethernet(ipv4(hardened(Kind.ANSWER, b"\xcd" * 8)))), DigestStatus.OK)

    names = ("kind", "role", "vhid", "session_time_us", "asks", "answers", "name", "addresses", "digest")
    assert [record[name] for name in names] == [
        "advertisement", "master", 4242, 12_500_000, "ab" * 8, "cd" * 8, "n1", ["10.99.0.100"], "ok"
    ]  # fmt: skip


links = st.sampled_from(list(LinkType))
SEEDS = [
    *(ethernet(ipv4(payload)) for payload in (carp(), vrrp2("10.99.0.100"), carp(b0=0x31))),
    ethernet(ipv6(carp(), extensions=HOP_BY_HOP), 5),
    ethernet(ipv6(vrrp3("fe80::1", source="fe80::b", destination="ff02::12"))),
    ethernet(ipv4(hardened(Kind.ANSWER, b"\xcd" * 8))),
]


def digest_all(one: Frame) -> None:
    packet = decode(one)
    if packet is not None:
        digest = digest_status(packet, Verifier([b"secret"], [ip_address("10.99.0.100")]))
        assert "\n" not in line_of(packet, digest)
        json.dumps(record_of(packet, digest))


@settings(max_examples=500)
@given(st.binary(max_size=120), links, st.integers(0, 2**64))
def test_no_bytes_are_a_traceback(data: bytes, link_type: LinkType, time_ns: int) -> None:
    digest_all(Frame(time_ns, link_type, data, len(data)))


@settings(max_examples=600)
@given(st.sampled_from(SEEDS), st.data())
def test_no_spoilt_packet_is_a_traceback(seed: bytes, data: st.DataObject) -> None:
    spoilt = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(spoilt)))
    digest_all(frame(bytes(spoilt[:cut] if data.draw(st.booleans()) else spoilt)))


def test_ipv6_extension_headers_that_lead_nowhere_end() -> None:
    endless = bytearray(ipv6(carp(), extensions=bytes([0, 0, 1, 4, 0, 0, 0, 0]) * 3))
    assert decode(frame(ethernet(bytes(endless)))) is None


def test_the_summary_of_a_flood_is_short_and_its_memory_bounded() -> None:
    tally = Tally()
    for number in range(3000):
        source = f"10.1.{number >> 8}.{number & 255}"
        tally.add(decoded(ethernet(ipv4(carp(), source=source))), DigestStatus.UNVERIFIED)
    lines = list(tally.lines(lost=7))
    assert lines[0] == "3000 packets: 3000 CARP; 7 more came faster than they could be read"
    assert len(lines) == 34
    assert lines[-1] == "  2968 from others"
