"""What a page says a command prints, held against what it printed: times, counters and process ids may differ.

In a page `…` stands for anything: within a line for the rest of a word or line, alone on a line for any lines.
"""

import re

_GENERAL = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ?(µs|ms|s|min|h|seconds?|minutes?|hours?)\b"), "LONG"),
    (re.compile(r"(LONG )+LONG"), "LONG"),
    (re.compile(r"\b(pid|process|counter) \d+"), r"\1 N"),
    (re.compile(r"\[\d+\]"), "[N]"),
    (re.compile(r"/\d+\.sock\b"), "/N.sock"),
    (re.compile(r"(valid_lft|preferred_lft) (\d+sec|LONG|forever)"), r"\1 N"),
    (re.compile(r"-{3,}|─{3,}"), "---"),
    (re.compile(r"[ \t]+"), " "),
)


def fits(wanted: str, printed: str) -> bool:
    """Whether the command printed what the page says."""
    return _pattern(wanted).fullmatch(_general(printed)) is not None


def _general(text: str) -> str:
    for pattern, word in _GENERAL:
        text = pattern.sub(word, text)
    lines = [line.strip() for line in text.splitlines()]
    return "".join(f"{line}\n" for line in lines if line)


def _pattern(wanted: str) -> re.Pattern[str]:
    lines = []
    for line in _general(wanted).splitlines():
        if line == "…":
            lines.append("(?:.*\n)*")
        else:
            lines.append(".*".join(re.escape(part) for part in line.split("…")) + "\n")
    return re.compile("".join(lines))
