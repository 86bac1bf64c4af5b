"""Who else uses protocol 112 on the segment: other groups, VRRP, and what is damaged."""

from collections.abc import Iterator
from itertools import islice

from carpsidecar.doctor.digests import fits
from carpsidecar.doctor.findings import Finding, ok, problem, warning
from carpsidecar.doctor.listener import Observed
from carpsidecar.doctor.machine import Subject
from carpsidecar.doctor.peers import needs_observed, unexplained

_TOLD_MAX = 16


@needs_observed("vhid")
def numbers(subject: Subject, observed: Observed) -> Iterator[Finding]:
    """Whether another group, or a VRRP router, has our number; and whether ours has another one elsewhere."""
    vhid = subject.config.vhid
    fine = True
    for sender in unexplained(subject, observed):
        fine = False
        yield problem(
            f"{sender.source} uses vhid {vhid} too, and neither our passphrase nor our addresses",
            "if it is of another group, give one of the two another --vhid; if of this one, see digest",
        )
    routers = {(sender.source, router.version, router.vrid) for sender, router in observed.vrrp()}
    for source, version, vrid in sorted(routers, key=str)[:_TOLD_MAX]:
        if vrid == vhid:
            fine = False
            yield problem(
                f"{source} speaks VRRP {version} with virtual router id {vrid}, our vhid:"
                " its master falls silent at times when it hears CARP with its number",
                "give the group another --vhid, or the router another id",
            )
    for sender in observed.carp():
        message = sender.carp
        if message is None or message.vhid == vhid:
            continue
        if fits(message, sender.last.datagram, subject.passphrases, subject.addresses):
            fine = False
            yield problem(
                f"{sender.source} has our passphrase and addresses, but vhid {message.vhid}, not {vhid}",
                "give all nodes of the group one --vhid",
            )
    if fine:
        others = sorted({f"vhid {s.carp.vhid}" for s in observed.carp() if s.carp})
        others += sorted({f"VRRP {vrid}" for _, _, vrid in routers})
        others = [other for other in others if other != f"vhid {vhid}"]
        beside = f"; beside it here: {', '.join(others[:_TOLD_MAX])}" if others else ""
        yield ok(f"{vhid} is used by nobody else{beside}")


@needs_observed("packets")
def damaged(subject: Subject, observed: Observed) -> Iterator[Finding]:
    for source, packet in islice(observed.damaged.items(), _TOLD_MAX):
        what = ", ".join(packet.problems)
        routed = packet.datagram.ttl != 255
        yield warning(
            f"{source} sends protocol 112 that is bad: {what}",
            "a router must not pass CARP on: have all nodes on one segment"
            if routed
            else f"see `carpsidecar capture -i {subject.interface}`; a card that spoils checksums: ethtool -K",
        )
    if not observed.damaged:
        yield ok("none was damaged")
