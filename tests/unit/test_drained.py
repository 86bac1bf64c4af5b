"""The files that keep a drain over a restart."""

import os
from pathlib import Path

import pytest

from carpsidecar import drained


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/state:{tmp_path}/other")
    return tmp_path / "state"


def test_what_is_written_is_read_until_it_is_removed(state: Path) -> None:
    assert drained.reason("web") is None
    drained.write("web", "kernel update")
    drained.write("mail", "")
    assert (drained.reason("web"), drained.reason("mail")) == ("kernel update", "")
    assert sorted(path.name for path in (state / "drained").iterdir()) == ["mail", "web"]
    drained.write("web", "disk swap")
    assert drained.reason("web") == "disk swap"
    drained.remove("web")
    drained.remove("web")
    assert (drained.reason("web"), drained.reason("mail")) == (None, "")


def test_without_the_variable_it_is_where_states_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY")
    assert drained.folder() == Path("/var/lib/carpsidecar/drained")


def test_a_file_that_could_disturb_a_log_is_told(state: Path) -> None:
    (state / "drained").mkdir(parents=True)
    (state / "drained" / "web").write_bytes(b"by \x1b[2Jhand\xff\nand more\n")
    with pytest.raises(OSError, match="web holds no line of at most 200 printable characters"):
        drained.reason("web")
    (state / "drained" / "web").write_bytes(b"x" * 100_000)
    with pytest.raises(OSError, match="web has more than 4096 bytes"):
        drained.reason("web")


def test_what_is_no_file_is_told_and_not_waited_for(state: Path) -> None:
    (state / "drained").mkdir(parents=True)
    os.mkfifo(state / "drained" / "web")
    with pytest.raises(OSError, match="web is no regular file"):
        drained.reason("web")


def test_what_can_not_be_written_leaves_nothing_behind(state: Path) -> None:
    (state / "drained" / "web").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        drained.write("web", "")
    assert [path.name for path in (state / "drained").iterdir()] == ["web"]
