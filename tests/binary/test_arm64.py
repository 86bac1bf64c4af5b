"""The arm64 binary, run by emulation: it reads, decodes, and takes an address over from an amd64 node; its deb."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar import __version__
from carpsidecar.lab.network import Lab
from tests.binary.conftest import NATIVE, SOURCE, built
from tests.binary.emulator import needs_arm64, new_enough
from tests.binary.machine import ROOTS

VIP = "10.99.0.100"
EMULATED_S = 60.0
RUN = ("run", "--vip", VIP, "--vhid", "100", "--interface", "eth0")


@pytest.fixture
def arm64() -> Iterator[Path]:
    if NATIVE == "arm64":
        pytest.skip("all other tests of this folder run arm64 here")
    program = built("carpsidecar-linux-arm64")
    needs_arm64()
    with new_enough():
        yield program


def run(binary: Path, *command: str) -> str:
    ended = subprocess.run([binary, *command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_it_is_one_static_file_for_arm64(arm64: Path) -> None:
    headers = subprocess.run(["readelf", "-hlW", arm64], capture_output=True, text=True, check=True).stdout
    assert "Machine:                           AArch64" in headers
    assert "INTERP" not in headers


def test_it_tells_its_version(arm64: Path) -> None:
    assert run(arm64, "version").startswith(f"carpsidecar {__version__}\n")


def test_it_checks_a_configuration(arm64: Path, tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("in the lab")
    command = ["config", "check", "--vip", VIP, "--vhid", "100", "--passphrase-file", str(passphrase)]
    assert f'vip: ["{VIP}/32"]' in run(arm64, *command)


def test_it_decodes_a_capture_as_the_other_does(arm64: Path, binary: Path) -> None:
    command = ["capture", "--read", str(SOURCE / "tests/fixtures/ucarp/exchange.pcap")]
    shown = run(arm64, *command)
    assert " vhid 42 " in shown
    assert shown == run(binary, *command)


def test_it_takes_over_from_an_amd64_node_and_gives_back(lab: Lab, arm64: Path, binary: Path) -> None:
    env = {"CARP_PASSPHRASE": "two architectures"}
    one, two = lab.node("amd64"), lab.node("arm64")
    preferred = one.start([str(binary), *RUN, "--preempt"], env=env)
    preferred.wait_for("became master", EMULATED_S)
    backup = two.start([str(arm64), *RUN, "--advskew", "100"], env=env)
    backup.wait_for("became backup", EMULATED_S)
    assert preferred.stop() == 0
    backup.wait_for("became master", EMULATED_S)
    assert f" {VIP}/32 " in two.run(["ip", "address", "show"])
    seen = backup.log_size
    again = one.start([str(binary), *RUN, "--preempt"], env=env)
    backup.wait_for("became backup", EMULATED_S, after=seen)
    assert f" {VIP}/32 " not in two.run(["ip", "address", "show"])
    assert backup.stop() == 0
    assert again.stop() == 0


def test_the_deb_is_installed_on_a_debian_for_arm64(arm64: Path, tmp_path: Path) -> None:
    """On the one that the release was built in; its scripts run, and systemd does not."""
    archive, root = ROOTS / "bookworm-arm64.tar", tmp_path / "debian"
    if not archive.exists():
        pytest.skip("the Debian for arm64 is made by `make release`")
    root.mkdir()
    subprocess.run(["tar", "-C", root, "-xf", archive], check=True)
    shutil.copy(built("carpsidecar_*_arm64.deb"), root / "carpsidecar.deb")

    def inside(*command: str) -> str:
        mount = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
        return run(Path("/usr/bin/unshare"), "--mount", "sh", "-c", mount, str(root), *command)

    def files() -> list[str]:
        found = subprocess.run(["find", root, "-name", "*carpsidecar*"], capture_output=True, text=True, check=True)
        return sorted(found.stdout.split())

    before = files()
    inside("dpkg", "--install", "/carpsidecar.deb")
    assert inside("carpsidecar", "version").startswith(f"carpsidecar {__version__}\n")
    assert inside("getent", "passwd", "carpsidecar")
    inside("dpkg", "--purge", "carpsidecar")
    assert files() == before
