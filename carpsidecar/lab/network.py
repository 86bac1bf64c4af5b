"""The lab: a switch and the nodes connected to it, gone without a trace at the end whatever ends it."""

import atexit
import contextlib
import itertools
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Self

from carpsidecar.lab.closing import Closing
from carpsidecar.lab.leftovers import DIRECTORY, lab_name, remove_dead_labs, remove_lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.switch import SEGMENTS, Switch

_FIRST_NODE_NUMBER = 11
# The addresses from .100 on are for the virtual ones.
_LAST_NODE_NUMBER = 99
# The kernel's limit of 15 characters, less the `p1-` of the port.
_NODE_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")
_FATAL_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_lab_numbers = itertools.count()


@dataclass(frozen=True)
class Mark:
    """A fault, or its end: when it was begun, on which node, and the name of the node's method."""

    at: float
    node: str
    fault: str


class Lab(Closing):
    """with Lab() as lab: master, backup = lab.node("master"), lab.node("backup")"""

    def __init__(self) -> None:
        self.name = lab_name(next(_lab_numbers))
        self.nodes: dict[str, Node] = {}
        self.marks: list[Mark] = []
        self.directory = DIRECTORY / self.name
        self._switch = Switch(f"{self.name}-switch")

    def __enter__(self) -> Self:
        _leave_by_exception_on_signals()
        atexit.register(self.close)
        try:
            remove_dead_labs()
            self.directory.mkdir(mode=0o700, parents=True)
            self._switch.create()
        except BaseException:
            self.close()
            raise
        return self

    def node(self, name: str, links: int = 1) -> Node:
        """Add a machine, with an interface on each of the first `links` segments."""
        number = _FIRST_NODE_NUMBER + len(self.nodes)
        if not _NODE_NAME.fullmatch(name) or name in self.nodes or name == "switch":
            raise ValueError(f"node name {name!r}: taken, or not {_NODE_NAME.pattern}")
        if not 1 <= links <= SEGMENTS:
            raise ValueError(f"links={links}: there are {SEGMENTS} segments")
        if number > _LAST_NODE_NUMBER:
            raise ValueError(f"node {name!r}: no address is left below .{_LAST_NODE_NUMBER + 1}")
        node = Node(
            name=name,
            ns=f"{self.name}-{name}",
            number=number,
            links=links,
            switch=self._switch,
            directory=self.directory,
            mark=lambda node, fault: self.marks.append(Mark(time.monotonic(), node, fault)),
        )
        self.nodes[name] = node
        node.create()
        return node

    def close(self) -> None:
        """Kill what runs in the lab and remove it; calling it again does nothing."""
        with _undisturbed():
            remove_lab(self.name)
            for node in self.nodes.values():
                for process in node.processes:
                    process.kill()
            atexit.unregister(self.close)


def _leave_by_exception_on_signals() -> None:
    """Let TERM and HUP end the program by an exception, as Ctrl-C does, so that everything is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _FATAL_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not leave half of the lab behind."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *_FATAL_SIGNALS})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
