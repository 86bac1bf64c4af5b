"""Sends prepared frames as fast as asked: `python -m bench.flood FRAMES RATE SECONDS`, in a node's namespace.

FRAMES holds one frame a line, in hexadecimal, sent in turn. Many go out by one sendmmsg(2), so that plain Python
keeps up with 50,000 a second. At the end it prints how many were sent and how long that took.
"""

import ctypes
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_BURSTS_PER_S = 1000
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20
_libc = ctypes.CDLL(None, use_errno=True)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vectors_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent_length", ctypes.c_uint32),
    )


def main() -> None:
    file, rate, seconds = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    frames = [bytes.fromhex(line) for line in file.read_text().split()]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        out.bind(("eth0", 0))
        sent, took_s = flood(out, frames, rate, seconds)
    print(f"flood: sent {sent} in {took_s:.3f} s", flush=True)


def flood(out: socket.socket, frames: Sequence[bytes], rate: float, seconds: float) -> tuple[int, float]:
    """What is late is made up for, so that the rate holds on the whole; how many were sent, in what time."""
    vectors = (_Vector * len(frames))(*(_Vector(frame, len(frame)) for frame in frames))
    messages = (_Message * len(frames))()
    for message, vector in zip(messages, vectors, strict=True):
        message.vectors, message.vectors_length = ctypes.pointer(vector), 1
    size = ctypes.sizeof(_Message)
    start = time.monotonic()
    sent = 0
    while (now := time.monotonic()) < start + seconds:
        due = int((now - start) * rate) - sent
        if due <= 0:
            time.sleep(1 / _BURSTS_PER_S)
            continue
        first = sent % len(frames)
        count = min(due, len(frames) - first, 256)
        done = _libc.sendmmsg(out.fileno(), ctypes.byref(messages, first * size), count, 0)
        # A full queue is not the flood's end: what did not go out is due again.
        sent += max(0, done)
    return sent, time.monotonic() - start


if __name__ == "__main__":
    main()
