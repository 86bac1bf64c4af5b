"""Flags override the environment, which overrides the file, which overrides the defaults."""

from pathlib import Path

import pytest

from carpsidecar.config.sources import load
from tests.unit.config.conftest import Refusal, WriteFile, one_group

FILE = "vip: 192.0.2.1\nvhid: 1\nadvskew: 10\npassphrase: in-the-file\n"


def test_the_least_that_works_is_one_address_and_a_passphrase() -> None:
    config = load({"vip": "192.0.2.100", "passphrase": "secret"}, {})
    [group] = config.groups
    assert (group.vhid, group.name, group.interface) == (100, "vhid-100", None)
    assert [str(address) for address in group.addresses] == ["192.0.2.100/32"]
    assert not any("vhid" in warning for warning in config.warnings), "nobody could act on it"


def test_the_defaults_are_those_of_ucarp() -> None:
    [group] = one_group().groups
    settings = group.settings
    assert (settings.advbase, settings.advskew, settings.dead_ratio, settings.preempt) == (1, 0, 3, False)
    assert group.auth == "carp"


def test_the_file_alone_is_enough(write_file: WriteFile) -> None:
    [group] = load({}, {}, write_file(FILE)).groups
    assert (group.vhid, group.settings.advskew) == (1, 10)


def test_the_environment_overrides_the_file(write_file: WriteFile) -> None:
    [group] = load({}, {"CARP_ADVSKEW": "20"}, write_file(FILE)).groups
    assert group.settings.advskew == 20


def test_a_flag_overrides_both(write_file: WriteFile) -> None:
    [group] = load({"advskew": "30"}, {"CARP_ADVSKEW": "20"}, write_file(FILE)).groups
    assert group.settings.advskew == 30


def test_a_flag_that_was_not_given_overrides_nothing(write_file: WriteFile) -> None:
    [group] = load({"advskew": None}, {}, write_file(FILE)).groups
    assert group.settings.advskew == 10


def test_an_empty_variable_counts_as_none(write_file: WriteFile) -> None:
    [group] = load({}, {"CARP_ADVSKEW": ""}, write_file(FILE)).groups
    assert group.settings.advskew == 10


def test_a_null_in_the_file_counts_as_none(write_file: WriteFile) -> None:
    [group] = load({}, {}, write_file(FILE.replace("advskew: 10", "advskew:"))).groups
    assert group.settings.advskew == 0


def test_commas_separate_the_values_of_a_variable() -> None:
    environ = {"CARP_VIP": "192.0.2.5, 2001:db8::5", "CARP_PASSPHRASE": "secret", "CARP_VHID": "5"}
    [group] = load({}, environ).groups
    assert [str(address) for address in group.addresses] == ["192.0.2.5/32", "2001:db8::5/128"]
    assert group.families == (4, 6)


def test_the_variable_names_the_file_where_no_flag_does(write_file: WriteFile) -> None:
    [group] = load({}, {"CARP_CONFIG": write_file(FILE)}).groups
    assert group.vhid == 1


def test_the_flag_names_the_file_before_the_variable(write_file: WriteFile) -> None:
    [group] = load({}, {"CARP_CONFIG": "/nonexistent"}, write_file(FILE)).groups
    assert group.vhid == 1


def test_a_passphrase_given_in_another_way_replaces_that_of_the_file(
    write_file: WriteFile, passphrase_file: str
) -> None:
    [group] = load({"passphrase_file": passphrase_file}, {}, write_file(FILE)).groups
    assert group.passphrase.secret == b"secret"


def test_what_stands_beside_the_groups_holds_for_all(write_file: WriteFile) -> None:
    groups = "groups:\n- {vip: 192.0.2.1, vhid: 1}\n- {vip: 192.0.2.2, vhid: 2, advskew: 9}\n"
    text = f"passphrase: secret\nadvskew: 7\n{groups}"
    config = load({}, {}, write_file(text))
    assert [group.settings.advskew for group in config.groups] == [7, 9]


def test_a_flag_holds_for_all_groups(write_file: WriteFile) -> None:
    text = "passphrase: secret\ngroups:\n- {vip: 192.0.2.1, vhid: 1, advskew: 5}\n- {vip: 192.0.2.2, vhid: 2}\n"
    config = load({"advskew": "99"}, {}, write_file(text))
    assert [group.settings.advskew for group in config.groups] == [99, 99]


@pytest.mark.parametrize(("name", "value"), [("vip", "192.0.2.9"), ("vhid", "9"), ("name", "nine")])
def test_what_belongs_to_one_group_is_no_flag_over_two(
    name: str, value: str, write_file: WriteFile, refusal: Refusal
) -> None:
    text = "passphrase: secret\ngroups:\n- {vip: 192.0.2.1, vhid: 1}\n- {vip: 192.0.2.2, vhid: 2}\n"
    assert refusal({name: value}, file=write_file(text)) == f"--{name}: the file has 2 groups: set it there"


def test_a_flag_for_the_one_group_of_a_file_is_taken(write_file: WriteFile) -> None:
    text = "passphrase: secret\ngroups:\n- {vip: 192.0.2.1, vhid: 1}\n"
    [group] = load({"vhid": "9"}, {}, write_file(text)).groups
    assert group.vhid == 9


def test_realtime_is_off_and_configured_in_all_three_places(write_file: WriteFile) -> None:
    assert not load({}, {}, write_file(FILE)).realtime
    path = write_file(FILE + "realtime: true\n")
    assert load({}, {}, path).realtime
    assert not load({}, {"CARP_REALTIME": "false"}, path).realtime
    assert load({"realtime": True}, {"CARP_REALTIME": "false"}, path).realtime


def test_realtime_is_the_processs_and_no_groups(write_file: WriteFile, refusal: Refusal) -> None:
    text = "passphrase: secret\ngroups:\n- {vip: 192.0.2.1, realtime: true}\n"
    assert "groups[0].realtime: there is no such setting" in refusal(file=write_file(text))


def test_the_log_is_configured_in_all_three_places(write_file: WriteFile, tmp_path: Path) -> None:
    path = write_file(FILE + "log_level: error\nlog_format: json\n")
    assert load({}, {}, path).log_level == "error"
    assert load({}, {"CARP_LOG_LEVEL": "warning"}, path).log_level == "warning"
    assert load({"log_level": "debug"}, {"CARP_LOG_LEVEL": "warning"}, path).log_level == "debug"
    assert load({}, {}, path).log_format == "json"
