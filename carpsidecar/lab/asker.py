"""The client that asks the echo servers without a pause: `python -m carpsidecar.lab.asker ADDRESS INTERVAL_S`.

A process of its own, so that no thread of the lab spoils its timing. It writes to standard output, times in
nanoseconds of the monotonic clock, `? NUMBER TIME` for a question sent and `! NUMBER TIME WAITED NODE` for its
answer: TIME leaves out what it WAITED for a processor at the server and here, for the network is what is measured.
"""

import contextlib
import gc
import os
import select
import socket
import struct
import sys
import time

from carpsidecar.lab.echo import PORT, WAITED, stamp_arrivals, waited_ns

_NUMBER = struct.Struct("!Q")
_HEAD_BYTES = _NUMBER.size + WAITED.size


def main() -> None:
    address, interval_ns = sys.argv[1], round(float(sys.argv[2]) * 1e9)
    gc.disable()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    number = 0
    due = time.monotonic_ns()
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        # Not connected: a refused question is an unanswered one and no error.
        client.setblocking(False)
        stamp_arrivals(client)
        while True:
            now = time.monotonic_ns()
            if now < due:
                if select.select([client], [], [], (due - now) / 1e9)[0]:
                    _receive(client, address)
                continue
            with contextlib.suppress(OSError):
                client.sendto(_NUMBER.pack(number), (address, PORT))
            _write(f"? {number} {now}\n")
            number += 1
            # After a pause the questions that were missed are not made up for: a burst would prove nothing.
            due = max(due + interval_ns, now)


def _receive(client: socket.socket, address: str) -> None:
    try:
        answer, control, _, sender = client.recvmsg(64, 64)
    except OSError:
        return
    now = time.monotonic_ns()
    if sender[0] == address and len(answer) > _HEAD_BYTES:
        (number,) = _NUMBER.unpack_from(answer)
        (waited,) = WAITED.unpack_from(answer, _NUMBER.size)
        waited += waited_ns(control)
        _write(f"! {number} {now - waited} {waited} {answer[_HEAD_BYTES:].decode()}\n")


def _write(line: str) -> None:
    os.write(sys.stdout.fileno(), line.encode())


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
