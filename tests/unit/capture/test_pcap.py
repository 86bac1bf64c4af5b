"""Files of every form are read, what we write is one of them, and what is damaged is said in one line."""

import io
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.capture.pcap import Frame, LinkType, PcapError, PcapReader, PcapWriter

FRAMES = [
    Frame(1_700_000_000_123_456_789, LinkType.ETHERNET, b"first", 5),
    Frame(1_700_000_001_000_000_001, LinkType.ETHERNET, b"cut", 900),
]


def read(data: bytes) -> list[Frame]:
    return list(PcapReader(io.BytesIO(data), "it.pcap").frames())


def written(frames: list[Frame], link_type: LinkType = LinkType.ETHERNET) -> bytes:
    file = io.BytesIO()
    writer = PcapWriter(file, link_type)  # type: ignore[arg-type]
    for frame in frames:
        writer.write(frame)
    return file.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)], ids=["us", "ns"])
def test_both_byte_orders_and_both_units_are_read(order: str, magic: int, unit_ns: int) -> None:
    data = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
    data += struct.pack(f"{order}IIII", 1_700_000_000, 123_456, 3, 70) + b"abc"
    time_ns = 1_700_000_000 * 10**9 + 123_456 * unit_ns
    assert read(data) == [Frame(time_ns, LinkType.ETHERNET, b"abc", 70)]


def test_what_is_written_is_read_again() -> None:
    assert read(written(FRAMES)) == FRAMES


@pytest.mark.parametrize("link_type", list(LinkType))
def test_a_file_says_its_link_type(link_type: LinkType) -> None:
    assert PcapReader(io.BytesIO(written([], link_type)), "it.pcap").link_type is link_type


def test_a_check_sequence_told_of_beside_the_link_type_is_no_other_type() -> None:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1 | 0x54000000)
    assert PcapReader(io.BytesIO(data), "it.pcap").link_type is LinkType.ETHERNET


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it.pcap: empty: give one that"),
        (b"PK\x03\x04" + bytes(40), "it.pcap: no pcap file: give one that"),
        (struct.pack("<I", 0xA1B2C3D4), "it.pcap: no pcap file"),
        (bytes.fromhex("0a0d0d0a") + bytes(40), "a pcapng file, and only pcap is read: convert it"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 127), "its link type is 127: only ETHERNET (1)"),
        (written(FRAMES)[:-1], "it.pcap: cut short in packet 2"),
        (written(FRAMES)[:-10], "it.pcap: cut short in packet 2"),
        (written(FRAMES) + struct.pack("=IIII", 0, 0, 1 << 30, 9), "damaged: packet 3 claims 1073741824 bytes"),
    ],
    ids=["empty", "zip", "head", "pcapng", "link type", "data", "record", "size"],
)
def test_what_can_not_be_read_is_reported(data: bytes, message: str) -> None:
    with pytest.raises(PcapError) as error:
        read(data)
    assert message in str(error.value)


def test_what_was_before_the_damage_is_there() -> None:
    frames = PcapReader(io.BytesIO(written(FRAMES)[:-1]), "it.pcap").frames()
    assert next(frames) == FRAMES[0]
    with pytest.raises(PcapError):
        next(frames)


@given(st.binary(max_size=300), st.sampled_from([b"", written(FRAMES), written(FRAMES)[:24]]), st.integers(0, 100))
def test_no_file_is_a_traceback(noise: bytes, good: bytes, at: int) -> None:
    with suppress(PcapError):
        read(good[:at] + noise + good[at + len(noise) :])
