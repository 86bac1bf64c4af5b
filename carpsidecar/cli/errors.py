"""What an exception means to whoever started the program: one line on stderr, and an exit status."""

import logging
import sys
import traceback

FAILED = 1
MISUSED = 2


def complain(text: str, program: str = "carpsidecar") -> None:
    """Print what is wrong, in one line whatever the text holds."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    print(f"{program}: {line}", file=sys.stderr)


def explain(error: Exception) -> int:
    """Print the error and return its exit status."""
    from carpsidecar.config.schema import ConfigError

    if isinstance(error, ConfigError):
        complain(str(error))
        return MISUSED
    if is_start_error(error):
        complain(str(error))
        return FAILED
    complain(f"{describe_bug(error)}: --log-level debug shows where")
    return FAILED


def is_start_error(error: Exception) -> bool:
    # Without the engine in memory it can't come from there, and need not be imported to know that.
    run = sys.modules.get("carpsidecar.engine.run")
    return run is not None and isinstance(error, run.StartError)


def describe_bug(error: Exception) -> str:
    """The line for an exception that nobody expected, with the traceback where debugging is on."""
    if logging.getLogger("carpsidecar").isEnabledFor(logging.DEBUG):
        traceback.print_exception(error)
    return f"unexpected {type(error).__name__}: {error}: this is a bug, please report it"
