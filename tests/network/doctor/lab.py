"""A segment with a fast master on it, and the doctor on another machine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from carpsidecar.cli.doctor import parser
from carpsidecar.config.sources import load
from carpsidecar.doctor.findings import document
from carpsidecar.doctor.run import run_checks
from carpsidecar.lab.commands import LabError
from carpsidecar.lab.namespace import in_namespace
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.command import COMMAND
from tests.support.tap import Tap
from tests.support.waits import SOON_S

VIP, VIP6, VHID = "10.99.0.100", "fd99::100", 42
PASSPHRASE = "carp in the lab"
MASTER, HERE, THERE = "10.99.0.11", "10.99.0.12", "10.99.0.13"


@dataclass(frozen=True)
class Report:
    """What the doctor said."""

    exit_status: int
    findings: list[dict[str, Any]]

    def of(self, check: str, status: str | None = None) -> list[dict[str, Any]]:
        return [one for one in self.findings if one["check"] == check and status in (None, one["status"])]

    def one(self, check: str, status: str) -> str:
        """What it found there, where that is one thing; a problem has a remedy, and makes the exit status 1."""
        [finding] = self.of(check, status)
        if status in ("problem", "warning"):
            assert finding["remedy"]
        if status == "problem":
            assert self.exit_status == 1
        return str(finding["found"])

    @property
    def problems(self) -> set[str]:
        return {one["check"] for one in self.findings if one["status"] == "problem"}

    def __str__(self) -> str:
        return "\n".join(f"{one['status']:8} {one['check']}: {one['found']}" for one in self.findings)


class DoctorLab:
    """Nodes master (.11), here (.12) and there (.13)."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.master, self.here, self.there = (lab.node(name) for name in ("master", "here", "there"))

    def run(
        self,
        node: Node,
        *flags: str,
        vip: str | None = VIP,
        vhid: int = VHID,
        advskew: int = 20,
        passphrase: str = PASSPHRASE,
    ) -> Process:
        argv = [*COMMAND, "run", *self._settings(vip, vhid, advskew), *flags]
        return node.start(argv, env={"CARP_PASSPHRASE": passphrase})

    def run_master(self, node: Node, *flags: str, **given: Any) -> Process:
        process = self.run(node, *flags, **given)
        process.wait_for("became master", SOON_S)
        return process

    def run_checks(
        self,
        *flags: str,
        node: Node | None = None,
        interface: str | None = "eth0",
        vip: str | None = VIP,
        vhid: int = VHID,
        advskew: int = 50,
        passphrase: str = PASSPHRASE,
        listen_s: float = 0.4,
    ) -> Report:
        """Let the doctor look from inside this machine: in this process, since a new one takes time to start."""
        given = parser().read([*self._settings(vip, vhid, advskew, interface), *flags])
        del given["json"], given["listen"]
        flags_given = {name: value for name, value in given.items() if name != "config"}
        config = load(flags_given, {"CARP_PASSPHRASE": passphrase})
        with in_namespace((node or self.here).ns):
            reported = document(run_checks(config, listen_s, lambda text: None))
        return Report(reported["exit_status"], reported["findings"])

    def run_doctor(
        self, *flags: str, node: Node | None = None, by: tuple[str, ...] = (), advskew: int = 50
    ) -> Process:
        """The command itself, as a person starts it."""
        argv = [*by, *COMMAND, "doctor", "--listen", "0.4", *self._settings(VIP, VHID, advskew), *flags]
        process = (node or self.here).start(argv, env={"CARP_PASSPHRASE": PASSPHRASE})
        process.wait(SOON_S)
        return process

    @staticmethod
    def _settings(vip: str | None, vhid: int, advskew: int, interface: str | None = "eth0") -> list[str]:
        words = ["--vhid", str(vhid), "--advbase", "0", "--advskew", str(advskew)]
        named = {"--interface": interface, "--vip": vip}
        return words + [word for flag, value in named.items() if value for word in (flag, value)]


@contextmanager
def undone(node: Node, do: str, undo: str) -> Iterator[None]:
    """A fault that is taken back at the end."""
    try:
        node.shell(do)
        yield
    finally:
        with suppress(LabError):
            node.shell(undo)


@contextmanager
def repeating(tap: Tap, make: Callable[[], bytes], every_s: float = 0.1) -> Iterator[None]:
    """Meanwhile this machine sends what `make` returns, again and again."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(every_s):
            tap.send(make())

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
