"""The echo server that runs in a node: `python -m carpsidecar.lab.echo NAME`.

It answers on every address of the node, from the address that was asked, with the question and the node's name.
"""

import contextlib
import socket
import sys

PORT = 7007
READY = "echo: ready"


def main() -> None:
    name = sys.argv[1].encode()
    # One socket for both families: the kernel gives and takes IPv4 addresses mapped into IPv6 ones.
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        server.bind(("::", PORT))
        print(READY, flush=True)
        while True:
            question, asked_address, _, client = server.recvmsg(64, socket.CMSG_SPACE(20))
            # The address may have left the node since the question came.
            with contextlib.suppress(OSError):
                server.sendmsg([question + name], asked_address, 0, client)


if __name__ == "__main__":
    main()
