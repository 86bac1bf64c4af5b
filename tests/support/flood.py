"""`python -m tests.support.flood RATE SECONDS PAYLOAD_HEX` sends a payload of protocol 112 from ever other sources.

A process of its own, so that no thread of the test slows it down; it prints how many frames it sent.
"""

import itertools
import os
import socket
import sys
import time
from ipaddress import IPv4Address

from tests.support.frames import ipv4

SOURCES = 20000
_FIRST_SOURCE = int(IPv4Address("10.99.100.0"))
_DIGEST_SIZE = 20


def main() -> None:
    rate, duration_s, payload = float(sys.argv[1]), float(sys.argv[2]), bytes.fromhex(sys.argv[3])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind(("eth0", 0))
        mac: bytes = wire.getsockname()[4]
        signed = payload[:-_DIGEST_SIZE]
        frames = itertools.cycle(
            [
                ipv4(mac, IPv4Address(_FIRST_SOURCE + number), signed + os.urandom(_DIGEST_SIZE))
                for number in range(SOURCES)
            ]
        )
        print("floods", flush=True)
        begun, sent = time.monotonic(), 0
        while (passed_s := time.monotonic() - begun) < duration_s:
            for frame in itertools.islice(frames, max(0, int(passed_s * rate) - sent)):
                wire.send(frame)
                sent += 1
            time.sleep(0.002)
    print(f"sent {sent} in {passed_s:.1f} s", flush=True)


if __name__ == "__main__":
    main()
