"""Who advertises for the group: whether it is authentic, and fits our settings."""

from collections.abc import Callable, Iterator
from functools import wraps

from carpsidecar.capture.formatting import interval_s
from carpsidecar.doctor.digests import Message, Network, address_difference, difference, fits
from carpsidecar.doctor.findings import Check, Finding, check, ok, problem, skipped, warning
from carpsidecar.doctor.listener import Observed, Sender
from carpsidecar.doctor.machine import Subject
from carpsidecar.protocol.hardened_packet import VERSION_HARDENED, HardenedPacket
from carpsidecar.protocol.keys import fingerprint
from carpsidecar.protocol.timing import TICKS_PER_S, interval_ticks, master_down_ticks

_NAMED_MAX = 16
_EXPLAINED_MAX = 16
"""Sources whose digest is looked into: finding out why one does not fit takes up to a second."""


def needs_observed(name: str) -> Callable[[Callable[[Subject, Observed], Iterator[Finding]]], Check[Subject]]:
    """A check that needs to have listened, and is skipped otherwise."""

    def wrap(function: Callable[[Subject, Observed], Iterator[Finding]]) -> Check[Subject]:
        @check(name)
        @wraps(function)
        def checked(subject: Subject) -> Iterator[Finding]:
            if subject.observed is None:
                yield skipped(subject.unobserved)
            else:
                yield from function(subject, subject.observed)

        return checked

    return wrap


@needs_observed("peers")
def peers(subject: Subject, observed: Observed) -> Iterator[Finding]:
    """Who is master: only masters advertise."""
    others = [sender for sender in authentic(subject, observed) if not sender.last.is_bow_out]
    here = list(observed.carp(subject.config.vhid, outgoing=True))
    for sender in others:
        message = _message(sender)
        found = f"{sender.source} is master: every {interval_s(message):.3g} s, advskew {message.advskew}"
        yield ok(found)
    # One that speaks both families advertises from an address of each.
    masters = max(sum(sender.source.version == family for sender in others) for family in (4, 6))
    if here and others:
        yield problem(
            f"this machine is master, and so is {names_of(others)}: two at once",
            "they should agree within a second; if not, one does not hear the other: run this there, too",
        )
    elif masters > 1:
        yield problem(
            f"{names_of(others)} are masters at once",
            "they do not hear each other: check the switch (IGMP snooping, VLAN, isolated ports) between them",
        )
    elif here:
        yield ok("this machine is master, and no other one is")
    elif not others:
        yield warning(
            f"no master was heard in {observed.seconds:g} s",
            "start the daemon on the nodes; if it runs there, run `carpsidecar capture` on both: what leaves one"
            " and does not get here is lost in between (VLAN, IGMP snooping, isolated ports)",
        )


@needs_observed("digest")
def digests(subject: Subject, observed: Observed) -> Iterator[Finding]:
    if not subject.config.passphrase.secret:
        yield skipped("the passphrase is not known here: see configuration")
        return
    vhid = subject.config.vhid
    senders = [sender for own in (True, False) for sender in observed.carp(vhid, outgoing=own)]
    masters = {sender.source for sender in senders}
    backups = [sender for own in (True, False) for sender in observed.members(vhid, outgoing=own)]
    senders += [sender for sender in backups if sender.source not in masters]
    good = [sender for sender in senders if _is_ours(subject, sender)]
    bad = [sender for sender in senders if sender not in good]
    for sender in bad[:_EXPLAINED_MAX]:
        yield _mismatch(subject, observed, sender)
    if len(bad) > _EXPLAINED_MAX:
        yield problem(
            f"those of {len(bad) - _EXPLAINED_MAX} more sources do not fit",
            f"see who sends so much: carpsidecar capture -i {subject.interface}",
        )
    if good:
        yield ok(f"that of {names_of(good)} fits")
    elif not bad:
        yield skipped("nobody advertised this vhid")


@needs_observed("priority")
def priorities(subject: Subject, observed: Observed) -> Iterator[Finding]:
    """Equal intervals leave the choice to the addresses; ones too far apart make a backup impatient."""
    settings = subject.config.settings
    fine = True
    for sender in authentic(subject, observed):
        message = _message(sender)
        if sender.last.is_bow_out or sender.source in subject.sources.values():
            continue
        theirs = interval_ticks(message.advbase, message.advskew)
        if theirs == subject.interval_ticks:
            fine = False
            yield warning(
                f"{sender.source} has advbase {message.advbase} and advskew {message.advskew}, as we have",
                "give each node its own --advskew: the least is preferred; of equals the lower address is",
            )
        too_slow = theirs > subject.master_down_ticks
        patience = master_down_ticks(message.advbase, message.advskew, settings.dead_ratio)
        if too_slow or subject.interval_ticks > patience:
            fine = False
            slow, quick = (sender.source, "this machine") if too_slow else ("this machine", sender.source)
            yield problem(
                f"{slow} advertises every {max(theirs, subject.interval_ticks) / TICKS_PER_S:.3g} s, longer than"
                f" {quick} waits for a master: the address would go to and fro",
                "give all nodes one advbase",
            )
    if fine:
        yield ok(f"advskew {subject.advskew} is ours alone, so far")


@needs_observed("members")
def members(subject: Subject, observed: Observed) -> Iterator[Finding]:
    """In the hardened mode members with other addresses elect one master all the same."""
    if subject.config.auth != "hardened":
        return
    heard = [*observed.carp(subject.config.vhid), *observed.members(subject.config.vhid)]
    alike = []
    for sender in heard:
        message = _message(sender)
        if not isinstance(message, HardenedPacket) or not _is_signed(subject, sender):
            continue
        if message.fingerprint == fingerprint(subject.addresses):
            alike.append(sender)
            continue
        theirs = address_difference(message, subject.addresses, observed.claims, _networks(subject))
        ours = ", ".join(map(str, subject.addresses))
        yield warning(
            f"{sender.source} has other addresses: {theirs or 'which ones is not known'}; here they are {ours}",
            "give all nodes the same ones; until then the addresses change with the master",
        )
    if alike:
        yield ok(f"{names_of(alike)} has the same addresses")


def authentic(subject: Subject, observed: Observed) -> Iterator[Sender]:
    """Whose advertisements have our mode and a good digest."""
    for sender in observed.carp(subject.config.vhid):
        if _is_ours(subject, sender):
            yield sender


def _is_ours(subject: Subject, sender: Sender) -> bool:
    return _message(sender).version == subject.version and _is_signed(subject, sender)


def _is_signed(subject: Subject, sender: Sender) -> bool:
    """With our passphrase and addresses, in whichever mode it is; or where we do not know the passphrase."""
    return not subject.config.passphrase.secret or fits(
        _message(sender), sender.last.datagram, subject.passphrases, subject.addresses
    )


def _mismatch(subject: Subject, observed: Observed, sender: Sender) -> Finding:
    message = _message(sender)
    who = f"this machine's own daemon ({sender.source})" if sender.outgoing else str(sender.source)
    again = "; send the daemon HUP, or restart it" if sender.outgoing else ""
    why = _explanation(subject, observed, sender)
    if message.version != subject.version:
        theirs, ours = ("hardened", "carp") if message.version == VERSION_HARDENED else ("carp", "hardened")
        found = f"{who} uses auth {theirs}, and this configuration {ours}" + (f"; {why}" if why else "")
        return problem(found, f"set auth alike on all nodes{again}")
    if why:
        return problem(f"that of {who} does not fit: {why}", f"make both alike{again}")
    return problem(
        f"that of {who} does not fit, nor does anything near our settings: most likely its passphrase is another",
        f"put one passphrase and the same addresses on all nodes (compare sha256sum of the files){again};"
        " if it is another group's, see vhid",
    )


def _networks(subject: Subject) -> Iterator[Network]:
    if subject.link is not None:
        for own in subject.netlink.addresses(subject.link.index):
            yield own.interface.network


def unexplained(subject: Subject, observed: Observed) -> list[Sender]:
    """Who uses our vhid with a digest that no small difference explains: another group, perhaps."""
    bad = [sender for sender in observed.carp(subject.config.vhid) if not _is_signed(subject, sender)]
    return [sender for sender in bad[:_EXPLAINED_MAX] if _explanation(subject, observed, sender) == ""]


def _explanation(subject: Subject, observed: Observed, sender: Sender) -> str | None:
    """None where the digest fits in its own mode, "" where nothing that was tried does."""
    if _is_signed(subject, sender):
        return None
    return (
        difference(
            _message(sender),
            sender.last.datagram,
            subject.passphrases[0],
            subject.addresses,
            observed.claims,
            _networks(subject),
        )
        or ""
    )


def _message(sender: Sender) -> Message:
    message = sender.carp
    if message is None:
        raise TypeError("no CARP")
    return message


def names_of(senders: list[Sender]) -> str:
    """Their addresses; of very many, the first ones."""
    names = sorted({str(sender.source) for sender in senders})
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
