"""Who advertises for the group: whether it is believed, and fits our settings."""

import time
from collections.abc import Callable, Iterator
from functools import wraps

from carpsidecar.capture.show import interval_s
from carpsidecar.doctor.digests import Network, difference, fits
from carpsidecar.doctor.finding import Finding, Status
from carpsidecar.doctor.hearing import Hearing, Speaker
from carpsidecar.doctor.node import span
from carpsidecar.doctor.scene import Subject
from carpsidecar.protocol.packet import VERSION_HARDENED, Advertisement
from carpsidecar.protocol.timing import TICKS_PER_S, interval_ticks, master_down_ticks

_CLOCK_OFF_S = 5.0
_NAMED_MAX = 16
_EXPLAINED_MAX = 16
"""Sources whose digest is looked into: finding out why one does not fit takes up to a second."""
_Check = Callable[[Subject], Iterator[Finding]]


def heard(name: str) -> Callable[[Callable[[Subject, Hearing], Iterator[Finding]]], _Check]:
    """A check that needs to have listened, and is skipped otherwise."""

    def wrap(check: Callable[[Subject, Hearing], Iterator[Finding]]) -> _Check:
        @wraps(check)
        def checked(subject: Subject) -> Iterator[Finding]:
            if subject.hearing is None:
                yield Finding(name, Status.SKIPPED, subject.deaf, about=subject.name)
            else:
                yield from check(subject, subject.hearing)

        return checked

    return wrap


@heard("peers")
def peers(subject: Subject, hearing: Hearing) -> Iterator[Finding]:
    """Who is master: only masters advertise."""
    others = [speaker for speaker in believed(subject, hearing) if not speaker.last.is_bow_out]
    here = list(hearing.carp(subject.config.vhid, outgoing=True))
    for speaker in others:
        message = _message(speaker)
        words = f"{speaker.source} is master: every {interval_s(message):.3g} s, advskew {message.advskew}"
        yield Finding("peers", Status.OK, words, about=subject.name)
    # One that speaks both families advertises from an address of each.
    masters = max(sum(speaker.source.version == family for speaker in others) for family in (4, 6))
    if here and others:
        yield Finding(
            "peers",
            Status.PROBLEM,
            f"this machine is master, and so is {names_of(others)}: two at once",
            "they should agree within a second; if not, one does not hear the other: run this there, too",
            subject.name,
        )
    elif masters > 1:
        yield Finding(
            "peers",
            Status.PROBLEM,
            f"{names_of(others)} are masters at once",
            "they do not hear each other: check the switch (IGMP snooping, VLAN, isolated ports) between them",
            subject.name,
        )
    elif here:
        yield Finding("peers", Status.OK, "this machine is master, and no other one is", about=subject.name)
    elif not others:
        yield Finding(
            "peers",
            Status.WARNING,
            f"no master was heard in {hearing.seconds:g} s",
            "start the daemon on the nodes; if it runs there, run `carpsidecar capture` on both: what leaves one"
            " and does not get here is lost in between (VLAN, IGMP snooping, isolated ports)",
            subject.name,
        )


@heard("digest")
def digests(subject: Subject, hearing: Hearing) -> Iterator[Finding]:
    speakers = [*hearing.carp(subject.config.vhid, outgoing=True), *hearing.carp(subject.config.vhid)]
    good = [speaker for speaker in speakers if _is_ours(subject, speaker)]
    bad = [speaker for speaker in speakers if speaker not in good]
    for speaker in bad[:_EXPLAINED_MAX]:
        yield _misfit(subject, hearing, speaker)
    if len(bad) > _EXPLAINED_MAX:
        yield Finding(
            "digest",
            Status.PROBLEM,
            f"those of {len(bad) - _EXPLAINED_MAX} more sources do not fit",
            f"see who sends so much: carpsidecar capture -i {subject.interface}",
            subject.name,
        )
    if good:
        yield Finding("digest", Status.OK, f"that of {names_of(good)} fits", about=subject.name)
    elif not bad:
        yield Finding("digest", Status.SKIPPED, "nobody advertised this vhid", about=subject.name)


@heard("priority")
def priorities(subject: Subject, hearing: Hearing) -> Iterator[Finding]:
    """Equal intervals leave the choice to the addresses; ones too far apart make a backup impatient."""
    settings = subject.config.settings
    fine = True
    for speaker in believed(subject, hearing):
        message = _message(speaker)
        if speaker.last.is_bow_out or speaker.source in subject.sources.values():
            continue
        theirs = interval_ticks(message.advbase, message.advskew)
        if theirs == subject.interval_ticks:
            fine = False
            yield Finding(
                "priority",
                Status.WARNING,
                f"{speaker.source} has advbase {message.advbase} and advskew {message.advskew}, as we have",
                "give each node its own --advskew: the least is preferred; of equals the lower address is",
                subject.name,
            )
        too_slow = theirs > subject.master_down_ticks
        patience = master_down_ticks(message.advbase, message.advskew, settings.dead_ratio)
        if too_slow or subject.interval_ticks > patience:
            fine = False
            slow, quick = (speaker.source, "this machine") if too_slow else ("this machine", speaker.source)
            yield Finding(
                "priority",
                Status.PROBLEM,
                f"{slow} advertises every {max(theirs, subject.interval_ticks) / TICKS_PER_S:.3g} s, longer than"
                f" {quick} waits for a master: the address would go to and fro",
                "give all nodes one advbase",
                subject.name,
            )
    if fine:
        yield Finding("priority", Status.OK, f"advskew {subject.advskew} is ours alone, so far", about=subject.name)


def counters(subject: Subject) -> Iterator[Finding]:
    """In the hardened mode a counter is the sender's clock, in microseconds."""
    hearing = subject.hearing
    if subject.config.auth != "hardened" or hearing is None:
        return
    for speaker in believed(subject, hearing):
        message = _message(speaker)
        theirs_s = int.from_bytes(message.counter, "big") / 1_000_000
        ahead_s = theirs_s - speaker.last.frame.time_ns / 1e9
        if message.version == VERSION_HARDENED and abs(ahead_s) > _CLOCK_OFF_S:
            where = "ahead of" if ahead_s > 0 else "behind"
            yield Finding(
                "counter",
                Status.WARNING,
                f"the counter of {speaker.source} is {span(abs(ahead_s))} {where} this machine's clock",
                f"set the clocks by NTP (now here: {time.strftime('%Y-%m-%d %H:%M:%S')}); while they differ, a node"
                " that restarts is not heard until it has heard the others",
                subject.name,
            )


def believed(subject: Subject, hearing: Hearing) -> Iterator[Speaker]:
    """Whose advertisements have our mode and a good digest."""
    for speaker in hearing.carp(subject.config.vhid):
        if _is_ours(subject, speaker):
            yield speaker


def _is_ours(subject: Subject, speaker: Speaker) -> bool:
    return _message(speaker).version == subject.version and _is_signed(subject, speaker)


def _is_signed(subject: Subject, speaker: Speaker) -> bool:
    """With our passphrase and addresses, in whichever mode it is."""
    return fits(_message(speaker), speaker.last.datagram, subject.config.passphrase.secret, subject.addresses)


def _misfit(subject: Subject, hearing: Hearing, speaker: Speaker) -> Finding:
    message = _message(speaker)
    who = f"this machine's own daemon ({speaker.source})" if speaker.outgoing else str(speaker.source)
    again = "; send the daemon HUP, or restart it" if speaker.outgoing else ""
    words = _explanation(subject, hearing, speaker)
    if message.version != subject.version:
        theirs, ours = ("hardened", "carp") if message.version == VERSION_HARDENED else ("carp", "hardened")
        found = f"{who} uses auth {theirs}, and this configuration {ours}" + (f"; {words}" if words else "")
        return Finding("digest", Status.PROBLEM, found, f"set auth alike on all nodes{again}", subject.name)
    if words:
        return Finding(
            "digest",
            Status.PROBLEM,
            f"that of {who} does not fit: {words}",
            f"make both alike{again}",
            subject.name,
        )
    return Finding(
        "digest",
        Status.PROBLEM,
        f"that of {who} does not fit, nor does anything near our settings: most likely its passphrase is another",
        f"put one passphrase and the same addresses on all nodes (compare sha256sum of the files){again};"
        " if it is another group's, see vhid",
        subject.name,
    )


def _networks(subject: Subject) -> Iterator[Network]:
    if subject.link is not None:
        for own in subject.netlink.addresses(subject.link.index):
            yield own.interface.network


def unexplained(subject: Subject, hearing: Hearing) -> list[Speaker]:
    """Who uses our vhid with a digest that no small difference explains: another group, perhaps."""
    bad = [speaker for speaker in hearing.carp(subject.config.vhid) if not _is_signed(subject, speaker)]
    return [speaker for speaker in bad[:_EXPLAINED_MAX] if _explanation(subject, hearing, speaker) == ""]


def _explanation(subject: Subject, hearing: Hearing, speaker: Speaker) -> str | None:
    """None where the digest fits in its own mode, "" where nothing that was tried does."""
    if _is_signed(subject, speaker):
        return None
    secret = subject.config.passphrase.secret
    return (
        difference(
            _message(speaker),
            speaker.last.datagram,
            secret,
            subject.addresses,
            hearing.claims,
            _networks(subject),
        )
        or ""
    )


def _message(speaker: Speaker) -> Advertisement:
    message = speaker.advertisement
    if message is None:
        raise TypeError("no CARP")
    return message


def names_of(speakers: list[Speaker]) -> str:
    """Their addresses; of very many, the first ones."""
    names = sorted({str(speaker.source) for speaker in speakers})
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
