"""What the floor of a failover is made of, measured in two nodes by the code that the engine uses.

`python -m bench.floor_probe send INTERVAL_S SECONDS [realtime]` in one node, and `… hear …` in another one; each
prints its times at the end as one JSON object, in seconds.
"""

import asyncio
import json
import struct
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface

from carpsidecar.linux import realtime
from carpsidecar.linux.announce import Announcer
from carpsidecar.linux.carp_socket import CarpSocket
from carpsidecar.linux.fence import Fence
from carpsidecar.linux.lease import Lease
from carpsidecar.linux.netlink import Netlink
from carpsidecar.protocol.packet import CARP_GROUP_IPV4, header, pack

_GROUP = IPv4Address(CARP_GROUP_IPV4)
_HEAD = header(42, 0, 1)
_TIME = struct.Struct(">Q")
_HELD, _TAKEN = IPv4Interface("10.99.0.100/32"), IPv4Interface("10.99.0.101/32")
_SETTLES_S = 1.0
_LIVE_S = 0.5

Times = dict[str, list[float]]


def main() -> None:
    role, interval_s, seconds, *rest = sys.argv[1:]
    if rest and (refused := realtime.take()):
        raise SystemExit(f"no real-time priority: {refused}")
    measure = {"send": send, "hear": hear}[role]
    print(json.dumps(asyncio.run(measure(float(interval_s), float(seconds)))), flush=True)


async def send(interval_s: float, seconds: float) -> Times:
    """At each tick what a master does; between two ticks what a backup does that takes over."""
    loop = asyncio.get_running_loop()
    netlink = Netlink()
    link = next(link for link in netlink.links() if link.name == "eth0")
    source = next(h.interface.ip for h in netlink.addresses(link.index) if h.interface.version == 4)
    carp, announcer = CarpSocket("eth0", link.index, 4), Announcer(link.index, link.mac, "eth0")
    held, taken = (Lease(netlink, link.index, [address], 1) for address in (_HELD, _TAKEN))
    times: Times = {"late": [], "renewal": [], "fence": [], "takeover": []}
    held.renew()
    fence = Fence()
    fence.add([_HELD.ip])
    start = loop.time() + _SETTLES_S
    for number in range(round(seconds / interval_s)):
        due = start + number * interval_s
        await _at(loop, due)
        times["late"].append(loop.time() - due)
        times["renewal"].append(_took(held.renew))
        times["fence"].append(_took(lambda: fence.renew({_HELD.ip: time.monotonic() + _LIVE_S})))
        carp.send(pack(_HEAD, _TIME.pack(time.monotonic_ns()), bytes(20)), source, _GROUP)
        await _at(loop, due + interval_s / 2)

        def take_over() -> None:
            carp.send(pack(_HEAD, _TIME.pack(0), bytes(20)), source, _GROUP)
            taken.renew()
            announcer.announce([_TAKEN.ip])

        times["takeover"].append(_took(take_over))
        taken.release()
    held.release()
    fence.close()
    return times


async def hear(interval_s: float, seconds: float) -> Times:
    loop = asyncio.get_running_loop()
    link = next(link for link in Netlink().links() if link.name == "eth0")
    carp = CarpSocket("eth0", link.index, 4)
    carp.join(_GROUP)
    heard: list[float] = []

    def readable() -> None:
        for received in carp.receive(64):
            (sent_ns,) = _TIME.unpack_from(received.payload, 8)
            if sent_ns:
                heard.append((time.monotonic_ns() - sent_ns) / 1e9)

    loop.add_reader(carp.fileno(), readable)
    print("ready", flush=True)
    # Longer than the sender, whose interpreter still has to start.
    deadline = loop.time() + 3 * _SETTLES_S + 1.5 * seconds
    while len(heard) < round(seconds / interval_s) and loop.time() < deadline:
        await asyncio.sleep(0.1)
    return {"heard": heard}


async def _at(loop: asyncio.AbstractEventLoop, when: float) -> None:
    # A timer of the loop's own, as the engine has them.
    reached = loop.create_future()
    loop.call_at(when, reached.set_result, None)
    await reached


def _took(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
