"""What was seen in all, for the lines at the end. Of speakers, only so many are told apart."""

from collections import Counter
from collections.abc import Iterator

from carpsidecar.capture.decode import Packet, Vrrp
from carpsidecar.capture.verify import DigestStatus
from carpsidecar.protocol.hardened_packet import HardenedPacket

SPEAKERS_MAX = 1024
SHOWN_MAX = 32


class Tally:
    def __init__(self) -> None:
        self.packets = 0
        self._kinds: Counter[str] = Counter()
        self._bad = 0
        self._speakers: Counter[str] = Counter()

    def add(self, packet: Packet, digest: DigestStatus) -> None:
        self.packets += 1
        self._bad += bool(packet.problems) or digest is DigestStatus.BAD
        message = packet.message
        if isinstance(message, Vrrp):
            kind, number = "VRRP", f"VRRP {message.version} vrid {message.vrid}"
        elif isinstance(message, HardenedPacket):
            kind, number = "CARP", f"CARP 3 hardened vhid {message.vhid} digest {digest}"
        elif message is not None:
            kind, number = "CARP", f"CARP {message.version >> 4} vhid {message.vhid} digest {digest}"
        else:
            kind, number = "other", "other"
        self._kinds[kind] += 1
        speaker = f"{packet.datagram.source} {number}"
        if speaker in self._speakers or len(self._speakers) < SPEAKERS_MAX:
            self._speakers[speaker] += 1

    def lines(self, lost: int) -> Iterator[str]:
        """`lost`: how many found no room in the kernel's buffer."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._kinds.most_common())
        head = f"{self.packets} packets" + (f": {kinds}" if kinds else "")
        if self._bad:
            head += f"; {self._bad} bad"
        if lost:
            head += f"; {lost} more came faster than they could be read"
        yield head
        shown = self._speakers.most_common(SHOWN_MAX)
        for speaker, count in shown:
            yield f"  {count} from {speaker}"
        others = self.packets - sum(count for _, count in shown)
        if others:
            yield f"  {others} from others"
