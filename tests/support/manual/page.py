"""The blocks of a page of the manual, and which test runs them.

    ```sh title="on first"                                    run there
    ```sh title="on both, and leave it running"               started there, each in a terminal of its own
    ```yaml title="/etc/carpsidecar/config.yaml on both"      a file
    ```text                                                   directly behind a command: what it prints
    ```text title="within three seconds"                      the same, asked for again until it does
    *Not run by a test: it needs K3s.*                        below a block: not run, and the reader sees why

A block of language `sh` or `console`, one without a language, and an indented one are commands: a test must claim
them, or such a line must be below them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]
COMMANDS = ("sh", "console", "")

_FENCE = re.compile(r"(?P<indent> *)(?P<ticks>```+|~~~+) *(?P<language>[\w-]*)(?P<rest>.*)")
_TITLE = re.compile(r'title="([^"]*)"')
_MARK = re.compile(r" *\*Not run by a test: (.+)\.\*")
_LIST_ITEM = re.compile(r" *([-*+]|\d+\.) ")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code: where it stands, and what it says. `line` is that of its first word, from 1."""

    page: str
    line: int
    section: str
    """The heading of the second level that it is under."""
    language: str
    title: str
    text: str
    follows_at_once: bool
    """Whether nothing but blank lines stands between the block before and this one."""
    not_run: str
    """Why no test runs it, as the line below it says to readers too; empty where a test must."""

    @property
    def is_command(self) -> bool:
        return self.language in COMMANDS

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text.splitlines()[0]}"


def pages() -> list[str]:
    """README.md and all pages of the manual, as paths in the repository."""
    return ["README.md", *sorted(str(path.relative_to(SOURCE)) for path in (SOURCE / "docs").rglob("*.md"))]


def blocks(page: str) -> list[Block]:
    """All blocks of code of this page, in order."""
    return _blocks(page, (SOURCE / page).read_text().splitlines())


def _blocks(page: str, lines: list[str]) -> list[Block]:
    found: list[Block] = []
    end = -1
    number = 0
    section = ""
    in_list = False
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.fullmatch(line)
        if fence:
            first, language = number + 1, fence["language"]
            title = _TITLE.search(fence["rest"])
            last = first
            while last < len(lines) and lines[last].strip() != fence["ticks"]:
                last += 1
            indent, after = len(fence["indent"]), last + 1
        elif line.startswith("    ") and line.strip() and not in_list:
            first, language, title, indent = number, "", None, 4
            last = first
            while last < len(lines) and (lines[last].startswith("    ") or not lines[last].strip()):
                last += 1
            after = last
        else:
            if line.startswith("## "):
                section = line.removeprefix("## ")
            if line.strip():
                end = -1
                # What is indented under a list item is its text.
                in_list = bool(_LIST_ITEM.match(line)) or (in_list and line.startswith(" "))
            number += 1
            continue
        text = "\n".join(one[indent:] for one in lines[first:last]).rstrip() + "\n"
        below = next((line for line in lines[after:] if line.strip()), "")
        mark = _MARK.fullmatch(below)
        given = title[1] if title else ""
        found.append(Block(page, first + 1, section, language, given, text, end >= 0, mark[1] if mark else ""))
        number = end = after
    return found


def marks(page: str) -> int:
    """How many lines of this page say that something is not run."""
    return sum(_MARK.fullmatch(line) is not None for line in (SOURCE / page).read_text().splitlines())


_claimed: set[Block] = set()


def claim(page: str, *beginnings: str, but_section: str = "") -> list[Block]:
    """The page's blocks, which the test that calls this promises to run; with beginnings, one for each of these;
    `but_section` is another test's.

    Call it at the top level of the module, so that test_claims.py sees it without running the test.

    Raises:
        LookupError: there is not exactly one block that begins so.
    """
    everything = [block for block in blocks(page) if not but_section or block.section != but_section]
    everything = [block for block in everything if not block.not_run]
    chosen = [_one(everything, beginning) for beginning in beginnings] or everything
    _claimed.update(chosen)
    return chosen


def not_run(page: str, beginning: str) -> Block:
    """The page's block that begins so and is marked as not run, for what can be said of it without running it.

    Raises:
        LookupError: there is not exactly one.
    """
    return _one([block for block in blocks(page) if block.not_run], beginning)


def _one(among: list[Block], beginning: str) -> Block:
    fitting = [block for block in among if block.text.startswith(beginning)]
    if len(fitting) != 1:
        raise LookupError(f"{len(fitting)} blocks begin with {beginning!r}: one must")
    return fitting[0]


def claimed() -> frozenset[Block]:
    """What has been claimed by the modules that were imported."""
    return frozenset(_claimed)
