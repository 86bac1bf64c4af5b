"""Numbers as strtoul(text, &end, 0) reads them: decimal, octal after 0, hexadecimal after 0x."""

import re

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")


class NumberError(Exception):
    """A text that does not begin with a number."""


def number(text: str) -> tuple[int, str]:
    """The number that the text begins with, and what follows it."""
    found = _NUMBER.match(text)
    if not found:
        raise NumberError(text)
    sign, hexadecimal, octal, decimal = found.groups()
    # Cut where it is out of every range anyway: reading thousands of digits takes long.
    if hexadecimal:
        value = int(hexadecimal.lstrip("0")[:20] or "0", 16)
    elif octal:
        value = int(octal.lstrip("0")[:30] or "0", 8)
    else:
        value = int(decimal[:20])
    return (-value if sign == "-" else value), text[found.end() :]
