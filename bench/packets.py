"""What a packet costs in the engine, after the socket."""

import secrets
import time
from collections.abc import Callable
from ipaddress import ip_address
from statistics import median

from bench.result import Result
from bench.section import Section, of_results
from carpsidecar.protocol.auth import Accepted, Authenticator, Claim, CompatibleAuth
from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.hardened import Hardened
from carpsidecar.protocol.hardened_packet import Role
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import Drop
from carpsidecar.protocol.receiver import Receiver

_PACKETS = 20_000
_ROUNDS = 5
_PEER = ip_address("192.0.2.11")
_SELF = ip_address("192.0.2.12")
_VIPS = [ip_address("192.0.2.100")]
_CLAIM = Claim(Role.MASTER, 1, 0, 0.0)
_GAP_S = 1e-5
Pair = tuple[Authenticator, Authenticator]


def section(quick: bool) -> Section:
    return of_results("Packets", measure(), "What one packet costs the engine, after the socket.")


def measure() -> list[Result]:
    results = []
    for mode, make in (("carp", _compatible), ("hardened", _hardened)):
        results.append(Result(f"valid packet, {mode}", _cost_us(make, 42), "us", goal=25))
        results.append(Result(f"bad digest, {mode}", _cost_us(make, 42, forged=True), "us", goal=10))
    results.append(Result("foreign vhid", _cost_us(_compatible, 43), "us", goal=10))
    return results


def _cost_us(make: Callable[[int], Pair], vhid: int, forged: bool = False) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        peer, ours = make(vhid)
        receiver = Receiver()
        receiver.add(42, ours)
        election = Election(Settings(), _SELF)
        election.start(0.0, link_up=True)
        sent = [(number * _GAP_S, peer.advertisement(number * _GAP_S, _PEER, _CLAIM)) for number in range(_PACKETS)]
        if forged:
            sent = [(now, payload[:-20] + bytes(20)) for now, payload in sent]
        started = time.perf_counter()
        for now, payload in sent:
            result = receiver.receive(now, payload, 255, _PEER)
            if not isinstance(result, Drop):
                election.advertisement_received(1.0, result.advbase, result.advskew, result.demotion, _PEER)
        rounds.append((time.perf_counter() - started) / len(sent) * 1e6)
    return median(rounds)


def _compatible(vhid: int) -> Pair:
    accepted = [Accepted(b"secret", _VIPS)]
    return CompatibleAuth(vhid, accepted, 7), CompatibleAuth(42, accepted, 7)


def _hardened(vhid: int) -> Pair:
    """Two that know each other."""
    keys = KeyRing([b"secret"])
    peer, ours = (Hardened(-1.0, vhid, keys, _VIPS, secrets.token_bytes) for _ in range(2))
    ours.start(-0.01)
    [question] = ours.take_replies()
    peer.receive(-0.01, ours.reply(-0.01, _SELF, _CLAIM, question), _SELF)
    [answer] = peer.take_replies()
    ours.receive(-0.01, peer.reply(-0.01, _PEER, _CLAIM, answer), _PEER)
    return peer, ours
