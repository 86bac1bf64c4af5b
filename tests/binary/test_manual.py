"""What the manual says of the binary, the image and the package, done as it is written there."""

import json
import re
import shlex
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar import __version__
from carpsidecar.cli.run import parser
from carpsidecar.lab.network import Lab
from tests.binary.conftest import IMAGE_ARCHIVE, NATIVE, SOURCE, built
from tests.binary.machine import Machine as Debian
from tests.binary.machine import booted, make_tree, wait_for_log
from tests.support.manual.machine import Machine
from tests.support.manual.page import Block, claim, not_run
from tests.support.manual.tables import names, rows
from tests.support.waits import wait_until

[BINARY] = claim("docs/install.md", "install -m 755 dist/carpsidecar")
[PACKAGE] = claim("docs/install.md", "apt install ./carpsidecar_*.deb")
DATABASE = {block.title.removesuffix(" on both"): block for block in claim("docs/recipes/database.md")}

DOCKER = not_run("docs/install.md", "docker load")
REGISTRY = not_run("docs/install.md", "make image PYTHON_IMAGE=")


def test_the_binary_is_installed(lab: Lab, binary: Path) -> None:
    machine = Machine(lab, "host", [["192.0.2.11/24"]])
    machine.run(f"mkdir -p dist && ln -sf {binary} dist/carpsidecar")
    # Its folder is the first in PATH of a root that has not installed another.
    output = machine.run(f"PATH=/usr/local/sbin:$PATH\n{BINARY.text}\nucarp --help")
    assert f"carpsidecar {__version__}" in output
    assert "--vhid" in output


def test_the_sizes_are_those_of_what_was_built(binary: Path) -> None:
    built_mb = {
        "deb": _mb(built(f"carpsidecar_*_{NATIVE}.deb")),
        "rpm": _mb(built("carpsidecar-*.rpm")),
        "carpsidecar": _mb(binary),
        "tar": _mb(built(IMAGE_ARCHIVE)),
    }
    for row in rows("install.md", "what", "made by", "size"):
        [name, *_] = names(row["what"]) or {""}
        size = re.match(r"([\d.]+) MB", row["size"])
        if size:
            # Both architectures, and some releases to come.
            assert abs(float(size[1]) - built_mb.pop(name.rpartition(".")[2])) < 1.5, name
    assert not built_mb


def _mb(path: Path) -> float:
    return path.stat().st_size / 1e6


def test_docker_gets_what_containerd_gets() -> None:
    load, run = (shlex.split(line) for line in DOCKER.text.replace("\\\n", " ").splitlines())
    assert load[-1] == "dist/carpsidecar-image.tar"
    with tarfile.open(built(IMAGE_ARCHIVE)) as image:
        manifest = image.extractfile("manifest.json")
        assert manifest is not None
        names = [name for one in json.load(manifest) for name in one["RepoTags"]]
    position = next(number for number, word in enumerate(run) if f"{word}:latest" in names)
    flags, command = run[2:position], run[position + 1 :]
    # tests/binary/containers.py runs it so.
    assert flags == shlex.split(
        "--network host --read-only --cap-drop ALL --cap-add NET_ADMIN --cap-add NET_RAW"
        " --security-opt no-new-privileges -v /etc/carp.pass:/carp.pass:ro"
    )
    assert command[0] == "run"
    assert parser().read(command[1:])["passphrase_file"] == "/carp.pass"


def test_what_a_build_on_another_base_takes_is_there() -> None:
    make, docker = REGISTRY.text.splitlines()
    target, variable = re.fullmatch(r"make (\w+) (\w+)=\S+", make).groups()  # type: ignore[union-attr]
    recipe = (SOURCE / "Makefile").read_text().partition(f"\n{target}:")[2].partition("\n\n")[0]
    assert f"$({variable})" in recipe
    arguments = re.findall(r"--build-arg (\w+)=", docker)
    assert arguments
    assert set(arguments) <= set(re.findall(r"^ARG (\w+)", (SOURCE / "Dockerfile").read_text(), re.MULTILINE))


@pytest.fixture
def debian(lab: Lab, tmp_path: Path) -> Iterator[Debian]:
    package = built(f"carpsidecar_*_{NATIVE}.deb")
    root = tmp_path / "debian"
    make_tree(root)
    shutil.copy(package, root / "root")
    node = lab.node("debian")
    node.run(["ip", "address", "add", "192.0.2.11/24", "dev", "eth0"])
    with booted(node, root) as machine:
        yield machine


def test_the_package_is_installed_and_its_commands_may_start_units(debian: Debian) -> None:
    debian.run(f"cd /root && set -e && {PACKAGE.text}")
    wait_for_log(debian, "became master")
    assert debian.show("carpsidecar", "ActiveState") == "active"
    assert "192.0.2.100" in debian.run("ip address show dev eth0 2>/dev/null || true; cat /proc/net/fib_trie")

    # The database's page: a command that is root's, and asks systemd.
    for title in ("/usr/local/sbin/database-role", "/etc/systemd/system/database-here.service"):
        put(debian, DATABASE[title])
    put(debian, DATABASE["/etc/systemd/system/carpsidecar.service.d/commands.conf"])
    (debian.root / "usr/local/sbin/database-here").write_text('#!/bin/sh\necho "$1" >>/root/done\n')
    command = "/usr/local/sbin/database-role"
    hooks = "".join(f"{name}: {command}\n" for name in ("on_master", "on_backup"))
    with (debian.root / "etc/carpsidecar/carpsidecar.yaml").open("a") as file:
        file.write(hooks)
    debian.run(f"chmod 755 {command} /usr/local/sbin/database-here; systemctl daemon-reload")
    debian.run("systemctl restart carpsidecar")
    wait_until(lambda: debian.show("database-here", "ActiveState") == "active")
    debian.run("systemctl stop carpsidecar")
    assert debian.show("database-here", "ActiveState") == "inactive"
    assert (debian.root / "root/done").read_text() == "start\nstop\n"


def put(debian: Debian, block: Block) -> None:
    path = debian.root / block.title.removesuffix(" on both").lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)
