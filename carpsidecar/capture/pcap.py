"""Classic pcap files, read and written as a stream.

Source: draft-ietf-opsawg-pcap. Both byte orders are read, with micro- and nanoseconds; what we write has the byte
order of this machine and nanoseconds. pcapng is recognised, and refused with the command that converts it.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from io import RawIOBase
from typing import BinaryIO

from msgspec import Struct

_MICROSECONDS, _NANOSECONDS, _PCAPNG = 0xA1B2C3D4, 0xA1B23C4D, 0x0A0D0D0A
_VERSION = (2, 4)
_HEADER_SIZE, _RECORD_SIZE = 24, 16
_LINK_TYPE_MASK = 0xFFFF  # above it: whether frames end with a check sequence, and how long that is
CAPTURED_MAX = 262144
"""Bytes of one frame: what tcpdump and Wireshark take at most; more means that the file is damaged."""


class LinkType(IntEnum):
    """How a frame begins (tcpdump.org/linktypes.html)."""

    ETHERNET = 1
    RAW = 101
    LINUX_SLL = 113
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


class PcapError(Exception):
    """A file that is no pcap, or damaged; one line that says what was found, and what to do."""


class Frame(Struct, frozen=True):
    """One frame, as far as it was captured. `length` is that on the wire; times are since the epoch."""

    time_ns: int
    link_type: LinkType
    data: bytes
    length: int
    interface: str = ""
    """Where it was heard; a file does not say."""
    outgoing: bool = False
    """Whether this machine sent it, as far as is known."""


class PcapReader:
    """A pcap file: its link type at once, its frames one after the other.

    Raises:
        PcapError: it is no pcap file, or its link type is unknown to us.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        header = _read(file, _HEADER_SIZE, name)
        self._order, self._unit_ns = _form(header, name)
        self.link_type = _link_type(struct.unpack_from(f"{self._order}I", header, 20)[0] & _LINK_TYPE_MASK, name)

    def frames(self) -> Iterator[Frame]:
        """Raises: PcapError where the file is damaged; what was before that has been yielded."""
        record = struct.Struct(f"{self._order}IIII")
        number = 0
        while head := _read(self._file, _RECORD_SIZE, self._name):
            number += 1
            if len(head) < _RECORD_SIZE:
                raise self._cut_short(number)
            seconds, fraction, captured, length = record.unpack(head)
            if captured > CAPTURED_MAX:
                raise PcapError(
                    f"{self._name}: damaged: packet {number} claims {captured} bytes: what was before it is shown"
                )
            data = _read(self._file, captured, self._name)
            if len(data) < captured:
                raise self._cut_short(number)
            yield Frame(seconds * 1_000_000_000 + fraction * self._unit_ns, self.link_type, data, length)

    def lost(self) -> int:
        return 0

    def _cut_short(self, number: int) -> PcapError:
        return PcapError(f"{self._name}: cut short in packet {number}: what was before it is shown")


class PcapWriter:
    """Writes frames of one link type to an unbuffered file: each is there when `write` returns.

    Raises:
        OSError: the file can't be written to.
    """

    def __init__(self, file: RawIOBase, link_type: LinkType) -> None:
        self._file = file
        self._put(struct.pack("=IHHiIII", _NANOSECONDS, *_VERSION, 0, 0, CAPTURED_MAX, link_type))

    def write(self, frame: Frame) -> None:
        seconds, fraction = divmod(frame.time_ns, 1_000_000_000)
        head = struct.pack("=IIII", seconds & 0xFFFFFFFF, fraction, len(frame.data), frame.length)
        self._put(head + frame.data)

    def _put(self, data: bytes) -> None:
        while data:
            data = data[self._file.write(data) or 0 :]


def _read(file: BinaryIO, size: int, name: str) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise PcapError(f"{name}: can't be read ({error.strerror}): give a pcap file") from None


def _form(header: bytes, name: str) -> tuple[str, int]:
    """The byte order, and how many nanoseconds the unit of a time's fraction is."""
    if len(header) >= 4:
        for order in "<>":
            magic = struct.unpack_from(f"{order}I", header)[0]
            if magic == _PCAPNG:
                raise PcapError(
                    f"{name}: a pcapng file, and only pcap is read: convert it, for example with"
                    f" `editcap -F pcap {name} {name}.pcap`"
                )
            if magic in (_MICROSECONDS, _NANOSECONDS) and len(header) == _HEADER_SIZE:
                return order, 1000 if magic == _MICROSECONDS else 1
    what = "empty" if not header else "no pcap file"
    raise PcapError(f"{name}: {what}: give one that tcpdump, Wireshark or `carpsidecar capture -w` wrote")


def _link_type(number: int, name: str) -> LinkType:
    try:
        return LinkType(number)
    except ValueError:
        known = ", ".join(f"{kind.name} ({kind.value})" for kind in LinkType)
        raise PcapError(f"{name}: its link type is {number}: only {known} can be read") from None
