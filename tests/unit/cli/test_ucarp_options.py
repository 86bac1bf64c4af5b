"""ucarp's command line, option by option, as getopt_long and strtoul read it."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from carpsidecar.cli.ucarp_options import (
    OPTIONS,
    HelpWanted,
    NumberError,
    OptionError,
    Options,
    UnknownOption,
    number,
    read,
)

LEAST = "-v 42 -p love -a 10.1.1.252 -s 10.1.1.1"


def options(*words: str) -> Options:
    found = Options()
    read([*LEAST.split(), *words], found)
    return found


def error_of(*words: str) -> str:
    with pytest.raises(OptionError) as caught:
        options(*words)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_the_defaults() -> None:
    found = options()
    assert (found.vhid, found.passphrase, found.interface) == (42, b"love", "")
    assert (found.address, found.source) == (IPv4Address("10.1.1.252"), IPv4Address("10.1.1.1"))
    assert (found.advbase, found.advskew, found.dead_ratio) == (1, 0, 3)
    assert (found.multicast, found.facility, found.extra) == (IPv4Address("224.0.0.18"), 3, None)
    switches = (found.preempt, found.neutral, found.debug, found.background, found.broadcast, found.ignore_link)
    assert not any((*switches, found.run_down_script_at_exit))


TABLE = [
    ("-i eth0", "interface", "eth0"),
    ("-ieth0", "interface", "eth0"),
    ("--interface eth0", "interface", "eth0"),
    ("--interface=eth0", "interface", "eth0"),
    ("--int=eth0", "interface", "eth0"),
    ("-s 10.1.1.2", "source", IPv4Address("10.1.1.2")),
    ("--srcip=10.1.1.2", "source", IPv4Address("10.1.1.2")),
    ("-m 239.192.0.1", "multicast", IPv4Address("239.192.0.1")),
    ("--mcast=239.192.0.1", "multicast", IPv4Address("239.192.0.1")),
    ("--mcastip=239.192.0.1", "multicast", IPv4Address("239.192.0.1")),
    ("-v 1", "vhid", 1),
    ("--vhid 255", "vhid", 255),
    ("-v 0x10", "vhid", 16),
    ("-v 010", "vhid", 8),
    ("-p other", "passphrase", b"other"),
    ("--pass=other", "passphrase", b"other"),
    ("-P", "preempt", True),
    ("--preempt", "preempt", True),
    ("-n", "neutral", True),
    ("--neutral", "neutral", True),
    ("-a 10.1.1.3", "address", IPv4Address("10.1.1.3")),
    ("--addr=10.1.1.3", "address", IPv4Address("10.1.1.3")),
    ("-b 5", "advbase", 5),
    ("--advbase 0 -k 1", "advbase", 0),
    ("-k 255", "advskew", 255),
    ("--advskew=50", "advskew", 50),
    ("-u /etc/vip-up.sh", "up_script", "/etc/vip-up.sh"),
    ("--upscript=/etc/vip-up.sh", "up_script", "/etc/vip-up.sh"),
    ("-d /etc/vip-down.sh", "down_script", "/etc/vip-down.sh"),
    ("--downscript=/etc/vip-down.sh", "down_script", "/etc/vip-down.sh"),
    ("-r 5", "dead_ratio", 5),
    ("--deadratio=5", "dead_ratio", 5),
    ("-D", "debug", True),
    ("--debug", "debug", True),
    ("-z", "run_down_script_at_exit", True),
    ("--shutdown", "run_down_script_at_exit", True),
    ("-B", "background", True),
    ("--daemonize", "background", True),
    ("-S", "ignore_link", True),
    ("--ignoreifstate", "ignore_link", True),
    ("-M", "broadcast", True),
    ("--nomcast", "broadcast", True),
    ("--no", "broadcast", True),
    ("-f local3", "facility", 19),
    ("--facility=AUTHPRIV", "facility", 10),
    ("-f none", "facility", None),
    ("-f None", "facility", None),
    ("-x more", "extra", "more"),
    ("--xparam=more", "extra", "more"),
    ("-BDz", "background", True),
    ("-Pnieth0", "interface", "eth0"),
    ("-- -P", "preempt", False),
    ("word -P", "preempt", True),
    ("-i eth0 -i eth1", "interface", "eth1"),
    ("-r 0 -r 7", "dead_ratio", 7),
]


@pytest.mark.parametrize(("line", "name", "value"), TABLE, ids=[line for line, _, _ in TABLE])
def test_a_line_and_what_it_sets(line: str, name: str, value: object) -> None:
    assert getattr(options(*line.split()), name) == value


def test_every_option_is_in_the_table_by_its_short_and_its_long_name() -> None:
    words = {word.partition("=")[0] for line, _, _ in TABLE for word in line.split()}
    assert {f"-{o.short}" for o in OPTIONS} - words == {"-h", "-o"}
    assert {f"--{o.long}" for o in OPTIONS} - words == {"--help", "--passfile"}


def test_an_empty_value_is_a_value() -> None:
    assert options("-x", "").extra == ""


@pytest.mark.parametrize("line", ["-h", "--help", "--h", "-h --foo", "-Ph"])
def test_help_is_wanted(line: str) -> None:
    with pytest.raises(HelpWanted):
        options(*line.split())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--foo", "--foo"),
        ("-q", "-q"),
        ("-Pq", "-q"),
        ("--a 10.1.1.1", "--a"),
        ("--adv 1", "--adv"),
        ("--debug=yes", "--debug"),
        ("--syslog=none", "--syslog"),
        ("--passfil2=hunter2", "--passfil2"),
        ("-v", "-v"),
        ("--vhid", "--vhid"),
        ("--foo -h", "--foo"),
    ],
)
def test_an_unknown_option_is_named(line: str, message: str) -> None:
    with pytest.raises(UnknownOption, match=message) as caught:
        options(*line.split())
    assert "hunter2" not in str(caught.value)


def test_what_comes_first_is_reported_first() -> None:
    assert error_of("-v", "300", "--foo").startswith("-v: '300'")
    with pytest.raises(UnknownOption):
        options("--foo", "-v", "300")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-v 0", "out of range: give a number from 1 to 255"),
        ("-v 256", "out of range"),
        ("-v -1", "out of range"),
        ("-v x", "'x' is no number: give one from 1 to 255"),
        ("--vhid=0x100", "--vhid: '0x100' is out of range"),
        ("-b 256", "out of range: give a number from 0 to 255"),
        ("-k 256", "out of range"),
        ("-k -1", "out of range"),
        ("-b often", "is no number"),
        ("-r 0", "a dead ratio of 0"),
        ("-r 256", "out of range"),
        ("-s eth0", "-s: 'eth0' is no IPv4 address"),
        ("-a 10.1.1", "no IPv4 address"),
        ("-a 10.1.1.01", "no IPv4 address"),
        ("-a 10.1.1.1/24", "no IPv4 address"),
        ("-a 2001:db8::1", "no IPv4 address"),
        ("-m all", "no IPv4 address"),
        ("-b 0", "no time between advertisements"),
        ("-b 255 -k 255", "255 together"),
        ("-o /nonexistent", "'/nonexistent' can't be read (No such file or directory)"),
        ("-o /", "can't be read (Is a directory)"),
        ("-o /dev/null", "'/dev/null' is empty"),
    ],
)
def test_a_bad_value_is_named_with_its_option(line: str, message: str) -> None:
    assert message in error_of(*line.split())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-p love -a 10.1.1.252 -s 10.1.1.1", "no virtual host id"),
        ("-v 42 -a 10.1.1.252 -s 10.1.1.1", "no passphrase"),
        ("-v 42 -p love -a 10.1.1.252", "no source address"),
        ("-v 42 -p love -s 10.1.1.1", "no virtual address"),
        ("-v 42 -p love -s 0.0.0.0 -a 10.1.1.252", "no source address"),
        ("-v 42 -p love -s 10.1.1.1 -a 0.0.0.0", "no virtual address"),
        ("-P", "no virtual host id"),
    ],
)
def test_what_is_missing_is_asked_for(line: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read(line.split(), Options())


def test_an_empty_passphrase_is_none() -> None:
    assert error_of("-p", "").startswith("no passphrase is given")


def test_the_passphrase_is_the_first_line_of_its_file_to_the_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(b"love \r\nand more\n")
    path.chmod(0o600)
    found = options("-o", str(path))
    assert found.passphrase == b"love \r"
    assert not any("readable" in warning for warning in found.warnings)


def test_the_later_of_passphrase_and_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("from-file\n")
    assert options("-o", str(path)).passphrase == b"from-file"
    assert options("-o", str(path), "-p", "from-flag").passphrase == b"from-flag"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "everybody who runs ps"),
        ("", "no up script"),
        ("", "no down script"),
        ("-k 10x", "'10x' is read as 10"),
        ("-f nonsense", "no syslog facility 'nonsense'"),
        ("word", "'word' is no option"),
    ],
)
def test_what_is_odd_is_a_warning(line: str, message: str) -> None:
    assert any(message in warning for warning in options(*line.split()).warnings)


def test_an_unknown_facility_leaves_the_default() -> None:
    assert options("-f", "nonsense").facility == 3


@pytest.mark.parametrize(
    ("text", "value", "rest"),
    [
        ("10", 10, ""),
        (" \t10", 10, ""),
        ("+10", 10, ""),
        ("-10", -10, ""),
        ("0", 0, ""),
        ("00", 0, ""),
        ("010", 8, ""),
        ("08", 0, "8"),
        ("0x10", 16, ""),
        ("0XfF", 255, ""),
        ("0x", 0, "x"),
        ("0xg", 0, "xg"),
        ("10 ", 10, " "),
        ("1.5", 1, ".5"),
    ],
)
def test_numbers_are_read_as_strtoul_reads_them(text: str, value: int, rest: str) -> None:
    assert number(text) == (value, rest)


@pytest.mark.parametrize("text", ["", " ", "x", "-", "+-1", "- 1", "\u0661"])
def test_what_strtoul_would_take_for_0_is_no_number(text: str) -> None:
    with pytest.raises(NumberError):
        number(text)


def test_a_number_of_a_million_digits_is_read_at_once() -> None:
    for text in ("9" * 1_000_000, "0x" + "f" * 1_000_000, "0" + "7" * 1_000_000):
        assert number(text)[0] > 1 << 64
