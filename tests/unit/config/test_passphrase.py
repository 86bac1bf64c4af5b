"""Where the passphrase may come from, and that it is never shown."""

import os
from pathlib import Path

import pytest

from carpsidecar.config.passphrase import Passphrase
from carpsidecar.config.sources import load
from tests.unit.config.conftest import Refusal, WriteFile, one_group

VIP = {"vip": "192.0.2.100", "vhid": "42"}


def secret_of(flags: dict[str, str]) -> bytes:
    return load(VIP | flags, {}).groups[0].passphrase.secret


def test_a_file_is_read_to_the_end_of_its_first_line(passphrase_file: str) -> None:
    assert secret_of({"passphrase_file": passphrase_file}) == b"secret"


def test_a_carriage_return_belongs_to_it_as_with_ucarp_and_that_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.touch(0o600)
    path.write_bytes(b"secret\r\n")
    flags = {"passphrase_file": str(path)}
    assert secret_of(flags) == b"secret\r"
    config = load({"vip": "192.0.2.1", **flags}, {})
    assert (
        "--passphrase-file: the line ends in CR LF, and CR counts, as with ucarp: drop it on all nodes"
        in config.warnings
    )


@pytest.mark.parametrize("auth", ["carp", "hardened"])
@pytest.mark.parametrize(
    ("content", "secrets"),
    [
        (b"new\nold\n", (b"new", b"old")),
        (b"new\n\nold\nolder", (b"new", b"old", b"older")),
        (b"new\nnew\n", (b"new",)),
    ],
)
def test_further_lines_are_accepted_as_well(
    tmp_path: Path, auth: str, content: bytes, secrets: tuple[bytes, ...]
) -> None:
    (tmp_path / "passphrase").write_bytes(content)
    flags = {"passphrase_file": str(tmp_path / "passphrase"), "auth": auth}
    assert load(VIP | flags, {}).groups[0].passphrase.secrets == secrets
    by_variable = load(VIP | {"auth": auth}, {"CARP_PASSPHRASE": content.decode()})
    assert by_variable.groups[0].passphrase.secrets == secrets


def test_each_line_has_at_most_19_bytes_in_the_compatible_mode(tmp_path: Path, refusal: Refusal) -> None:
    (tmp_path / "passphrase").write_bytes(b"short\n" + b"x" * 20)
    assert "20 bytes" in refusal(VIP | {"passphrase_file": str(tmp_path / "passphrase")})


def test_a_blank_at_the_end_belongs_to_it(tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_bytes(b"secret \n\n")
    assert secret_of({"passphrase_file": str(tmp_path / "passphrase")}) == b"secret "


def test_a_descriptor_is_read_once_for_all_groups_and_reloads() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"from-the-pipe\n")
    os.close(writing)
    flags = {"passphrase_fd": str(reading)}
    assert secret_of(flags) == b"from-the-pipe"
    assert secret_of(flags) == b"from-the-pipe"
    assert not os.get_inheritable(reading)
    os.close(reading)


def test_the_environment_may_hold_it_without_a_warning() -> None:
    config = load(VIP, {"CARP_PASSPHRASE": "secret"})
    assert config.groups[0].passphrase.secret == b"secret"
    assert config.warnings == ()


def test_a_flag_may_hold_it_with_a_warning() -> None:
    assert one_group().warnings == ("--passphrase: everybody who runs ps can read it: use --passphrase-file",)


def test_a_file_that_everybody_can_read_is_worth_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("secret")
    path.chmod(0o644)
    [warning] = load(VIP | {"passphrase_file": str(path)}, {}).warnings
    assert warning == f"--passphrase-file: {path} is readable by everybody: chmod 600 {path}"


def test_19_bytes_are_the_most_that_carp_takes(refusal: Refusal) -> None:
    assert secret_of({"passphrase": "x" * 19}) == b"x" * 19
    text = refusal(VIP | {"passphrase": "x" * 20})
    assert "20 bytes, and CARP takes at most 19" in text
    assert "xxx" not in text


def test_bytes_count_not_letters(refusal: Refusal) -> None:
    assert "20 bytes" in refusal(VIP | {"passphrase": "ä" * 10})


def test_hardened_takes_any_length() -> None:
    assert secret_of({"passphrase": "x" * 1000, "auth": "hardened"}) == b"x" * 1000


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"1\n2\n3\n4\n5\n", "5 lines"),
        (b"a\0b\n", "zero byte"),
        (b"x" * 70_000, "more than 65536 bytes"),
    ],
)
def test_a_file_without_a_usable_line(content: bytes, problem: str, tmp_path: Path, refusal: Refusal) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(content)
    text = refusal(VIP | {"passphrase_file": str(path), "auth": "hardened"})
    assert text.startswith("--passphrase-file: ")
    assert problem in text


@pytest.mark.parametrize(
    ("path", "reason"), [("/nonexistent", "No such file"), ("/", "Is a directory"), ("a\0b", "no path")]
)
def test_a_file_that_can_not_be_read(path: str, reason: str, refusal: Refusal) -> None:
    assert reason in refusal(VIP | {"passphrase_file": path})


def test_a_descriptor_that_is_not_open(refusal: Refusal) -> None:
    assert refusal(VIP | {"passphrase_fd": "987"}).startswith("--passphrase-fd: 987: can't be read")


def test_none_at_all(refusal: Refusal) -> None:
    assert refusal(VIP).startswith("passphrase: none is given: put it into a file")


def test_two_ways_in_one_place_are_one_too_many(refusal: Refusal, passphrase_file: str) -> None:
    text = refusal(VIP | {"passphrase": "secret", "passphrase_file": passphrase_file})
    assert text == "passphrase: given twice, by --passphrase-file and --passphrase: leave one of them out"


def test_a_number_in_yaml_is_no_text_and_not_shown(refusal: Refusal, write_file: WriteFile) -> None:
    text = refusal(VIP, file=write_file("passphrase: 8675309\n"))
    assert "in quotes" in text
    assert "8675309" not in text


@pytest.mark.parametrize("form", [repr, str, "{:}".format])
def test_no_form_of_the_configuration_shows_it(form: object) -> None:
    assert callable(form)
    assert "hunter2" not in form(one_group(passphrase="hunter2"))


def test_previous_ones_come_from_a_file_that_need_not_be_there(tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("new\n")
    flags = VIP | {
        "passphrase_file": str(tmp_path / "passphrase"),
        "previous_passphrase_file": str(tmp_path / "previous"),
    }

    def read() -> Passphrase:
        return load(flags, {}).groups[0].passphrase

    assert read().secrets == (b"new",)
    (tmp_path / "previous").write_text("old\nolder\n")
    assert read().secrets == (b"new", b"old", b"older")
    assert read().files == [str(tmp_path / "passphrase"), str(tmp_path / "previous")]
    (tmp_path / "passphrase").write_text("old\nnew\n")
    assert read().secrets == (b"old", b"new", b"older")
