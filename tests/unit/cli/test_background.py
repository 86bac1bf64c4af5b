"""Going into the background: the caller learns whether it worked, and the daemon keeps nothing of the caller's."""

import os
import subprocess
import sys
from pathlib import Path

# `body` stands for the daemon.
PROGRAM = """
import os, sys
from carpsidecar.cli.background import run_in_background
def body(listening):
{body}
sys.exit(run_in_background(body, 2))
"""


def start(body: str) -> "subprocess.CompletedProcess[str]":
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=lines)], capture_output=True, text=True, timeout=30, check=False
    )


def story(body: str) -> str:
    """What the daemon wrote to descriptor `out`, until it ended."""
    reading, writing = os.pipe()
    lines = f"out = {writing}\n{body}"
    program = PROGRAM.format(body="".join(f"    {line}\n" for line in lines.splitlines()))
    ended = subprocess.run([sys.executable, "-c", program], pass_fds=[writing], timeout=30, check=False)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    assert ended.returncode == 0
    return text


def test_the_caller_is_let_go_once_the_daemon_listens(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    # It would wait for ever if the caller had to end first.
    ended = start(f"listening()\nopen({str(gate)!r}).read()\nreturn 0")
    assert (ended.returncode, ended.stderr) == (0, "")
    gate.write_text("the daemon lives, since somebody reads this")


def test_an_error_before_it_listens_is_the_callers() -> None:
    ended = start("print('ucarp: no privilege', file=sys.stderr)\nreturn 2")
    assert (ended.returncode, ended.stderr) == (2, "ucarp: no privilege\n")


def test_one_that_dies_without_a_word_did_not_start() -> None:
    assert start("os._exit(0)").returncode == 2
    assert start("os.kill(os.getpid(), 9)").returncode == 2


def test_one_that_raises_did_not_start_and_does_not_return_to_the_callers_code() -> None:
    ended = start("raise KeyboardInterrupt")
    assert ended.returncode == 2


def test_the_daemon_is_in_no_session_of_the_callers_and_leads_none() -> None:
    words = story(
        "listening()\nos.write(out, f'{os.getsid(0)} {os.getpid()} {os.getcwd()}'.encode())\nreturn 0"
    ).split()
    assert words[0] not in (words[1], str(os.getsid(0)))
    assert words[2] == "/"


def test_the_daemon_has_given_back_the_callers_terminal() -> None:
    links = story(
        "listening()\nfor n in range(3): os.write(out, os.readlink(f'/proc/self/fd/{n}').encode() + b' ')\nreturn 0"
    )
    assert links.split() == ["/dev/null"] * 3
