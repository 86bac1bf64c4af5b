"""A group that an operator drained before this engine: what lies there, and what is made of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from carpsidecar.drained import NODE
from carpsidecar.engine.drain_files import DrainFiles
from carpsidecar.engine.startup import drained_before
from carpsidecar.ipc.messages import SetDemotion
from tests.support.logs import Logged
from tests.unit.engine.loops import Loop


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


def test_a_file_that_is_about_to_be_written_says_nothing(folder: Path) -> None:
    (folder / "lb-1000").write_text("by hand\n")
    assert drained_before("lb-1000", of_services=True, unwritten=["lb-1000"]) is None
    (folder / NODE).write_text("the machine\n")
    found = drained_before("lb-1000", of_services=True, unwritten=["lb-1000"])
    assert found is not None
    assert found.text == "the machine"
    assert drained_before("lb-1000", of_services=True, unwritten=["lb-1000", NODE]) is None


def test_a_file_is_to_be_written_until_it_is(folder: Path, loop: Loop) -> None:
    files, problems = DrainFiles(loop.asyncio), list[str]()
    (folder / "web").write_text("by hand\n")
    files.store(["web"], None, problems.append)
    files.store(["web"], "again", problems.append)
    assert "web" in files.unwritten
    loop.until(lambda: len(problems) == 2)
    assert (problems, dict(files.unwritten)) == (["", ""], {})
    assert drained_before("web") == drain("again")
