"""The machines of one segment and what runs on them: ours, the drop-in and Debian's ucarp, and keepalived.

All three speakers of CARP are started alike, stop and die alike, and log each transition.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.probe import EchoServer, Probe
from carpsidecar.lab.process import Process
from tests.support.command import COMMAND
from tests.support.waits import SOON_S

Kind = Literal["ours", "drop-in", "ucarp"]

VIP, OTHER_VIP = "10.99.0.100", "10.99.0.101"
VHID = 42
PASSPHRASE = "carp in the lab"

SLOWER = 100
"""An advskew that loses against none."""
LOGGED_WITHIN_S = 0.5
"""What a speaker did to the kernel is in its log by then."""
DISCOVERED_S = 4.0
"""Longer than any backup waits: a group that rests for so long is at peace."""

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
UCARP = shutil.which("ucarp", path=_PATH)
KEEPALIVED = shutil.which("keepalived", path=_PATH)
needs_ucarp = pytest.mark.skipif(UCARP is None, reason="ucarp is not installed (Debian: ucarp)")
needs_keepalived = pytest.mark.skipif(KEEPALIVED is None, reason="keepalived is not installed (Debian: keepalived)")

_TRANSITION = re.compile(r"(?:became|Switching to state:) (\w+)")
_COMPLAINT = re.compile(r"bad (digest|version|ttl|ip checksum|checksum|length|authlen|replay|own)", re.IGNORECASE)


class Member:
    """A speaker of CARP on its machine. It may end and be started again; `log` is that of all its lives."""

    def __init__(self, kind: Kind, node: Node, argv: Sequence[str]) -> None:
        self.kind = kind
        self.node = node
        self.name = node.name
        self._argv = argv
        self._lives: list[Process] = []
        self.start()

    @property
    def process(self) -> Process:
        return self._lives[-1]

    @property
    def log(self) -> str:
        return "".join(life.log for life in self._lives)

    @property
    def transitions(self) -> list[str]:
        """The roles it took one after the other, by its own word."""
        return [role.lower() for role in _TRANSITION.findall(self.log)]

    @property
    def complaints(self) -> list[str]:
        """What it logged about packets that it could not accept."""
        return [line for line in self.log.splitlines() if _COMPLAINT.search(line)]

    def start(self) -> None:
        self._lives.append(self.node.start(self._argv))

    def wait_for_role(self, role: str, timeout_s: float, after: int = 0) -> str:
        """The line by which this life took the role."""
        line = re.compile(rf"(?:became|Switching to state:) {role}", re.IGNORECASE)
        return self.process.wait_for(line, timeout_s, after)


class Segment:
    """A group on one lab. `watch` has seen all who held the address since the first machine was there."""

    def __init__(self, lab: Lab, vip: str, names: Sequence[str]) -> None:
        self.lab = lab
        self.vip = vip
        self.members: list[Member] = []
        self.nodes = {name: lab.node(name) for name in names}
        self.watch = HolderWatch(list(self.nodes.values()), vip)

    def join(
        self,
        kind: Kind,
        name: str,
        *flags: str,
        advskew: int = 0,
        vip: str | None = None,
        passphrase: str = PASSPHRASE,
        scripts: bool = True,
        before: Sequence[str] = (),
    ) -> Member:
        """Start this kind of speaker on the machine of that name; `before` goes before its command line."""
        node = self.nodes[name]
        secret = self._file(f"{name}.pass", f"{passphrase}\n", 0o600)
        vip = vip or self.vip
        if kind == "ours":
            argv = [*COMMAND, "run", "--interface", "eth0", "--vip", vip, "--vhid", str(VHID)]
            argv += ["--passphrase-file", secret, "--advskew", str(advskew)]
        else:
            argv = [*COMMAND, "ucarp"] if kind == "drop-in" else [str(UCARP)]
            argv += ["-i", "eth0", "-s", str(node.address), "-a", vip, "-v", str(VHID)]
            argv += ["-o", secret, "-k", str(advskew), "-z", "-f", "none"]
            if scripts:
                argv += ["-u", self._script("up", "add"), "-d", self._script("down", "del")]
        member = Member(kind, node, [*before, *argv, *flags])
        self.members.append(member)
        return member

    def join_pair(self, first: Kind, second: Kind, *flags: str) -> tuple[Member, Member]:
        """A master, and then its backup, on the first two machines."""
        names = list(self.nodes)
        master = self.join(first, names[0], *flags)
        self.expect_holder(master)
        backup = self.join(second, names[1], *flags, advskew=SLOWER)
        backup.wait_for_role("backup", SOON_S)
        return master, backup

    def rejoin(self, member: Member) -> None:
        """Start it again after its end, as a backup."""
        member.start()
        member.wait_for_role("backup", SOON_S)

    def expect_holder(self, member: Member, within_s: float = SOON_S) -> None:
        """Wait until its kernel, and no other one of those that live, holds the address."""
        self.watch.wait_for_holder(member.name, within_s)
        member.wait_for_role("master", SOON_S)

    def expect_peace(self, holder: Member, for_s: float = DISCOVERED_S) -> None:
        """This member alone holds the address, and from now on nothing changes for so long."""
        self.watch.wait_until(lambda holders: holders == {holder.name}, SOON_S, f"{holder.name} alone")
        # The kernel is heard before the log, where a speaker notes what it did there.
        self.watch.wait_until_quiet(LOGGED_WITHIN_S, SOON_S)
        changes = len(self.watch.changes)
        transitions = [member.transitions for member in self.members]
        self.watch.wait_until_quiet(for_s, for_s)
        assert [member.transitions for member in self.members] == transitions
        assert self.watch.changes[changes:] == []

    def expect_no_complaints(self) -> None:
        """All understood all that they heard."""
        assert {member.name: member.complaints for member in self.members if member.complaints} == {}

    def _script(self, name: str, verb: str) -> str:
        return self._file(name, f'#!/bin/sh\nexec ip addr {verb} "$2/32" dev "$1"\n', 0o755)

    def _file(self, name: str, text: str, mode: int) -> str:
        path = self.lab.directory / name
        if not path.exists():
            path.write_text(text)
            path.chmod(mode)
        return str(path)


@contextmanager
def segment(*names: str, vip: str = VIP) -> Iterator[Segment]:
    with Lab() as lab:
        made = Segment(lab, vip, names or ("first", "second"))
        with made.watch:
            try:
                yield made
            except BaseException as error:
                # The lab's files are gone when pytest reports it.
                for member in made.members:
                    error.add_note(f"--- {member.kind} on {member.name}:\n" + member.log[-3000:])
                raise


@contextmanager
def client_of(made: Segment) -> Iterator[Probe]:
    """A machine apart that asks whoever holds the address for its name, 50 times a second."""
    with ExitStack() as stack:
        for node in made.nodes.values():
            stack.callback(EchoServer(node).stop)
        yield stack.enter_context(Probe(made.lab.node("client"), made.vip, 0.02))


def keepalived(
    made: Segment, name: str, version: int, addresses: Sequence[str], priority: int = 150, number: int = VHID
) -> Process:
    """A VRRP router on the machine of that name, with the group's number unless another is given."""
    lines = "\n".join(f"    {address}/32" for address in addresses)
    directory = made.lab.directory
    config = directory / f"keepalived-{name}.conf"
    config.write_text(
        f"global_defs {{\n  vrrp_version {version}\n}}\n"
        f"vrrp_instance lab {{\n  interface eth0\n  virtual_router_id {number}\n  priority {priority}\n"
        f"  advert_int 1\n  virtual_ipaddress {{\n{lines}\n  }}\n}}\n"
    )
    # Each in a place of its own for its pid files, since machines of the lab share one file system.
    pids = [f"--{flag}={directory}/{name}-{flag}" for flag in ("pid", "vrrp_pid")]
    argv = [str(KEEPALIVED), "--vrrp", "--dont-fork", "--log-console", f"--use-file={config}", *pids]
    return made.nodes[name].start(argv)


def seconds_until(line: str, since: float) -> float:
    """From `since`, by the wall clock, to the time stamp of a line of ucarp's log."""
    stamp, fraction = line.split(": ", 1)[0].split(".")
    return time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction}") - since
