"""Files that others may change or read are warned of, with the remedy."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from carpsidecar.cli.ucarp_options import Options, read
from carpsidecar.config.sources import load

LEAST = {"vip": "192.0.2.100", "vhid": "42"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A configuration, a passphrase and a command, all as they should be, in folders of their own."""
    tmp_path.chmod(0o755)
    for name, mode, text in (
        (
            "carp.yaml",
            0o600,
            "on_master: {0}/hook/run now\nchecks: [{{name: disk, command: [sh, {0}/check/run]}}]\n",
        ),
        ("secret", 0o600, "secret\n"),
        ("run", 0o755, "#!/bin/sh\n"),
    ):
        for folder in ("hook", "check") if name == "run" else ("config",):
            path = tmp_path / folder / name
            path.parent.mkdir(mode=0o755, exist_ok=True)
            path.write_text(text.format(tmp_path))
            path.chmod(mode)
    return tmp_path


def warnings(files: Path) -> tuple[str, ...]:
    return load(
        LEAST | {"passphrase_file": str(files / "config/secret")}, {}, str(files / "config/carp.yaml")
    ).warnings


def test_nothing_is_wrong_with_what_only_its_owner_may_change(files: Path) -> None:
    assert warnings(files) == ()


Change = Callable[[Path], None]
CHANGES: dict[str, tuple[str, Change, str]] = {
    "config": ("config/carp.yaml", lambda p: p.chmod(0o606), "can be changed by everybody: chmod o-w {0}"),
    "its folder": ("config", lambda p: p.chmod(0o757), "its folder {0} can be changed by everybody: chmod o-w {0}"),
    "passphrase": ("config/secret", lambda p: p.chmod(0o604), "{0} is readable by everybody: chmod 600 {0}"),
    "hook": ("hook/run", lambda p: p.chmod(0o757), "on_master: {0} can be changed by everybody: chmod o-w {0}"),
    "check": ("check/run", lambda p: p.chmod(0o757), "check disk: {0} can be changed by everybody: chmod o-w {0}"),
}
GIVEN_AWAY: dict[str, tuple[str, Change, str]] = {
    "config": ("config/carp.yaml", lambda p: shutil.chown(p, 54321), "{0} belongs to user 54321: chown root {0}"),
    "its folder": (
        "config",
        lambda p: shutil.chown(p, 54321),
        "its folder {0} belongs to user 54321: chown root {0}",
    ),
    "passphrase": ("config/secret", lambda p: shutil.chown(p, 54321), "{0} belongs to user 54321: chown root {0}"),
    "hook": ("hook", lambda p: shutil.chown(p, 54321), "its folder {0} belongs to user 54321: chown root {0}"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_everybody_may_change_or_read(files: Path, case: str) -> None:
    name, change, warning = CHANGES[case]
    change(files / name)
    assert any(warning.format(files / name) in found for found in warnings(files))


@as_root
@pytest.mark.parametrize("case", GIVEN_AWAY)
def test_what_belongs_to_another_user(files: Path, case: str) -> None:
    name, change, warning = GIVEN_AWAY[case]
    change(files / name)
    assert any(warning.format(files / name) in found for found in warnings(files))


@as_root
def test_what_a_group_may_read_or_change(files: Path) -> None:
    secret, hook = files / "config/secret", files / "hook/run"
    for path, mode in ((secret, 0o640), (hook, 0o775)):
        shutil.chown(path, group=54321)
        path.chmod(mode)
    assert {found.partition(": ")[2] for found in warnings(files)} == {
        f"{secret} is readable by group 54321: chmod 600 {secret}",
        f"on_master: {hook} can be changed by group 54321: chmod g-w {hook}",
    }


def test_a_link_in_a_folder_that_others_may_change(files: Path) -> None:
    link = files / "open" / "link"
    link.parent.mkdir()
    link.symlink_to(files / "config/carp.yaml")
    link.parent.chmod(0o777)
    flags = {"passphrase_file": str(files / "config/secret")}
    [warning] = load(LEAST | flags, {}, str(link)).warnings
    assert warning == f"{link}: its folder {link.parent} can be changed by everybody: chmod o-w {link.parent}"
    # Where only its owner may replace a file, as in /tmp, a link is as good as the file.
    link.parent.chmod(0o1777)
    assert load(LEAST | flags, {}, str(link)).warnings == ()


def test_a_passphrase_in_a_file_that_everybody_may_read(files: Path) -> None:
    path = files / "config/carp.yaml"
    path.write_text("passphrase: secret\n")
    path.chmod(0o644)
    assert load(LEAST, {}, str(path)).warnings == (f"{path} is readable by everybody: chmod 600 {path}",)


def test_the_drop_in_warns_too(files: Path) -> None:
    secret, script = files / "config/secret", files / "hook/run"
    for path in (secret, script):
        path.chmod(0o777)
    options = Options()
    read(["-v", "1", "-s", "192.0.2.1", "-a", "192.0.2.2", "-o", str(secret), "-u", str(script)], options)
    assert f"-o: {secret} is readable by everybody: chmod 600 {secret}" in options.warnings
    assert f"{script} can be changed by everybody: chmod o-w {script}" in options.warnings


@as_root
def test_what_is_mounted_read_only_nobody_may_change(files: Path) -> None:
    config = files / "config"
    config.chmod(0o777)
    assert warnings(files)
    subprocess.run(["mount", "--bind", "-o", "ro", config, config], check=True)
    try:
        assert warnings(files) == ()
    finally:
        subprocess.run(["umount", config], check=True)
