"""What a packet costs in the engine, after the socket."""

import time
from collections.abc import Callable
from ipaddress import ip_address
from statistics import median

from bench.result import Result
from bench.section import Section, of_results
from carpsidecar.protocol.auth import Authenticator, CompatibleAuth, HardenedAuth
from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import Drop, header, pack
from carpsidecar.protocol.receiver import Receiver

_PACKETS = 20_000
_ROUNDS = 5
_PEER = ip_address("192.0.2.11")
_SELF = ip_address("192.0.2.12")
_VIPS = [ip_address("192.0.2.100")]


def section(quick: bool) -> Section:
    return of_results("Packets", measure(), "What one packet costs the engine, after the socket.")


def measure() -> list[Result]:
    results = []
    for mode, make in (
        ("carp", lambda: CompatibleAuth(b"secret", 42, _VIPS, 7)),
        ("hardened", lambda: HardenedAuth(b"secret", 42, _VIPS)),
    ):
        results.append(Result(f"valid packet, {mode}", _cost_us(make, _valid), "us", goal=25))
        results.append(Result(f"bad digest, {mode}", _cost_us(make, _forged), "us", goal=10))
    results.append(Result("foreign vhid", _cost_us(make, _foreign), "us", goal=10))
    return results


def _cost_us(make: Callable[[], Authenticator], packets: Callable[[Authenticator], list[bytes]]) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        receiver = Receiver()
        receiver.add(42, make())
        election = Election(Settings(), _SELF)
        election.start(0.0, link_up=True)
        heard = packets(make())
        started = time.perf_counter()
        for payload in heard:
            result = receiver.receive(payload, 255, _PEER)
            if not isinstance(result, Drop):
                election.advertisement_received(1.0, result.advbase, result.advskew, result.demotion, _PEER)
        rounds.append((time.perf_counter() - started) / len(heard) * 1e6)
    return median(rounds)


def _valid(auth: Authenticator) -> list[bytes]:
    head = header(auth.version, 42, 0, 1)
    counters = [auth.next_counter(number) for number in range(_PACKETS)]
    return [pack(head, counter, auth.digest(head, _PEER, counter)) for counter in counters]


def _forged(auth: Authenticator) -> list[bytes]:
    return [pack(header(auth.version, 42, 0, 1), auth.next_counter(0), bytes(20))] * _PACKETS


def _foreign(auth: Authenticator) -> list[bytes]:
    return [pack(header(auth.version, 43, 0, 1), auth.next_counter(0), bytes(20))] * _PACKETS
