"""tshark and ours read the same from the same packets: real ucarp, keepalived with VRRP 2 and 3, our engine.

They are recorded by tcpdump and by ours at the same time, and each file is read by both.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.capture.pcap import LinkType, PcapReader
from carpsidecar.lab.process import Process
from tests.support.command import COMMAND, shell
from tests.support.peers import (
    PASSPHRASE,
    VIP,
    Segment,
    keepalived,
    needs_keepalived,
    needs_ucarp,
    segment,
)
from tests.support.tshark import TSHARK, needs_tshark

pytestmark = [pytest.mark.network, needs_tshark, needs_ucarp, needs_keepalived]

PACKETS = 30
CLOSER = [word for ip in ("ip", "ipv6") for word in ("-o", f"{ip}.try_heuristic_first:TRUE")]
FORMS = ["ours.pcap", "cooked.pcap", "tcpdump.pcap"]


def speak(made: Segment) -> None:
    made.join("ucarp", "ucarp", advskew=10)
    fast = ("--advbase", "0", "--advskew", "128")
    made.join("ours", "hardened", *fast, "--auth", "hardened", "--vip", "fd99::100", vip="10.99.0.107")
    made.join("ours", "carp", *fast, vip="fd99::108")
    keepalived(made, "vrrp2", 2, ["10.99.0.77", "10.99.0.78"], number=51)
    keepalived(made, "vrrp3", 3, ["10.99.0.79"], number=52)
    keepalived(made, "vrrp3-6", 3, ["fe80::80", "fd99::80"], number=53)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with one recording by each."""
    directory = tmp_path_factory.mktemp("recorded")
    with segment("ucarp", "hardened", "carp", "vrrp2", "vrrp3", "vrrp3-6", "witness") as made:
        witness = made.nodes["witness"]
        count = ["--count", str(PACKETS)]
        tcpdump = ["tcpdump", "-i", "eth0", "-n", "-Z", "root", "--immediate-mode", "-U", "-c", str(PACKETS)]
        commands = [
            [*COMMAND, "capture", "-i", "eth0", "-w", str(directory / "ours.pcap"), *count],
            [*COMMAND, "capture", "-w", str(directory / "cooked.pcap"), *count],
            [*tcpdump, "-w", str(directory / "tcpdump.pcap"), "proto 112 or ip6 proto 112"],
        ]
        recorders: list[Process] = [witness.start(command) for command in commands]
        for recorder in recorders:
            recorder.wait_for("listening on", 10)
        speak(made)
        for recorder in recorders:
            assert recorder.wait(30) == 0, recorder.log
        yield directory


def by_tshark(file: Path) -> list[dict[str, Any]]:
    """The layers of each packet, by tshark's names."""
    argv = [str(TSHARK), "-n", *CLOSER, "-r", str(file), "-T", "json", "--no-duplicate-keys"]
    decoded = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [packet["_source"]["layers"] for packet in json.loads(decoded)]


def by_ours(file: Path) -> list[dict[str, Any]]:
    ended = shell("capture", "-r", str(file), "--json")
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def expected(layers: dict[str, Any]) -> dict[str, Any]:
    """What ours should say of it."""
    seconds, _, fraction = layers["frame"]["frame.time_epoch"].partition(".")
    ip, family = (layers["ip"], "ip") if "ip" in layers else (layers["ipv6"], "ipv6")
    wanted: dict[str, Any] = {
        "time_ns": int(seconds) * 10**9 + int(fraction.ljust(9, "0")),
        "source": ip[f"{family}.src"],
        "destination": ip[f"{family}.dst"],
        "ttl": int(ip["ip.ttl" if family == "ip" else "ipv6.hlim"]),
        "length": int(ip["ip.len"]) - 20 if family == "ip" else int(ip["ipv6.plen"]),
    }
    if "eth" in layers:
        wanted |= {"mac_source": layers["eth"]["eth.src"], "mac_destination": layers["eth"]["eth.dst"]}
    if "carp" in layers:
        return wanted | expected_carp(layers["carp"])
    # Our hardened mode is a VRRP packet of an unknown type to tshark, and damaged.
    return wanted if is_hardened(layers) else wanted | expected_vrrp(layers["vrrp"])


def is_hardened(layers: dict[str, Any]) -> bool:
    return "vrrp" in layers and int(layers["vrrp"]["vrrp.typever_tree"]["vrrp.type"]) != 1


def expected_carp(layer: dict[str, Any]) -> dict[str, Any]:
    return {
        "protocol": "carp",
        "version": int(layer["carp.typever_tree"]["carp.version"]),
        "type": int(layer["carp.typever_tree"]["carp.type"]),
        **{name: int(layer[f"carp.{name}"]) for name in ("vhid", "advskew", "authlen", "demotion")},
        "advbase": int(layer["carp.adver_int"]),
        "checksum": int(layer["carp.checksum"], 16),
        "counter": int(layer["carp.counter"]),
        "hmac": layer["carp.hmac"].replace(":", ""),
    }


def expected_vrrp(layer: dict[str, Any]) -> dict[str, Any]:
    version = int(layer["vrrp.typever_tree"]["vrrp.version"])
    addresses = next(layer[name] for name in ("vrrp.ip_addr", "vrrp.ipv6_addr") if name in layer)
    wanted = {
        "protocol": "vrrp",
        "version": version,
        "type": int(layer["vrrp.typever_tree"]["vrrp.type"]),
        "vrid": int(layer["vrrp.virt_rtr_id"]),
        "priority": int(layer["vrrp.prio"]),
        "addresses": [addresses] if isinstance(addresses, str) else addresses,
        "checksum": int(layer["vrrp.checksum"], 16),
    }
    if version == 2:
        return wanted | {"interval_s": int(layer["vrrp.adver_int"]), "auth_type": int(layer["vrrp.auth_type"])}
    return wanted | {"interval_s": int(layer["vrrp.short_adver_int"]) / 100}


@pytest.mark.parametrize("name", FORMS)
def test_every_field_of_every_packet(recorded: Path, name: str) -> None:
    theirs = by_tshark(recorded / name)
    ours = by_ours(recorded / name)
    assert len(ours) == len(theirs) == PACKETS
    for layers, record in zip(theirs, ours, strict=True):
        wanted = expected(layers)
        assert {field: record[field] for field in wanted} == wanted
        if is_hardened(layers):
            assert (record["version"], record["problems"]) == (3, [])
            continue
        [status] = [layers[kind][f"{kind}.checksum.status"] for kind in ("carp", "vrrp") if kind in layers]
        assert (status == "1") == (not any(problem.startswith("checksum") for problem in record["problems"]))


@pytest.mark.parametrize("name", FORMS)
def test_every_speaker_was_heard_and_nothing_is_wrong(recorded: Path, name: str) -> None:
    records = by_ours(recorded / name)
    assert [record["problems"] for record in records] == [[]] * PACKETS
    kinds = {(record["protocol"], record["version"], ":" in record["source"]) for record in records}
    assert kinds == {
        ("carp", 2, False),
        ("carp", 2, True),
        ("carp", 3, False),
        ("carp", 3, True),
        ("vrrp", 2, False),
        ("vrrp", 3, False),
        ("vrrp", 3, True),
    }


def test_the_link_types_are_what_they_should_be(recorded: Path) -> None:
    found = []
    for name in FORMS:
        with (recorded / name).open("rb") as file:
            found.append(PcapReader(file, name).link_type)
    assert found == [LinkType.ETHERNET, LinkType.LINUX_SLL2, LinkType.ETHERNET]


@pytest.mark.parametrize(
    ("source", "vips"),
    [("10.99.0.11", [VIP]), ("10.99.0.12", ["10.99.0.107", "fd99::100"]), ("fe80::ca:ff:fe00:d", ["fd99::108"])],
    ids=["ucarp", "hardened", "carp over ipv6"],
)
def test_digests_of_either_mode_are_verified(recorded: Path, tmp_path: Path, source: str, vips: list[str]) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(PASSPHRASE)
    flags = [word for vip in vips for word in ("--vip", vip)]
    ended = shell("capture", "-r", str(recorded / "ours.pcap"), "--json", "--passphrase-file", str(secret), *flags)
    of_source: dict[bool, set[str]] = {True: set(), False: set()}
    for record in map(json.loads, ended.stdout.splitlines()):
        if record["protocol"] == "carp" and (record["version"] == 2 or record["source"] == source):
            of_source[record["source"] == source].add(record["digest"])
    assert of_source[True] == {"ok"}
    assert of_source[False] == {"bad"}
