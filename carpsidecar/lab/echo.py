"""The echo server that runs in a node: `python -m carpsidecar.lab.echo NAME`.

It answers on every address of the node, from the address that was asked, with the question, for how long it lay in
the kernel before this process came to it (nanoseconds), and the node's name.
"""

import contextlib
import socket
import struct
import sys
import time

PORT = 7007
READY = "echo: ready"
WAITED = struct.Struct("!Q")

_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("=qq")
_CONTROL_BYTES = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(_TIMESPEC.size)
Control = list[tuple[int, int, bytes]]


def stamp_arrivals(receiver: socket.socket) -> None:
    """From now on the kernel notes when each packet comes."""
    receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def waited_ns(control: Control) -> int:
    """For how long a packet that was just read lay in the kernel: so late was this process."""
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            arrived_ns: int = seconds * 1_000_000_000 + nanoseconds
            return max(0, time.time_ns() - arrived_ns)
    return 0


def main() -> None:
    name = sys.argv[1].encode()
    # One socket for both families: the kernel gives and takes IPv4 addresses mapped into IPv6 ones.
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        stamp_arrivals(server)
        server.bind(("::", PORT))
        print(READY, flush=True)
        while True:
            question, control, _, client = server.recvmsg(64, _CONTROL_BYTES)
            answer = question + WAITED.pack(waited_ns(control)) + name
            asked_address = [entry for entry in control if entry[0] == socket.IPPROTO_IPV6]
            # The address may have left the node since the question came.
            with contextlib.suppress(OSError):
                server.sendmsg([answer], asked_address, 0, client)


if __name__ == "__main__":
    main()
