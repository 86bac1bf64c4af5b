"""A group that an operator drained before this engine: what lies there, and what is made of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from carpsidecar.engine.startup import drained_before
from carpsidecar.ipc.messages import SetDemotion
from tests.support.logs import Logged


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    # systemd names several, where there are several.
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/nonexistent")
    folder = tmp_path / "drained"
    folder.mkdir()
    return folder


def drain(text: str) -> SetDemotion:
    return SetDemotion(cause="operator", amount=240, group="web", bow_out=True, text=text)


def test_without_a_file_it_is_not_drained(folder: Path, logged: Logged) -> None:
    (folder / "lan").write_text("another one\n")
    assert drained_before("web") is None
    (folder / "lan").unlink()
    folder.rmdir()
    assert drained_before("web") is None
    folder.write_text("a file")
    assert drained_before("web") is None
    assert logged.lines == []


@pytest.mark.parametrize("text", ["disk swap\n", "disk swap", "Wartung für 10 Minuten ✓\n", "\n", "", "x" * 200])
def test_its_line_is_the_reason(folder: Path, logged: Logged, text: str) -> None:
    (folder / "web").write_text(text)
    assert drained_before("web") == drain(text.removesuffix("\n"))
    assert logged.lines == []


ODD: dict[str, Callable[[Path], object]] = {
    "too long": lambda file: file.write_text("x" * 201),
    "huge": lambda file: file.write_bytes(b"x" * 1_000_000),
    "two lines": lambda file: file.write_text("one\ntwo\n"),
    "control characters": lambda file: file.write_text("\x1b[31mred\n"),
    "no text": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "a folder": lambda file: file.mkdir(),
    "a pipe that nobody writes to": os.mkfifo,
    "a loop": lambda file: file.symlink_to(file.name),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_something_odd_is_taken_for_a_drain_and_said(
    folder: Path, logged: Logged, make: Callable[[Path], object]
) -> None:
    make(folder / "web")
    assert drained_before("web") == drain("")
    [line] = logged.lines
    assert line.startswith(f"taken for drained: {folder / 'web'} ")
