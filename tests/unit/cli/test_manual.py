"""The manual pages are well-formed, and name the options that the program has."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from carpsidecar.cli import COMMANDS
from carpsidecar.cli.ucarp_options import OPTIONS
from carpsidecar.config.schema import GROUP_FIELDS, PROCESS_FIELDS
from carpsidecar.config.sources import flag_name

PAGES = Path(__file__).parents[3] / "docs" / "man"
PAGE, DROP_IN = PAGES / "carpsidecar.8", PAGES / "carpsidecar-ucarp.8"


def items(page: Path) -> list[str]:
    """The heads of the lists of options."""
    lines = page.read_text().splitlines()
    return [line for line in lines if line.startswith(".It Fl")]


def flags(page: Path) -> set[str]:
    words = re.findall(r"Fl (\S+)", " ".join(items(page)))
    return {f"-{word}".replace("\\-", "-") for word in words if word != ","}


def test_the_page_has_the_flags_of_the_schema() -> None:
    fields = GROUP_FIELDS | PROCESS_FIELDS
    switches = {f"--no-{flag_name(name)[2:]}" for name, field in fields.items() if field.is_switch}
    expected = {flag_name(name) for name in fields} | switches | {"--config", "--help", "-h"}
    assert flags(PAGE) == expected


def test_the_page_has_the_commands() -> None:
    text = PAGE.read_text()
    assert all(f".It Cm {name}" in text for name in COMMANDS)
    synopsis = text.partition(".Sh SYNOPSIS")[2].partition(".Sh DESCRIPTION")[0]
    # The drop-in's options are another page's.
    assert COMMANDS.keys() <= set(re.findall(r"[\w-]+", synopsis))


def test_the_drop_ins_page_has_the_options_of_its_table_in_alphabetical_order() -> None:
    expected = {f"-{option.short}" for option in OPTIONS} | {f"--{option.long}" for option in OPTIONS}
    assert flags(DROP_IN) == expected | {"--mcast"}
    shorts = [item.split()[2] for item in items(DROP_IN)]
    assert shorts == sorted(shorts, key=lambda name: (name.lower(), name))


def test_the_drop_ins_page_says_which_options_take_a_value() -> None:
    for item in items(DROP_IN):
        [option] = [option for option in OPTIONS if item.startswith(f".It Fl {option.short} ")]
        assert ("Ar" in item.split()) == (option.argument is not None)


def test_the_synopsis_of_the_drop_in_is_complete() -> None:
    synopsis = DROP_IN.read_text().partition(".Sh SYNOPSIS")[2].partition(".Sh DESCRIPTION")[0]
    switches = "".join(o.short for o in OPTIONS if not o.argument)
    [together] = re.findall(r"Op Fl (\S+)$", synopsis, re.MULTILINE)
    assert sorted(together) == sorted(switches)
    assert set(re.findall(r"Op Fl (\S) Ar", synopsis)) == {o.short for o in OPTIONS if o.argument}


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
@pytest.mark.parametrize("page", [PAGE, DROP_IN], ids=lambda page: page.name)
def test_groff_has_nothing_to_say(page: Path) -> None:
    ended = subprocess.run(["groff", "-ww", "-mandoc", "-Tutf8", page], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "EXIT STATUS" in re.sub(r".\x08|\x1b\[\d*m", "", ended.stdout)


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
@pytest.mark.parametrize("page", [PAGE, DROP_IN], ids=lambda page: page.name)
def test_mandoc_has_nothing_to_say(page: Path) -> None:
    ended = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, check=False)
    assert ended.stdout == ""
