"""Our engine in a node of the lab, with its reporter's end of the pipe in the benchmark's hand.

`python -m bench.engine PIPE FLAG...` runs in the node: the engine as `carpsidecar run` has it, connected to PIPE.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from carpsidecar import logs
from carpsidecar.cli.flags import source_of
from carpsidecar.cli.run import parser
from carpsidecar.config.sources import load
from carpsidecar.ipc.messages import (
    MESSAGE_SIZE_MAX,
    GroupGone,
    GroupSnapshot,
    Heartbeat,
    ToEngine,
    ToReporter,
    decode_for_reporter,
    encode,
)
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process

VIP, VHID = "10.99.0.100", 42
PASSPHRASE = "carp in the lab"
_STARTS_WITHIN_S = 30.0


@dataclass(frozen=True)
class Settings:
    """A group in a configuration file. The addresses are its own: no two vhids share one."""

    vhid: int = VHID
    addresses: int = 1
    family: Literal[4, 6] = 4
    advbase: int = 1
    advskew: int = 0
    dead_ratio: int = 3
    more: Sequence[str] = ()
    """Settings, as in the file."""

    @property
    def name(self) -> str:
        return f"vhid-{self.vhid}"

    @property
    def vips(self) -> list[str]:
        if self.family == 6:
            return [f"fd99::{self.vhid:x}:{1 + number:x}" for number in range(self.addresses)]
        return [f"10.{100 + number // 250}.{self.vhid}.{1 + number % 250}" for number in range(self.addresses)]


def write_config(file: Path, groups: Sequence[Settings]) -> Path:
    lines = ["interface: eth0", "groups:"]
    for group in groups:
        vips = ", ".join(f'"{vip}"' for vip in group.vips)
        times = f"advbase: {group.advbase}, advskew: {group.advskew}, dead_ratio: {group.dead_ratio}"
        more = "".join(f", {setting}" for setting in group.more)
        lines.append(f"  - {{vip: [{vips}], vhid: {group.vhid}, {times}{more}}}")
    file.write_text("\n".join(lines) + "\n")
    return file


class Engine:
    """Started at once; `heartbeats` grows by one a second, `changes` by each snapshot; `roles` are the newest."""

    def __init__(self, node: Node, flags: Sequence[str], until: str = "became backup") -> None:
        self.node = node
        self.heartbeats: list[Heartbeat] = []
        self.changes: list[ToReporter] = []
        self.roles: dict[str, str] = {}
        self._arrived = threading.Condition()
        self._ended = False
        path = Path(f"/tmp/bench-{os.getpid()}-{node.name}.pipe")
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            listener.listen(1)
            listener.settimeout(_STARTS_WITHIN_S)
            argv = [sys.executable, "-m", "bench.engine", str(path), *flags]
            self.process: Process = node.start(argv, env={"CARP_PASSPHRASE": PASSPHRASE})
            self._pipe, _ = listener.accept()
        path.unlink()
        self._pipe.settimeout(None)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.process.wait_for(until, _STARTS_WITHIN_S)

    def send(self, command: ToEngine) -> None:
        self._pipe.send(encode(command))

    @property
    def masters(self) -> set[str]:
        """The groups of which it is master."""
        with self._arrived:
            return {group for group, role in self.roles.items() if role == "master"}

    @property
    def cpu_s(self) -> float:
        """Of all its threads, to the nanosecond: the ticks of /proc/PID/stat miss what takes less than one."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    @property
    def pss_kb(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

    def next_heartbeat(self, timeout_s: float = 10.0) -> Heartbeat:
        """One that is sent from now on."""
        now = time.time()
        with self._arrived:
            if not self._arrived.wait_for(
                lambda: self._ended or (self.heartbeats and self.heartbeats[-1].sent_s > now), timeout_s
            ):
                raise TimeoutError(f"no heartbeat from {self.node.name} in {timeout_s} s")
            return self.heartbeats[-1]

    @property
    def is_master_of_all(self) -> bool:
        with self._arrived:
            return bool(self.roles) and set(self.roles.values()) == {"master"}

    def wait_for_change(self, wanted: Callable[[ToReporter], bool], timeout_s: float) -> None:
        with self._arrived:
            if not self._arrived.wait_for(lambda: any(map(wanted, self.changes)), timeout_s):
                raise TimeoutError(f"{self.node.name}: not in {timeout_s} s; last: {self.changes[-1:]}")

    def stop(self) -> None:
        if self.process.returncode is None:
            self.process.stop()
        self._reader.join()
        self._pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _read(self) -> None:
        while data := self._receive():
            message = decode_for_reporter(data)
            with self._arrived:
                if isinstance(message, Heartbeat):
                    self.heartbeats.append(message)
                else:
                    self.changes.append(message)
                    if isinstance(message, GroupSnapshot):
                        self.roles[message.group] = message.role
                    elif isinstance(message, GroupGone):
                        self.roles.pop(message.group, None)
                self._arrived.notify_all()
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def _receive(self) -> bytes:
        try:
            return self._pipe.recv(MESSAGE_SIZE_MAX)
        except ConnectionError:
            return b""


def became(role: str, group: str = f"vhid-{VHID}") -> Callable[[ToReporter], bool]:
    def wanted(message: ToReporter) -> bool:
        return isinstance(message, GroupSnapshot) and (message.role, message.group) == (role, group)

    return wanted


def main() -> int:
    path, *flags = sys.argv[1:]
    config = load(*source_of(parser().read(flags)))
    writer = logs.start(config.log_format, config.log_level)
    pipe = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pipe.connect(path)
    try:
        from carpsidecar.engine.run import run

        return run(config, reporter=pipe)
    finally:
        writer.close()


if __name__ == "__main__":
    raise SystemExit(main())
