"""The drop-in's log: ucarp's lines, and a syslog that never holds anybody up."""

import logging
import socket
from pathlib import Path

import pytest

from carpsidecar.cli.ucarp_log import Line, Syslog, to_terminal


def record(level: int, message: str) -> logging.LogRecord:
    made = logging.LogRecord("carpsidecar", level, "", 0, message, (), None)
    made.created = 1234567890.5
    return made


def test_a_line_has_the_time_to_the_microsecond() -> None:
    line = Line(with_time=True).format(record(logging.INFO, "became master"))
    assert line.startswith("2009-02-1")
    assert line.endswith(".500000: [INFO] became master")


@pytest.mark.parametrize(
    ("level", "urgency"),
    [(logging.DEBUG, "DEBUG"), (logging.INFO, "INFO"), (logging.WARNING, "WARNING"), (logging.CRITICAL, "ERROR")],
)
def test_a_line_says_how_urgent_it_is(level: int, urgency: str) -> None:
    assert Line(with_time=False).format(record(level, "two\nlines")) == f"[{urgency}] two lines"


def test_urgent_lines_go_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    to_terminal(logging.INFO, "calm")
    to_terminal(logging.WARNING, "urgent")
    assert capfd.readouterr() == ("calm\n", "urgent\n")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "log")


def listen(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(path)
    listening.settimeout(10)
    return listening


def test_a_daemon_that_does_not_read_is_not_waited_for(path: str) -> None:
    syslog = Syslog(3, path)

    def fill() -> None:
        for _ in range(100_000):
            syslog(logging.INFO, "hello")

    with listen(path), pytest.raises(BlockingIOError):
        fill()
    syslog.close()


def test_a_daemon_that_is_started_again_gets_the_lines_from_then_on(path: str) -> None:
    syslog = Syslog(3, path)
    syslog(logging.INFO, "nobody there")
    with listen(path) as first:
        syslog(logging.INFO, "first")
        assert first.recv(4096).endswith(b": first")
    Path(path).unlink()
    syslog(logging.INFO, "gone")
    with listen(path) as second:
        syslog(logging.INFO, "second")
        assert second.recv(4096).endswith(b": second")
    syslog.close()
