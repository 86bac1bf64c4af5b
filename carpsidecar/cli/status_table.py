"""The status for people: a table of all groups, and all that is known of one."""

from collections.abc import Iterator, Sequence

from carpsidecar.cli.terminal import BOLD, DIM, GREEN, RED, YELLOW, aligned, styled, wrapped
from carpsidecar.status.formatting import ago, plain, span
from carpsidecar.status.model import GroupStatus, NodeStatus, Unreachable

_ROLES = {"master": GREEN, "backup": "", "init": YELLOW, "fault": RED}
_LABEL = 12
_MARGIN = "  "
_NARROWEST = 60
_NO_BREAK = "\u2423"
"""A space at which a line does not end."""
_BOW_OUT_S = 255
"""An interval that is advertised by a bow-out only."""
_HEAD = ("GROUP", "ROLE", "FOR", "INTERFACE", "MASTER", "ADDRESSES")
_HEAD_OF_SERVICES = ("SERVICE", "ADDRESS", "GROUP", "ROLE", "FOR", "MASTER", "WHY")


class Table:
    """Args:
    width: of the lines, as far as they can be broken.
    colour: whether escape sequences are understood.
    """

    def __init__(self, *, width: int, colour: bool) -> None:
        self._width = max(width, _NARROWEST)
        self._colour = colour

    def lines(
        self, engines: Sequence[NodeStatus], unreachable: Sequence[Unreachable], whole: bool
    ) -> Iterator[str]:
        """Args: whole: all that is known of each group, though there are several."""
        for number, engine in enumerate(engines):
            if number:
                yield ""
            if len(engines) > 1:
                yield self._in(BOLD, f"engine {engine.pid}, version {engine.software}")
            if not engine.answers:
                silent = "" if engine.silent_s is None else f" for {span(engine.silent_s)}"
                yield self._in(RED, f"The engine has been silent{silent}: what follows is what it reported last.")
            if not engine.groups:
                yield "The engine has no group yet."
            elif whole or len(engine.groups) == 1:
                yield from self._each(engine)
            else:
                yield from self._overview(engine)
        for one in unreachable:
            yield self._in(RED, f"{one.socket}: {one.why}")

    # All groups.

    def _overview(self, engine: NodeStatus) -> Iterator[str]:
        now_s = engine.now_s
        groups = [group for group in engine.groups if not group.services]
        services = sorted((group for group in engine.groups if group.services), key=lambda group: group.services)
        if groups:
            yield from self._listed(_HEAD, groups, [_cells(group, now_s) for group in groups])
        for group in groups:
            for text in _notes(group, now_s):
                colour = RED if text in group.problems or group.role == "fault" else YELLOW
                yield from self._broken(f"{group.group}: ", text, colour)
        if services:
            yield from [""] if groups else []
            yield from self._listed(_HEAD_OF_SERVICES, services, [_service_cells(one, now_s) for one in services])
            yield from self._notes_of_services(services, now_s)
        yield self._in(DIM, "All that is known of one: carpsidecar status GROUP")

    def _listed(
        self, head: tuple[str, ...], groups: Sequence[GroupStatus], rows: Sequence[tuple[str, ...]]
    ) -> Iterator[str]:
        first, *lines = aligned([head, *rows])
        role_at = head.index("ROLE")
        yield self._in(DIM, "  ".join(first).rstrip())
        for cells, group in zip(lines, groups, strict=True):
            cells[role_at] = self._in(_ROLES[group.role], cells[role_at])
            yield "  ".join(cells).rstrip()[: None if self._colour else self._width]

    def _notes_of_services(self, services: Sequence[GroupStatus], now_s: float) -> Iterator[str]:
        """What holds for hundreds of them is said once."""
        noted: dict[str, list[str]] = {}
        for group in services:
            for text in _notes(group, now_s):
                noted.setdefault(text, []).append(group.group)
        for text, names in noted.items():
            who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
            yield from self._broken(f"{who}: ", text, YELLOW)

    # One of them.

    def _each(self, engine: NodeStatus) -> Iterator[str]:
        for number, group in enumerate(engine.groups):
            if number:
                yield ""
            yield from self._group(group, engine)

    def _group(self, group: GroupStatus, engine: NodeStatus) -> Iterator[str]:
        since = span(engine.now_s - group.since_s)
        role = self._in(_ROLES[group.role], group.role.upper())
        yield f"{self._in(BOLD, plain(group.group))}: {role} for {since}: {plain(group.reason)}"
        for text in group.problems:
            yield from self._row("PROBLEM", text, RED)
        yield from self._rows("warning", group.warnings, YELLOW)
        link = "up" if group.link else self._in(RED, "down")
        yield from self._row("interface", f"{group.interface}, link {link}, vhid {group.vhid}")
        yield from self._rows("services", list(map(plain, group.services)))
        yield from self._rows("addresses", [self._address(group, address) for address in group.addresses])
        if group.lease_left_s is not None:
            yield from self._row("lease", f"{span(group.lease_left_s)} left")
        if group.fence_lacking:
            cost = "a dead master's address may be held a second or two longer than a backup waits"
            yield from self._row("fence", f"none, so that {cost}: {group.fence_lacking}", YELLOW)
        elif group.fenced:
            yield from self._row("fence", "up")
        yield from self._row("interval", _interval(group))
        yield from self._rows("demotions", list(_demotions(group, engine.now_s)), YELLOW)
        yield from self._row("master", self._master(group, engine.now_s))
        if group.members:
            yield from self._rows("members", list(self._members(group, engine.now_s)))
        else:
            yield from self._rows("peers", list(self._peers(group, engine.now_s)))
        drops = engine.drops.get(group.interface, {})
        counters = [f"{name} {count}" for name, count in group.counters.items()]
        counters += [f"dropped_{name} {count}" for name, count in drops.items()]
        if counters:
            # A line may end after a comma only.
            text = ", ".join(counter.replace("_", " ").replace(" ", _NO_BREAK) for counter in counters)
            yield from self._row("counters", text)

    def _address(self, group: GroupStatus, address: str) -> str:
        if group.kernel is None:
            return address
        if address not in group.kernel.held:
            return self._in(RED, f"{address}, not in the kernel") if group.role == "master" else address
        valid_s = group.kernel.held[address]
        return f"{address}, in the kernel {'for ever' if valid_s is None else f'for {valid_s:.0f} s yet'}"

    def _master(self, group: GroupStatus, now_s: float) -> str:
        if group.master is None:
            return self._in(RED, "none is heard")
        who = f"{group.master}, this node" if group.role == "master" else group.master
        if group.master_advertised_s is None:
            return who
        return f"{who}, advertised {ago(group.master_advertised_s, now_s)}"

    def _peers(self, group: GroupStatus, now_s: float) -> Iterator[str]:
        size = max(map(len, group.peers), default=0)
        for address, peer in group.peers.items():
            what = "bowed out" if peer.interval_s > _BOW_OUT_S else f"each {peer.interval_s:.3g} s, heard"
            text = f"{address:<{size}}  {what} {ago(peer.heard_s, now_s)}"
            if not peer.authentic:
                text += self._in(RED, ", digest does not fit: see carpsidecar doctor")
            yield text

    def _members(self, group: GroupStatus, now_s: float) -> Iterator[str]:
        names = [f"{', '.join(member.sources)} {plain(member.name)}".rstrip() for member in group.members]
        size = max(map(len, names))
        for name, member in zip(names, group.members, strict=True):
            since = span(max(0.0, now_s - member.since_s))
            text = f"{name:<{size}}  {plain(member.role)} for {since}, advskew {member.advskew}"
            text += f", version {plain(member.version)}, heard {ago(member.heard_s, now_s)}"
            if member.key > 1:
                text += self._in(YELLOW, f", signs with passphrase {member.key}")
            if not member.agrees:
                theirs = ", ".join(member.addresses) or "not known yet"
                text += self._in(YELLOW, f", other addresses: {theirs}")
            yield text

    # How it is written.

    def _rows(self, label: str, texts: Sequence[str], colour: str = "") -> Iterator[str]:
        for number, text in enumerate(texts):
            yield from self._row("" if number else label, text, colour)

    def _row(self, label: str, text: str, colour: str = "") -> Iterator[str]:
        head = f"{_MARGIN}{label:<{_LABEL}}"
        yield from self._broken(head, text, colour, self._in(DIM, head) if label != "PROBLEM" else None)

    def _broken(self, head: str, text: str, colour: str = "", shown: str | None = None) -> Iterator[str]:
        """The text beside its head, in as many lines as it needs; what has colours of its own is short."""
        lines = [text]
        if "\x1b" not in text:
            lines = wrapped(plain(text), self._width - len(head))
        for number, line in enumerate(lines):
            line = line.replace(_NO_BREAK, " ")
            yield (" " * len(head) if number else shown or head) + self._in(colour, line)

    def _in(self, colour: str, text: str) -> str:
        return styled(text, colour) if self._colour else text


def _cells(group: GroupStatus, now_s: float) -> tuple[str, ...]:
    more = f" +{len(group.addresses) - 1}" if len(group.addresses) > 1 else ""
    master = "this node" if group.role == "master" else group.master or "none"
    since = span(now_s - group.since_s)
    return group.group, group.role, since, group.interface, master, (group.addresses or [""])[0] + more


def _service_cells(group: GroupStatus, now_s: float) -> tuple[str, ...]:
    more = f" +{len(group.services) - 1}" if len(group.services) > 1 else ""
    _, _, since, _, master, addresses = _cells(group, now_s)
    return group.services[0] + more, addresses, group.group, group.role, since, master, plain(group.reason)


def _notes(group: GroupStatus, now_s: float) -> list[str]:
    """What stands out of it."""
    fault = [group.reason] if group.role == "fault" else []
    return [*group.problems, *group.warnings, *_demotions(group, now_s), *fault]


def _demotions(group: GroupStatus, now_s: float) -> Iterator[str]:
    for cause, amount in group.demotions.items():
        text = group.demotion_texts.get(cause)
        since_s = group.demoted_since_s.get(cause)
        lasts = "" if since_s is None else f" (for {span(now_s - since_s)})"
        yield f"demoted by {amount}, {cause}{f': {text}' if text else ''}{lasts}"


def _interval(group: GroupStatus) -> str:
    skew = f"advskew {group.advskew}"
    if group.advskew_advertised != group.advskew:
        skew += f", advertised {group.advskew_advertised}"
    return f"{group.interval_s:.3g} s (advbase {group.advbase}, {skew}), dead ratio {group.dead_ratio}"
