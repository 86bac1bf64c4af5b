"""The packages, on systems that systemd runs: installed, held by the watchdog, upgraded, purged."""

import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.ipc.credentials import REPORTER_USER
from carpsidecar.lab.network import Lab
from carpsidecar.lab.process import Process
from tests.binary.conftest import NATIVE, SOURCE, built
from tests.binary.machine import Machine, booted, make_tree, wait_for_log
from tests.support.waits import SOON_S, wait_until

UNITS = sorted((SOURCE / "packaging" / "systemd").glob("*.service"))
EXPOSURE_MAX = 2.2
VIP = "10.99.0.100"
SECRET = "only for this lab"
SETTINGS = f"vip: {VIP}\nvhid: 100\nadvbase: 0\nadvskew: 20\npreempt: true\n"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_little_is_exposed(unit: Path, tmp_path: Path) -> None:
    # An instance, since a template is no unit.
    copy = tmp_path / unit.name.replace("@", "@one")
    shutil.copy(unit, copy)
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX * 10:g}", "--no-pager"]
    judged = subprocess.run([*command, str(copy)], capture_output=True, text=True, check=False)
    if "unrecognized option" in judged.stderr:
        pytest.skip("this systemd-analyze can't look at a file")
    assert judged.returncode == 0, judged.stdout.splitlines()[-1]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_engine_is_not_the_reporters_user(unit: Path) -> None:
    # Without User= systemd calls a dynamic user as the unit, without what follows an @.
    users = [line for line in unit.read_text().splitlines() if line.startswith("User=")]
    assert users == ["User=carpsidecar-engine"]
    assert f"u {REPORTER_USER} " in (unit.parent / "sysusers.conf").read_text()


@pytest.fixture
def machine(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Bookworm, or the suite that the test has as its parameter."""
    deb, rpm = built(f"carpsidecar_*_{NATIVE}.deb"), built(f"carpsidecar-*.{platform.machine()}.rpm")
    root = tmp_path / "debian"
    make_tree(root, *getattr(request, "param", ()))
    shutil.copy(deb, root / "root" / "carpsidecar.deb")
    shutil.copy(rpm, root / "root" / "carpsidecar.rpm")
    with booted(lab.node("debian"), root) as machine:
        yield machine


def start_backup(lab: Lab, binary: Path) -> Process:
    node = lab.node("backup")
    flags = ["--vip", VIP, "--vhid", "100", "--interface", "eth0", "--advbase", "0", "--advskew", "60"]
    return node.start([str(binary), "run", *flags], env={"CARP_PASSPHRASE": SECRET})


def configure(machine: Machine) -> None:
    folder = machine.root / "etc" / "carpsidecar"
    (folder / "carpsidecar.yaml").write_text(SETTINGS)
    (folder / "passphrase").touch(0o600)
    (folder / "passphrase").write_text(SECRET)


DEB = ("dpkg --install /root/carpsidecar.deb", "dpkg --purge carpsidecar")
# By rpm on a Debian, since no system whose packages are rpms can be had here: files, scripts and units are tried.
RPM = ("rpm --upgrade --force --nodeps /root/carpsidecar.rpm", "rpm --erase carpsidecar && rm -r /etc/carpsidecar")


@pytest.mark.parametrize(
    ("machine", "install", "purge"),
    [
        pytest.param(("bookworm",), *DEB, id="deb on Debian 12"),
        pytest.param(("trixie",), *DEB, id="deb on Debian 13"),
        pytest.param(("noble",), *DEB, id="deb on Ubuntu 24.04"),
        pytest.param(("bookworm", "rpm"), *RPM, id="rpm"),
    ],
    indirect=["machine"],
)
def test_from_installation_to_purge(lab: Lab, machine: Machine, binary: Path, install: str, purge: str) -> None:
    before = files_of(machine)
    machine.run(install)
    # A temporary folder that nothing can be run from matters only to the single binary.
    machine.run("mount -t tmpfs -o noexec tmp /tmp")
    assert "carpsidecar" in machine.run("getent passwd carpsidecar")
    assert machine.show("carpsidecar", "ActiveState") == "inactive"
    configure(machine)
    machine.run("systemctl enable --now carpsidecar")
    assert machine.show("carpsidecar", "Type") == "notify"
    assert "became master" in wait_for_log(machine, "became master")
    wait_until(lambda: VIP in machine.show("carpsidecar", "StatusText") + held(lab))
    backup = start_backup(lab, binary)
    backup.wait_for("became backup", SOON_S)

    engine = machine.show("carpsidecar", "MainPID")
    status = machine.run(f"cat /proc/{engine}/status")
    assert capabilities(status) == 1 << 12 | 1 << 13
    assert "\nUid:\t0\t" not in status
    assert SECRET not in machine.run("journalctl --unit carpsidecar")

    # A hang is the watchdog's, and a crash is mended at once.
    machine.run(f"kill -STOP {engine}")
    wait_until(lambda: machine.show("carpsidecar", "MainPID") not in (engine, "0"))
    wait_until(lambda: machine.show("carpsidecar", "ActiveState") == "active")
    engine = machine.show("carpsidecar", "MainPID")
    machine.run(f"kill -KILL {engine}")
    wait_until(lambda: machine.show("carpsidecar", "MainPID") not in (engine, "0"))
    wait_until(lambda: machine.show("carpsidecar", "ActiveState") == "active")
    wait_until(lambda: VIP in held(lab))

    seen = backup.log_size
    machine.run(install)
    wait_until(lambda: machine.show("carpsidecar", "ActiveState") == "active")
    wait_until(lambda: VIP in held(lab))
    # To the backup by a bow-out, and back when the preferred one is there again.
    assert backup.log[seen:].count("became master") <= 1

    machine.run(purge)
    wait_until(lambda: VIP not in held(lab))
    assert files_of(machine) == before
    assert machine.run("getent passwd carpsidecar", check=False) == ""
    assert backup.stop() == 0


def test_status_and_drain_reach_every_unit(lab: Lab, machine: Machine) -> None:
    machine.run("dpkg --install /root/carpsidecar.deb")
    configure(machine)
    folder = machine.root / "etc" / "carpsidecar"
    (folder / "two.yaml").write_text(SETTINGS.replace("100", "101"))
    shutil.copy(folder / "passphrase", folder / "two.passphrase")
    machine.run("systemctl start carpsidecar carpsidecar@two")
    wait_until(lambda: shown(machine).count(": MASTER for ") == 2, "two masters")
    output = machine.run("carpsidecar drain vhid-101 --reason 'kernel update'")
    assert output.startswith("vhid-101: is drained; ")
    machine.run("systemctl restart carpsidecar@two")
    # Each has its own folders: what one unit leaves does not take the other's socket or drain along.
    machine.run("systemctl restart carpsidecar")
    drained = "demoted by 240, operator: kernel update"
    wait_until(lambda: shown(machine).count(": MASTER for ") == 2, "two masters")
    assert shown(machine).count(drained) == 1
    assert machine.run("carpsidecar undrain vhid-101") == "vhid-101: is not drained any more\n"
    assert drained not in shown(machine)
    refused = machine.run("setpriv --reuid 65534 --regid 65534 --clear-groups carpsidecar status 2>&1", check=False)
    assert "ask as root" in refused
    machine.run("systemctl stop carpsidecar carpsidecar@two")
    assert machine.run("find /run/carpsidecar -type s") == ""
    machine.run("dpkg --purge carpsidecar")
    assert machine.run("find /var/lib -name 'carpsidecar*' -not -path '*/dpkg/*'") == ""


def shown(machine: Machine) -> str:
    return machine.run("carpsidecar status 2>&1", check=False)


def held(lab: Lab) -> str:
    return lab.nodes["debian"].run(["ip", "address", "show"])


def capabilities(status: str) -> int:
    return next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))


def files_of(machine: Machine) -> list[str]:
    """What has our name on it, but for logs."""
    return machine.run("find / -xdev -name '*carpsidecar*' -not -path '/var/log/*' -not -path '/root/*'").split()
