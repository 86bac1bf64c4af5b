"""A packet as a line for people, and as a JSON object."""

import time
from typing import Any

from carpsidecar.capture.decode import Packet, Vrrp
from carpsidecar.capture.verify import DigestStatus
from carpsidecar.protocol.hardened_packet import NONE, HardenedPacket, Kind, Role, unpack_details
from carpsidecar.protocol.packet import Advertisement
from carpsidecar.protocol.timing import TICKS_PER_S, interval_ticks


def line_of(packet: Packet, digest: DigestStatus) -> str:
    """One line: when, where, from whom to whom, what, and what is wrong with it."""
    parts = [_local_time(packet.frame.time_ns)]
    if packet.frame.interface:
        parts.append(packet.frame.interface)
    parts += [f"{packet.datagram.source} > {packet.datagram.destination}", _what(packet, digest)]
    if packet.datagram.vlans:
        parts.insert(-1, "vlan " + "/".join(map(str, packet.datagram.vlans)))
    if packet.problems:
        parts.append(f"BAD: {', '.join(packet.problems)}")
    return " ".join(parts)


def record_of(packet: Packet, digest: DigestStatus) -> dict[str, Any]:
    """The same as a JSON object; what is not known is left out."""
    frame, datagram = packet.frame, packet.datagram
    record: dict[str, Any] = {"time_ns": frame.time_ns}
    if frame.interface:
        record["interface"] = frame.interface
    record["outgoing"] = datagram.outgoing
    for name, mac in (("mac_source", datagram.mac_source), ("mac_destination", datagram.mac_destination)):
        if mac:
            record[name] = mac.hex(":")
    if datagram.vlans:
        record["vlans"] = list(datagram.vlans)
    record |= {
        "source": str(datagram.source),
        "destination": str(datagram.destination),
        "ttl": datagram.ttl,
        "length": datagram.length,
    }
    message = packet.message
    if isinstance(message, Vrrp):
        record |= _vrrp_record(message, packet.is_bow_out)
    elif isinstance(message, HardenedPacket):
        record |= _hardened_record(message, packet, digest)
    elif message is not None:
        record |= _carp_record(message, packet.is_bow_out, digest)
    else:
        record |= {"protocol": "unknown", "payload": datagram.payload[:64].hex()}
    return record | {"problems": list(packet.problems)}


def interval_s(message: Advertisement | HardenedPacket) -> float:
    return interval_ticks(message.advbase, message.advskew) / TICKS_PER_S


def _what(packet: Packet, digest: DigestStatus) -> str:
    message = packet.message
    if message is None:
        return f"protocol 112, {packet.datagram.length} bytes"
    if isinstance(message, Vrrp):
        return _vrrp_line(message)
    if isinstance(message, HardenedPacket):
        return _hardened_line(message, packet, digest)
    parts = [f"CARP {message.version >> 4} vhid {message.vhid}"]
    parts.append(f"advbase {message.advbase} advskew {message.advskew}")
    parts.append("bow-out" if packet.is_bow_out else f"every {interval_s(message):.3f} s")
    if message.demotion:
        parts.append(f"demotion {message.demotion}")
    parts.append(f"counter {int.from_bytes(message.counter, 'big')} digest {digest}")
    return " ".join(parts)


def _hardened_line(message: HardenedPacket, packet: Packet, digest: DigestStatus) -> str:
    parts = [f"CARP 3 hardened vhid {message.vhid} {_name(Kind, message.kind)} of a {_name(Role, message.role)}"]
    if message.kind == Kind.ADVERTISEMENT:
        parts.append(f"advbase {message.advbase} advskew {message.advskew}")
        parts.append("bow-out" if packet.is_bow_out else f"every {interval_s(message):.3f} s")
    parts.append(f"session {message.session.hex()} at {message.time_us / 1e6:.6f} s")
    for verb, nonce in (("asks", message.asked), ("answers", message.answered)):
        if nonce != NONE:
            parts.append(f"{verb} {nonce.hex()}")
    details = unpack_details(message.details) if message.details else None
    if details is not None:
        parts.append(f"name {details.name} addresses {' '.join(map(str, details.addresses)) or 'none'}")
    parts.append(f"fingerprint {message.fingerprint.hex()} key {message.key_id.hex()} digest {digest}")
    return " ".join(parts)


def _name(names: type[Kind] | type[Role], number: int) -> str:
    return names(number).name.lower() if number in list(names) else str(number)


def _vrrp_line(message: Vrrp) -> str:
    parts = [f"VRRP {message.version} vrid {message.vrid} priority {message.priority}"]
    parts.append("leaves" if message.priority == 0 else f"every {message.interval_cs / 100:.2f} s")
    if message.auth_type:
        parts.append(f"authentication type {message.auth_type}")
    parts.append("addresses " + (" ".join(map(str, message.addresses)) or "none"))
    return " ".join(parts)


def _carp_record(message: Advertisement, bow_out: bool, digest: DigestStatus) -> dict[str, Any]:
    return {
        "protocol": "carp",
        "version": message.version >> 4,
        "type": message.version & 15,
        "vhid": message.vhid,
        "advskew": message.advskew,
        "authlen": message.authlen,
        "demotion": message.demotion,
        "advbase": message.advbase,
        "checksum": message.checksum,
        "counter": int.from_bytes(message.counter, "big"),
        "hmac": message.digest.hex(),
        "interval_s": interval_s(message),
        "bow_out": bow_out,
        "digest": str(digest),
    }


def _hardened_record(message: HardenedPacket, packet: Packet, digest: DigestStatus) -> dict[str, Any]:
    record: dict[str, Any] = {
        "protocol": "carp",
        "version": message.kind >> 4,
        "type": message.kind & 15,
        "kind": _name(Kind, message.kind),
        "role": _name(Role, message.role),
        "role_age_s": message.role_age_s,
        "vhid": message.vhid,
        "advbase": message.advbase,
        "advskew": message.advskew,
        "interval_s": interval_s(message),
        "bow_out": packet.is_bow_out,
        "session": message.session.hex(),
        "session_time_us": message.time_us,
        "key_id": message.key_id.hex(),
        "fingerprint": message.fingerprint.hex(),
        "digest": str(digest),
    }
    for name, nonce in (("asks", message.asked), ("answers", message.answered), ("target", message.target)):
        if nonce != NONE:
            record[name] = nonce.hex()
    details = unpack_details(message.details) if message.details else None
    if details is not None:
        record |= {
            "name": details.name,
            "software": details.version,
            "addresses": list(map(str, details.addresses)),
        }
    return record


def _vrrp_record(message: Vrrp, bow_out: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "protocol": "vrrp",
        "version": message.version,
        "type": message.kind,
        "vrid": message.vrid,
        "priority": message.priority,
        "addresses": [str(address) for address in message.addresses],
        "interval_s": message.interval_cs / 100,
        "checksum": message.checksum,
        "bow_out": bow_out,
    }
    if message.auth_type is not None:
        record["auth_type"] = message.auth_type
    return record


def _local_time(time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    try:
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        text = str(seconds)
    return f"{text}.{fraction // 1000:06d}"
