"""Log lines reach their reader in order, and nobody who logs waits for it."""

import json
import logging
import threading
from collections.abc import Iterator

import pytest

from carpsidecar import logs


class Reader:
    """A sink that can be stopped, as a terminal can with Ctrl-S."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.reads = threading.Event()
        self.reads.set()
        self.holds_a_line = threading.Event()
        self.broken = False

    def __call__(self, level: int, line: str) -> None:
        self.holds_a_line.set()
        self.reads.wait(10)
        if self.broken:
            raise BrokenPipeError
        self.lines.append(line)


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    handlers, level = logs.logger.handlers[:], logs.logger.level
    yield reader
    reader.reads.set()
    logs.logger.handlers[:] = handlers
    logs.logger.setLevel(level)
    logs.logger.propagate = True


def test_lines_are_written_in_their_order_before_the_log_is_closed(reader: Reader) -> None:
    writer = logs.start("text", "info", reader)
    for number in range(100):
        logs.log(logging.INFO, "count", f"line {number}")
    writer.close()
    assert [line.rpartition(" ")[2] for line in reader.lines] == [str(number) for number in range(100)]


def test_a_line_for_people_names_its_group(reader: Reader) -> None:
    writer = logs.start("text", "info", reader)
    logs.log(logging.WARNING, "transition", "became master\nat last", group="web")
    writer.close()
    [line] = reader.lines
    assert line.endswith("WARNING web: became master at last")


def test_the_journal_has_its_own_time_stamps(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    writer = logs.start("text", "info", reader)
    logs.log(logging.INFO, "x", "hello")
    writer.close()
    assert reader.lines == ["INFO hello"]


def test_a_line_for_machines_has_stable_keys(reader: Reader) -> None:
    writer = logs.start("json", "info", reader)
    logs.log(logging.INFO, "transition", "became master\n", group="web", role="master", peer=None)
    writer.close()
    entry = json.loads(reader.lines[0])
    assert entry.pop("time")
    assert entry == {
        "level": "info",
        "event": "transition",
        "message": "became master\n",
        "group": "web",
        "role": "master",
        "peer": None,
    }


def test_a_key_of_any_type_can_be_written(reader: Reader) -> None:
    writer = logs.start("json", "info", reader)
    logs.log(logging.INFO, "x", "hello", path=object(), bad="\udcff")
    writer.close()
    assert json.loads(reader.lines[0])["bad"] == "\udcff"


def test_what_is_less_important_than_the_level_is_not_written(reader: Reader) -> None:
    writer = logs.start("text", "warning", reader)
    logs.log(logging.INFO, "x", "hello")
    writer.close()
    assert reader.lines == []


def test_a_reader_that_stopped_holds_nobody_up_and_is_told_what_it_missed(reader: Reader) -> None:
    writer = logs.start("text", "info", reader)
    reader.reads.clear()
    logs.log(logging.INFO, "x", "the one being written")
    assert reader.holds_a_line.wait(10)
    for number in range(5000):  # would never come back if it waited for room
        logs.log(logging.INFO, "x", f"line {number}")
    reader.reads.set()
    writer.close()
    assert len(reader.lines) == 1 + 2000 + 1
    assert reader.lines[1].endswith(" WARNING 3000 log lines were dropped: their reader is too slow")
    assert reader.lines[2].endswith("line 0")


def test_a_log_that_can_not_be_flushed_does_not_hold_up_the_exit(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_FLUSH_TIMEOUT_S", 0.01)
    writer = logs.start("text", "info", reader)
    reader.reads.clear()
    logs.log(logging.INFO, "x", "hello")
    writer.close()
    assert reader.lines == []


def test_lines_that_a_broken_reader_lost_are_counted(reader: Reader) -> None:
    writer = logs.start("text", "info", reader)
    reader.broken = True
    reader.reads.clear()
    for _ in range(3):
        logs.log(logging.INFO, "x", "lost")
    reader.reads.set()
    writer.close()
    reader.broken = False

    writer = relaunch(writer, reader)
    logs.log(logging.INFO, "x", "hello")
    writer.close()
    assert reader.lines[0].endswith(" WARNING 3 log lines were dropped: their reader is too slow")
    assert reader.lines[1].endswith("hello")


def relaunch(ended: logs.Writer, reader: Reader) -> logs.Writer:
    """A writer that goes on with the count of one that was closed."""
    writer = logs.start("text", "info", reader)
    writer._dropped = ended._dropped
    return writer


def test_machines_are_told_of_lost_lines_in_their_own_form(reader: Reader) -> None:
    writer = logs.start("json", "info", reader)
    writer._dropped = 7
    logs.log(logging.INFO, "x", "hello")
    writer.close()
    entry = json.loads(reader.lines[0])
    assert (entry["level"], entry["event"], entry["lines"]) == ("warning", "lines_dropped", 7)
    assert json.loads(reader.lines[1])["event"] == "x"


def test_stderr_takes_text_that_is_no_unicode(capfd: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr(logging.INFO, "name \udcff")
    assert capfd.readouterr().err == "name ?\n"


def test_another_form_and_level_hold_from_then_on(reader: Reader) -> None:
    writer = logs.start("text", "error", reader)
    logs.log(logging.INFO, "unheard", "not important enough")
    logs.configure("json", "info")
    logs.log(logging.INFO, "heard", "important enough")
    writer.close()
    [line] = reader.lines
    assert json.loads(line)["event"] == "heard"
