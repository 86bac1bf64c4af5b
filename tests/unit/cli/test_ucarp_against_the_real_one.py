"""Debian's ucarp 1.5.2 and ours, side by side, on command lines that fail before any network is needed."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.command import shell

REAL = Path("/usr/sbin/ucarp")

pytestmark = pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not installed")

LEAST = "-s 10.1.1.1 -v 42 -p love -a 10.1.1.252 -f none"

LINES = [
    "",
    "-h",
    "--help",
    "--he",
    "--foo",
    "-q",
    "-v",
    "--vhid",
    "--a 10.1.1.1",
    "--debug=yes",
    "--syslog=none",
    "-v 300",
    "-v 0",
    "-v -1",
    "-v x",
    "-v 0x100",
    "-v 0400",
    "-v 300 --foo",
    "--foo -v 300",
    "-Pv300",
    "-h -v 300",
    "-v 300 -h",
    "-s nonsense",
    "-s 10.1.1",
    "-s 10.1.1.01",
    "-s 2001:db8::1",
    "-a 10.1.1.256",
    "-a 10.1.1.1/24",
    "--mcast nonsense",
    "--mcastip nonsense",
    "--mc nonsense",
    "-o /nonexistent",
    "-o /dev/null",
    "-o /",
    "-i nosuchif -p love -s 10.1.1.1 -a 10.1.1.252",
    "-i nosuchif -v 42 -s 10.1.1.1 -a 10.1.1.252",
    "-i nosuchif -v 42 -p love -a 10.1.1.252",
    "-i nosuchif -v 42 -p love -s 10.1.1.1",
    f"-i nosuchif {LEAST} -p ''",
    f"-i nosuchif {LEAST} -b 0",
    f"-i nosuchif {LEAST} -b 0x0 -k 00",
    f"-i nosuchif {LEAST} -r 0",
    f"-i nosuchif {LEAST} -r 0 -r 3",
    "-r 0 --foo",
    f"-i nosuchif {LEAST} -s 0.0.0.0",
    f"-i nosuchif {LEAST} -a 0.0.0.0",
    f"-i nosuchif {LEAST}",
    f"-inosuchif {LEAST} -PnDzSM",
    f"-i nosuchif {LEAST} -b0x1 -k 010 -r3",
    f"-i nosuchif {LEAST} -k 10x",
    f"-i nosuchif {LEAST} -f nonsense",
    f"-i nosuchif {LEAST} -x '' -u '' -d ''",
    f"-i nosuchif {LEAST} a stray word",
    f"-i nosuchif {LEAST} -- -v 300",
    f"-i nosuchif {LEAST} -p 01234567890123456789",
    f"-i a-name-that-is-too-long {LEAST}",
]


@pytest.mark.parametrize("line", LINES)
def test_both_end_with_one_exit_status(line: str) -> None:
    words = shlex.split(line)
    theirs = subprocess.run([REAL, *words], capture_output=True, text=True, timeout=30, check=False)
    ours = shell("ucarp", *words)
    assert ours.returncode == theirs.returncode
    if ours.returncode:
        assert len(ours.stderr.splitlines()) == 1
    else:
        assert ours.stdout.startswith("usage: ")


# Where we are stricter, on purpose; carpsidecar-ucarp(8) lists them.
STRICTER = ["-b 256", "-k 300", "-k -1", "-r 256", "-b often", "-b 255 -k 255"]


@pytest.mark.parametrize("more", STRICTER)
def test_what_they_cut_to_8_bits_we_refuse(more: str) -> None:
    words = f"-i nosuchif {LEAST} {more}".split()
    assert shell("ucarp", *words).returncode == 1


def test_the_short_option_of_their_help_works_here() -> None:
    words = f"-i nosuchif {LEAST} -m 239.192.0.1".split()
    assert subprocess.run([REAL, *words], capture_output=True, check=False).returncode == 0  # its help
    assert shell("ucarp", *words).returncode == 2  # there is no such interface


def test_we_have_every_long_option_that_they_have() -> None:
    shown = subprocess.run([REAL, "--help"], capture_output=True, text=True, check=False).stdout
    ours = shell("ucarp", "--help").stdout
    names = {
        word.partition("=")[0] for line in shown.splitlines() if line.startswith("--") for word in line.split()[:1]
    }
    assert len(names) == 22
    assert not {name for name in names if f"{name}=" not in ours and f"{name} " not in ours}
