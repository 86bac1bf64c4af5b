"""The lists of log lines, Kubernetes events and exit statuses are those of the program, no more and no less."""

import ast
import re
from typing import get_args

import pytest

from carpsidecar.cli import COMMANDS, main
from carpsidecar.cli.run import parser
from carpsidecar.protocol.effects import Reason
from carpsidecar.protocol.packet import Drop
from carpsidecar.reporter.kubernetes import recorder
from carpsidecar.status.stats import ApiFailure
from docs.tools import settings
from tests.docs.log_lines import LEVELS, PACKAGE, Event, logged
from tests.support.manual.tables import DOCS, names, rows

OF_THE_KERNEL = {"unread", "overrun", "claims_unread"}
"""What is counted before anything is looked at: engine/report.py."""
ALWAYS = {"time", "level", "event", "message"}
NO_SETTINGS = {"-h", "--help", "--config"}
LOG_LINES = {row["event"].strip("`"): row for row in rows("reference/logs.md", "event", "level", "when", "keys")}
STATUSES = rows("reference/exit-status.md", "command", "status", "meaning")


@pytest.fixture(scope="module")
def lines() -> dict[str, Event]:
    return logged()


def test_every_event_of_the_log_is_listed_and_no_other(lines: dict[str, Event]) -> None:
    assert LOG_LINES.keys() == lines.keys()


def test_an_event_has_the_same_keys_wherever_it_is_logged(lines: dict[str, Event]) -> None:
    for name, event in lines.items():
        assert len({keys for _, keys in event.keys}) == 1, f"{name}: {event.keys}"


def test_the_keys_of_each_event_are_listed(lines: dict[str, Event]) -> None:
    expected = {name: set(event.keys[0][1]) for name, event in lines.items()}
    assert {name: names(row["keys"]) for name, row in LOG_LINES.items()} == expected


def test_the_levels_of_each_event_are_listed(lines: dict[str, Event]) -> None:
    listed = {name: set(row["level"].split(" or ")) for name, row in LOG_LINES.items()}
    assert listed == {name: event.levels for name, event in lines.items()}
    assert all(levels <= {level.lower() for level in LEVELS} for levels in listed.values())


def test_every_key_has_its_meaning_and_none_hides_what_every_line_has(lines: dict[str, Event]) -> None:
    used = {key for event in lines.values() for _, keys in event.keys for key in keys}
    explained = {name for row in rows("reference/logs.md", "key", "value") for name in names(row["key"])}
    assert used.isdisjoint(ALWAYS)
    assert explained == used | ALWAYS


def test_every_reason_of_a_kubernetes_event_is_listed_as_it_is_sent() -> None:
    listed = {
        row["reason"].strip("`"): (row["type"], row["action"])
        for row in rows("reference/events.md", "reason", "type")
    }
    assert listed == {
        reason: ("Normal" if reason in recorder._NORMAL else "Warning", recorder._ACTIONS[reason])
        for reason in get_args(recorder.EventReason)
    }


def test_every_reason_that_is_listed_is_used() -> None:
    used = {
        node.value
        for path in (PACKAGE / "reporter").rglob("*.py")
        if path.name != "recorder.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch("Carp[A-Z]\\w+", node.value)
    }
    assert used == set(get_args(recorder.EventReason))


def test_the_page_of_settings_is_made_from_the_schema() -> None:
    assert (DOCS / "reference/settings.md").read_text() == settings.page(), "the settings have changed: make docs"


def test_every_flag_of_run_is_a_setting_that_is_listed() -> None:
    listed = {name for row in rows("reference/settings.md", "in the file", "flag") for name in names(row["flag"])}
    flags = {flag for action in parser()._actions for flag in action.option_strings if not flag.startswith("--no-")}
    assert listed == flags - NO_SETTINGS


def listed_reasons() -> list[set[str]]:
    """Of roles, and of packets that were not taken, in the order of the page."""
    tables = re.findall(r"^\| reason \|.*\n\|.*\n((?:\|.*\n)+)", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    return [{name for row in table.splitlines() for name in names(row.split("|")[1])} for table in tables]


def test_every_reason_of_a_role_is_listed() -> None:
    assert listed_reasons()[0] == {reason.name.lower() for reason in Reason}


def test_every_reason_of_a_packet_that_was_not_taken_is_listed() -> None:
    assert listed_reasons()[1] == {str(drop) for drop in Drop} | OF_THE_KERNEL


def test_every_reason_of_a_failed_request_is_listed() -> None:
    row = next(row for row in rows("metrics.md", "metric", "meaning") if "carp_api_failures_total" in row["metric"])
    assert names(row["meaning"]) == set(get_args(ApiFailure))


def statuses(command: str) -> set[int]:
    return {int(row["status"]) for row in STATUSES if row["command"] == f"`{command}`"}


def test_the_exit_statuses_of_every_command_are_listed() -> None:
    assert {row["command"].strip("`") for row in STATUSES} == COMMANDS.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_the_list_have_the_same_exit_statuses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([command, "--help"])
    listed = re.search(r"exit status:((?:.|\n  )*)", capsys.readouterr().out, re.IGNORECASE)
    assert listed, f"{command} --help does not list its exit statuses"
    assert {int(status) for status in re.findall(r"(?:^|; |, or |\n) *(\d)\b", listed[1])} == statuses(command)


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"ucarp", "version", "demo"}))
def test_a_bad_command_line_is_2(command: str) -> None:
    assert main([command, "--no-such-option"]) == 2
    assert 2 in statuses(command)


def test_a_bad_option_of_the_drop_in_is_1() -> None:
    assert main(["ucarp", "--vhid=none"]) == 1


def test_each_says_what_it_means() -> None:
    assert all(row["meaning"] for row in STATUSES)
    assert all(row["when"] for row in LOG_LINES.values())
