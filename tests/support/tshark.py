"""Packets recorded on a machine of the lab, and what tshark, which knows CARP by itself, makes of them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.waits import SOON_S

TSHARK = shutil.which("tshark", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
needs_tshark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed (Debian: tshark)")

_FIELDS = (
    *("eth.src", "eth.dst", "ip.src", "ip.dst", "ip.ttl", "ip.dsfield", "ip.flags.df", "ip.len"),
    *("ipv6.src", "ipv6.dst", "ipv6.hlim", "ipv6.plen", "carp.version", "carp.type", "carp.vhid", "carp.advskew"),
    *("carp.authlen", "carp.demotion", "carp.adver_int", "carp.checksum.status", "carp.counter", "carp.hmac"),
    *("vrrp.version", "vrrp.type"),
)
CHECKSUM_GOOD = "1"
BOW_OUT = "ip proto 112 and ip[22] = 255 and ip[25] = 255"


class Recording:
    """The next so many packets of protocol 112 that this machine hears, or only those of which this is true."""

    def __init__(self, node: Node, directory: Path, packets: int, only: str = "proto 112 or ip6 proto 112") -> None:
        self._file = directory / f"{node.name}.pcap"
        argv = ["tcpdump", "-i", "eth0", "-n", "-Z", "root", "--immediate-mode", "-U", "-c", str(packets)]
        self._tcpdump: Process = node.start([*argv, "-w", str(self._file), only])
        self._tcpdump.wait_for("listening on", SOON_S)

    def packets(self, timeout_s: float = SOON_S) -> list[dict[str, str]]:
        """Wait for them; each by tshark's names of fields, those it does not find left out."""
        assert self._tcpdump.wait(timeout_s) == 0, self._tcpdump.log
        # Protocol 112 is VRRP to tshark unless it looks closer.
        closer = [word for ip in ("ip", "ipv6") for word in ("-o", f"{ip}.try_heuristic_first:TRUE")]
        fields = [word for field in _FIELDS for word in ("-e", field)]
        argv = [str(TSHARK), "-n", *closer, "-r", str(self._file), "-T", "fields", "-E", "separator=|", *fields]
        decoded = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
        lines = (zip(_FIELDS, line.split("|"), strict=True) for line in decoded)
        return [{field: value for field, value in line if value} for line in lines]
