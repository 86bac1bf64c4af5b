"""The command's face: its table, its JSON, and what it says of a command line that can't be used."""

import json
import re
from pathlib import Path

import pytest

from carpsidecar.cli import main
from carpsidecar.cli.doctor import parser
from carpsidecar.doctor.findings import Finding, Status, document, exit_status, table
from tests.support.command import shell

DOCS = Path(__file__).parents[3] / "docs"
FINDINGS = [
    Finding("kernel", Status.OK, "Linux 6.1"),
    Finding("digest", Status.PROBLEM, "that of 10.99.0.12 does not fit", "make both alike", "web"),
    Finding("clock", Status.SKIPPED, "auth is carp"),
]


def test_the_table_is_aligned_and_plain() -> None:
    assert list(table(FINDINGS, colour=False, width=None)) == [
        "ok       kernel       Linux 6.1",
        "problem  digest  web  that of 10.99.0.12 does not fit",
        "                      -> make both alike",
        "skipped  clock        auth is carp",
        "1 ok, 1 problem, 1 skipped",
    ]


def test_colour_takes_no_room() -> None:
    plain, coloured = (list(table(FINDINGS, colour=colour, width=None)) for colour in (False, True))
    assert coloured[1].startswith("\x1b[1;31mproblem\x1b[0m  digest")
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured] == plain


def test_long_lines_are_broken_for_a_terminal_only() -> None:
    long = [Finding("peers", Status.WARNING, "word " * 40, "do " * 60, "web")]
    assert all(len(line) <= 100 for line in table(long, colour=False, width=100))
    assert len(list(table(long, colour=False, width=None))) == 3


@pytest.mark.parametrize(("status", "code"), [(Status.PROBLEM, 1), (Status.WARNING, 0), (Status.SKIPPED, 0)])
def test_only_a_problem_makes_the_exit_status_1(status: Status, code: int) -> None:
    assert exit_status([Finding("x", status, "")]) == code


def test_the_document_is_as_documented() -> None:
    reported = document(FINDINGS)
    assert json.loads(json.dumps(reported)) == reported
    text = (DOCS / "troubleshooting.md").read_text()
    for name in (*reported, *reported["findings"][0]):
        assert f"`{name}`" in text
    for status in Status:
        assert f"`{status}`" in text


def test_every_check_is_in_the_document() -> None:
    """Its name, as it stands in the code."""
    package = Path(__file__).parents[3] / "carpsidecar" / "doctor"
    names = set()
    for file in package.rglob("*.py"):
        names |= set(re.findall(r'\b(?:check|needs_observed|named)\("([a-z_0-9]+)"', file.read_text()))
    text = (DOCS / "troubleshooting.md").read_text()
    assert len(names) > 20
    assert {name for name in names if f"| `{name}` |" not in text} == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen", "0"], "--listen: '0' can't be used: give seconds, at most 3600"),
        (["--listen", "nan"], "--listen: 'nan' can't be used"),
        (["--frobnicate"], "unknown option --frobnicate"),
        ([], "vip: none is given"),
        (["--vip", "192.0.2.100", "--vhid", "42"], "passphrase: none is given"),
    ],
)
def test_a_command_line_that_can_not_be_used_is_one_line(arguments: list[str], message: str) -> None:
    ended = shell("doctor", *arguments)
    [line] = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in line


def test_help_has_examples_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{word}:" in shown for word in ("examples", "exit status"))


def test_the_manual_has_its_options() -> None:
    section = (DOCS / "man" / "carpsidecar.8").read_text().partition(".Ss Doctor")[2].partition(".Ss ")[0]
    own = {"--json", "--listen"}
    assert {name for action in parser()._actions for name in action.option_strings} > own
    assert {f"-{word}".replace("\\-", "-") for word in re.findall(r"Fl (\S+)", section)} >= own
