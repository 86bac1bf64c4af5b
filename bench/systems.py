"""What is compared: each system as a user would start it on the two machines that share the address.

The first machine is preferred (lower advskew, higher priority), and is the one that faults strike. All systems are
set alike: an advertisement every second, and the second machine 20 steps behind the first.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from carpsidecar.lab.node import Node

VIP = "10.99.0.100"
VHID = 42
PASSPHRASE = "carp-in-the-lab"

CARPSIDECAR = (sys.executable, "-m", "carpsidecar")
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Timing:
    """`advskews` are those of the first and the second machine; `realtime` is an option of ours."""

    advbase: int
    advskews: tuple[int, int]
    dead_ratio: int = 3
    realtime: bool = False

    @property
    def interval_s(self) -> float:
        """Between two advertisements of the first machine."""
        return self.advbase + self.advskews[0] / 256

    @property
    def setting(self) -> str:
        first, second = self.advskews
        ratio = "" if self.dead_ratio == 3 else f", dead ratio {self.dead_ratio}"
        realtime = ", real-time priority" if self.realtime else ""
        return f"advbase {self.advbase}, advskew {first} and {second}{ratio}{realtime}"

    @property
    def patience_s(self) -> float:
        """For how long the second machine waits for an advertisement."""
        own_s = self.advskews[1] / 256
        return self.dead_ratio * self.advbase + own_s if self.advbase else self.dead_ratio * own_s


EVERY_SECOND = Timing(advbase=1, advskews=(0, 20))
FASTEST = Timing(advbase=0, advskews=(4, 5), realtime=True)
"""The fastest that docs/tuning.md recommends."""
OTHERS = tuple(replace(FASTEST, advskews=(advskew, advskew + 1)) for advskew in (26, 10, 4, 2))
"""Slower and faster than that: 26 is a tenth of a second, as keepalived's."""
FLAPPING = Timing(advbase=0, advskews=(20, 25))
"""What ucarp can't do: it forgets its dead ratio where advbase is 0."""


@dataclass(frozen=True)
class System:
    """`argv` is the command for a machine: 0, the preferred one, or 1."""

    key: str
    label: str
    setting: str
    interval_s: float
    ready: re.Pattern[str]
    argv: Callable[["System", Node, int, Path], Sequence[str]]
    timing: Timing | None = None
    vhid: int = VHID
    passphrase: str = PASSPHRASE
    env: dict[str, str] = field(default_factory=dict)

    def command(self, node: Node, rank: int, directory: Path) -> Sequence[str]:
        """`directory` is where files that it needs may be put."""
        return self.argv(self, node, rank, directory)

    def retimed(self, timing: Timing) -> "System | None":
        """The same with other times; None where it has no advbase and advskew."""
        if self.timing is None:
            return None
        return replace(self, timing=timing, interval_s=timing.interval_s, setting=timing.setting)


def _ours(system: System, node: Node, rank: int, directory: Path) -> Sequence[str]:
    assert system.timing is not None
    timing = system.timing
    return [
        *(*CARPSIDECAR, "run", "--interface", "eth0", "--vip", VIP, "--vhid", str(system.vhid)),
        *("--passphrase-file", _secret(system, node, directory), "--advbase", str(timing.advbase)),
        *("--advskew", str(timing.advskews[rank]), "--dead-ratio", str(timing.dead_ratio)),
        *(["--realtime"] if timing.realtime else []),
    ]


def _ucarp(system: System, node: Node, rank: int, directory: Path) -> Sequence[str]:
    assert system.timing is not None
    timing = system.timing
    secret = _secret(system, node, directory)
    script = '#!/bin/sh\nexec ip addr {} "$2/32" dev "$1"\n'
    return [
        *(
            "ucarp",
            "-i",
            "eth0",
            "-s",
            str(node.address),
            "-a",
            VIP,
            "-v",
            str(system.vhid),
            "-o",
            secret,
            "-f",
            "none",
        ),
        *("-b", str(timing.advbase), "-k", str(timing.advskews[rank]), "-r", str(timing.dead_ratio), "-z"),
        *("-u", _file(directory / "up", script.format("add"), 0o755)),
        *("-d", _file(directory / "down", script.format("del"), 0o755)),
    ]


def _keepalived(system: System, node: Node, rank: int, directory: Path) -> Sequence[str]:
    # A version and a timer for each, since version 2 knows whole seconds only.
    version = 2 if system.interval_s >= 1 else 3
    # It takes eight characters at most, and version 3 has none.
    secret = system.passphrase[-8:]
    authentication = f"  authentication {{\n    auth_type PASS\n    auth_pass {secret}\n  }}\n"
    config = _file(
        directory / f"keepalived-{rank}.conf",
        f"global_defs {{\n  vrrp_version {version}\n}}\n"
        f"vrrp_instance bench {{\n  interface eth0\n  virtual_router_id {system.vhid}\n"
        f"  priority {(200, 180)[rank]}\n{authentication if version == 2 else ''}"
        f"  advert_int {system.interval_s:g}\n  virtual_ipaddress {{\n    {VIP}/32\n  }}\n}}\n",
        0o600,
    )
    # Machines of the lab share one file system.
    pids = [f"--{flag}={directory}/{node.name}-{flag}" for flag in ("pid", "vrrp_pid")]
    return ["keepalived", "--vrrp", "--dont-fork", "--log-console", f"--use-file={config}", *pids]


def _secret(system: System, node: Node, directory: Path) -> str:
    return _file(directory / f"{node.name}-passphrase", f"{system.passphrase}\n", 0o600)


def _file(path: Path, text: str, mode: int) -> str:
    if not path.exists():
        path.write_text(text)
        path.chmod(mode)
    return str(path)


_OURS_READY = re.compile("became backup")
_KEEPALIVED_READY = re.compile("Entering BACKUP STATE")

UCARP = System(
    *("ucarp", "ucarp", EVERY_SECOND.setting, EVERY_SECOND.interval_s),
    *(re.compile("Switching to state: BACKUP"), _ucarp, EVERY_SECOND),
)
SYSTEMS = (
    UCARP,
    System(
        *("keepalived", "keepalived", "advert_int 1, priority 200 and 180", 1.0),
        *(_KEEPALIVED_READY, _keepalived),
    ),
    System(
        *("keepalived-fast", "keepalived at 0.1 s", "advert_int 0.1, priority 200 and 180, VRRP 3", 0.1),
        *(_KEEPALIVED_READY, _keepalived),
    ),
    System(
        *("ours", "ours at 1 s", EVERY_SECOND.setting, EVERY_SECOND.interval_s),
        *(_OURS_READY, _ours, EVERY_SECOND),
    ),
    System(
        *("ours-fast", "ours, fastest", FASTEST.setting, FASTEST.interval_s),
        *(_OURS_READY, _ours, FASTEST),
    ),
)


def is_ours(system: System) -> bool:
    return system.argv is _ours


def installed(system: System) -> bool:
    if is_ours(system):
        return True
    return shutil.which("ucarp" if system.argv is _ucarp else "keepalived", path=_PATH) is not None
