"""Numbers and texts as people read them."""


def span(seconds: float) -> str:
    """A length of time: `0.4 s`, `12 s`, `3 h 4 min`, `2 d 5 h`."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    for unit, length, below, part in (("min", 60, "s", 1), ("h", 3600, "min", 60), ("d", 86400, "h", 3600)):
        if whole < 100 * length or unit == "d":
            more = whole % length // part
            return f"{whole // length} {unit} {more} {below}" if more else f"{whole // length} {unit}"
    raise AssertionError


def ago(at_s: float, now_s: float) -> str:
    return f"{span(now_s - at_s)} ago"


def plain(text: str) -> str:
    """Without what would move the cursor or turn the line around."""
    return "".join(character if character.isprintable() else "?" for character in text)
