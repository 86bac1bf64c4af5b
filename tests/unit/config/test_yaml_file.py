"""What a file may be, and what is said of one that is none."""

from pathlib import Path

import pytest

from carpsidecar.config.sources import load
from tests.unit.config.conftest import Refusal, WriteFile

LEAST = "vip: 192.0.2.100\nvhid: 42\npassphrase: secret\n"


def test_an_empty_file_gives_nothing(write_file: WriteFile) -> None:
    config = load({"vip": "192.0.2.100", "passphrase": "secret"}, {}, write_file("# all by flags\n"))
    assert len(config.groups) == 1


def test_merge_keys_are_understood(write_file: WriteFile) -> None:
    text = "groups:\n- &web {vip: 192.0.2.1, vhid: 1, passphrase: a}\n- {<<: *web, vip: 192.0.2.2, vhid: 2}\n"
    config = load({}, {}, write_file(text))
    assert [group.vhid for group in config.groups] == [1, 2]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("vip: [", "line 1: not valid YAML"),
        ("vip: a: b", "line 1: not valid YAML"),
        ("vip:\n\t- a", "line 2: not valid YAML"),
        (LEAST + "vhid: 43\n", "line 4: not valid YAML: 'vhid' is given twice"),
        ("groups:\n- {vip: 192.0.2.1, vip: 192.0.2.2}\n", "line 2: not valid YAML: 'vip' is given twice"),
        ("a: 1\n---\nb: 2\n", "another document"),
        ("\x01", "not valid YAML"),
        ("[a]: b", "not valid YAML"),
        ("preempt: !!bool perhaps", "not valid YAML"),
        ("vhid: !!int ''", "not valid YAML"),
        ("vip: !!timestamp x", "not valid YAML"),
        ("vip: 2020-13-45", "not valid YAML"),
        ("vhid: " + "9" * 6000, "not valid YAML"),
        ("vip: &a [*a]", "not valid YAML"),
        ("[" * 5000, "nested too deeply"),
        ("{a: " * 5000, "nested too deeply"),
        ("- vip: 192.0.2.1", "holds no settings"),
        ("192.0.2.1", "holds no settings"),
    ],
)
def test_what_is_no_configuration(text: str, problem: str, write_file: WriteFile, refusal: Refusal) -> None:
    path = write_file(text)
    message = refusal(file=path)
    assert message.startswith(path)
    assert problem in message
    assert len(message) < 300


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\0", b"vip: \xc3\x28"])
def test_what_is_no_text(content: bytes, tmp_path: Path, refusal: Refusal) -> None:
    path = tmp_path / "carp.yaml"
    path.write_bytes(content)
    assert "not valid YAML" in refusal(file=str(path))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("vipp: 192.0.2.1", "vipp"),
        ("groups: [{vipp: 192.0.2.1}]", "groups[0].vipp"),
        ("groups: [{log_level: debug}]", "groups[0].log_level"),
        ("1: 2", "1"),
        ('"a\\nb": 2', "a\\nb"),
    ],
)
def test_an_unknown_setting_is_named_with_its_place(
    text: str, place: str, write_file: WriteFile, refusal: Refusal
) -> None:
    path = write_file(text)
    assert refusal(file=path) == f"{path}: {place}: there is no such setting: see `carpsidecar config schema`"


@pytest.mark.parametrize("groups", ["[]", "web", "{web: {vip: 192.0.2.1}}", "[web]", "3"])
def test_groups_are_a_list_of_mappings(groups: str, write_file: WriteFile, refusal: Refusal) -> None:
    assert "give a list of groups" in refusal(file=write_file(f"groups: {groups}"))


@pytest.mark.parametrize(
    "line", ["vip: {a: b}", "vip: [[192.0.2.1]]", "vip: 3221225985", "vhid: [1]", "preempt: {}", "vhid: true"]
)
def test_a_wrong_type_is_a_misfit(line: str, write_file: WriteFile, refusal: Refusal) -> None:
    kept = [given for given in LEAST.splitlines() if given.partition(":")[0] != line.partition(":")[0]]
    assert "can't be used" in refusal(file=write_file("\n".join([*kept, line])))


@pytest.mark.parametrize(
    "text",
    [
        "passphrase: *hunter2",
        "passphrase: !hunter2 x",
        "groups: {web: {passphrase: hunter2}}",
        "vip: {passphrase: hunter2}",
        "passphrase: {a: hunter2}\nvip: 192.0.2.1",
        "passphrase: [hunter2]\nvip: 192.0.2.1",
        "passphrase: hunter2\nvip: 192.0.2.300",
    ],
)
def test_a_passphrase_that_went_astray_is_not_shown(text: str, write_file: WriteFile, refusal: Refusal) -> None:
    assert "hunter2" not in refusal(file=write_file(text))


def test_of_a_mapping_only_its_kind_is_shown(write_file: WriteFile, refusal: Refusal) -> None:
    assert ": vip: a mapping can't be used: " in refusal(file=write_file("vip: {a: b}"))


def test_aliases_that_would_grow_without_bound_are_refused_at_once(write_file: WriteFile, refusal: Refusal) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert len(refusal(file=write_file("\n".join([*lines, "vip: *a19"])))) < 300


def test_a_huge_file_is_refused(write_file: WriteFile, refusal: Refusal) -> None:
    assert "larger than 4 MiB" in refusal(file=write_file("#" * (5 << 20)))


@pytest.mark.parametrize(("path", "reason"), [("/nonexistent", "No such file"), ("/", "Is a directory")])
def test_a_file_that_can_not_be_read(path: str, reason: str, refusal: Refusal) -> None:
    assert refusal(
        file=path
    ) == f"{path}: can't be read ({reason}{' or directory' if 'No' in reason else ''}): " + (
        "check the path and its permissions"
    )
