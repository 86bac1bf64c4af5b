"""An error names the setting in its giver's words, shows the value, and says what to do; in one line."""

from ipaddress import ip_address

import pytest
import yaml

from carpsidecar.config.schema import GROUP_FIELDS, PROCESS_FIELDS, Given
from carpsidecar.config.sources import ENVIRONMENT_PREFIX, flag_name, load
from tests.unit.config.conftest import Refusal, WriteFile

FIELDS = GROUP_FIELDS | PROCESS_FIELDS

# A value that does not fit, for each field there is.
MISFITS = {
    "vip": "192.0.2.256",
    "interface": "eth 0",
    "vhid": "65536",
    "also_accept": "192.0.2.1 nonsense",
    "passphrase_file": "/nonexistent/passphrase",
    "previous_passphrase_file": "/etc/passwd/previous",
    "passphrase_fd": "-1",
    "auth": "md5",
    "advbase": "255",
    "advskew": "255",
    "dead_ratio": "0",
    "preempt": "perhaps",
    "source": "eth0",
    "peer": "node2",
    "multicast": "192.0.2.1",
    "broadcast": "perhaps",
    "sync_group": "Both Cards",
    "on_master": "echo 'unbalanced",
    "on_backup": "echo 'unbalanced",
    "on_fault": "echo 'unbalanced",
    "hook_timeout_s": "0",
    "both_families": "perhaps",
    "ignore_link": "perhaps",
    "fence": "perhaps",
    "probe": "perhaps",
    "in_use": "perhaps",
    "name": "Web Server",
    "realtime": "perhaps",
    "log_format": "xml",
    "log_level": "loud",
    "http": "localhost",
    "kubernetes": "perhaps",
    "unready_demotion": "241",
    "absent_demotion": "241",
    "cordon_demotion": "-1",
    "discover_peers": "perhaps",
    "check_addresses": "perhaps",
}

TAKES_ANY_TEXT = {
    "passphrase",
    "kubeconfig",
    "reporter_socket",
    "pod_name",
    "pod_namespace",
    "node_name",
    "pod_selector",
    "workload_selector",
    "workload_namespace",
    "advskew_label",
}
"""What is checked later, by those who know: the file system, or the API server."""
LEAST = {"vip": "192.0.2.100", "vhid": "42", "passphrase": "secret"}


def test_every_field_has_its_misfit_here() -> None:
    assert set(MISFITS) == set(FIELDS) - TAKES_ANY_TEXT


@pytest.fixture(params=MISFITS)
def field(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def least_without(field: str) -> dict[str, str]:
    passphrase = {"passphrase"} if field.startswith("passphrase") else set()
    return {name: value for name, value in LEAST.items() if name not in passphrase | {field}}


def assert_says(text: str, origin: str, field: str) -> None:
    assert text.startswith(f"{origin}: ")
    assert repr(MISFITS[field]) in text
    assert text.endswith(f": {FIELDS[field].remedy}")


def test_a_flag_is_named_as_a_flag(field: str, refusal: Refusal) -> None:
    assert_says(refusal(least_without(field) | {field: MISFITS[field]}), flag_name(field), field)


def test_a_variable_is_named_as_a_variable(field: str, refusal: Refusal) -> None:
    variable = ENVIRONMENT_PREFIX + field.removesuffix("_s").upper()
    assert_says(refusal(least_without(field), {variable: MISFITS[field]}), variable, field)


def test_a_setting_of_the_file_is_named_with_the_file(field: str, refusal: Refusal, write_file: WriteFile) -> None:
    quoted = MISFITS[field].replace("'", "''")
    path = write_file(f"{field}: '{quoted}'\n")
    assert_says(refusal(least_without(field), {}, path), f"{path}: {field}", field)


def test_a_setting_of_a_group_is_named_with_its_place(refusal: Refusal, write_file: WriteFile) -> None:
    path = write_file("passphrase: secret\ngroups:\n- {vip: 192.0.2.1}\n- {vip: 192.0.2.2, vhid: 70000}\n")
    assert refusal(file=path) == f"{path}: groups[1].vhid: 70000 can't be used: give a number from 1 to 65535"


@pytest.mark.parametrize("value", ["0", "256", "-1", "1.5", "x", "", "1" * 30])
def test_a_vhid_is_a_number_from_1_to_65535(value: str, refusal: Refusal) -> None:
    assert refusal(LEAST | {"vhid": value}).startswith("--vhid: ")


def test_only_the_hardened_mode_has_vhids_above_255(refusal: Refusal) -> None:
    assert load(LEAST | {"vhid": "65535", "auth": "hardened"}, {}).groups[0].vhid == 65535
    assert refusal(LEAST | {"vhid": "256"}).startswith("--vhid: '256' is more than 255, which is CARP's last: ")


def test_other_addresses_of_peers_are_lists(refusal: Refusal) -> None:
    given = {"also_accept": ["192.0.2.100 192.0.2.101", "2001:db8::1"]}
    assert load(LEAST | given, {}).groups[0].also_accept == (
        (ip_address("192.0.2.100"), ip_address("192.0.2.101")),
        (ip_address("2001:db8::1"),),
    )
    assert "may have other addresses anyway" in refusal(LEAST | given | {"auth": "hardened"})
    assert "4 lists: give at most 3" in refusal(LEAST | {"also_accept": ["192.0.2.1"] * 4})


@pytest.mark.parametrize(
    "vip",
    [
        "224.0.0.1",
        "0.0.0.0",
        "127.0.0.1",
        "::",
        "::1",
        "ff02::1",
        "255.255.255.255",
        "192.0.2.0/24",
        "192.0.2.255/24",
        "192.0.2.1/33",
        "fe80::1%eth0",
        "web.example.org",
        "192.0.2",
    ],
)
def test_a_vip_is_an_address_that_a_host_can_have(vip: str, refusal: Refusal) -> None:
    assert refusal(LEAST | {"vip": vip}).startswith(f"--vip: {vip!r} ")


@pytest.mark.parametrize("interface", ["a b", "a/b", "a:b", "a\nb", "eth0\n", "\0", "x" * 128, ""])
def test_an_interface_is_a_name_that_the_kernel_can_have(interface: str, refusal: Refusal) -> None:
    assert refusal(LEAST | {"interface": interface}).startswith("--interface: ")


def test_a_vhid_can_not_follow_from_an_address_that_ends_in_0(refusal: Refusal) -> None:
    assert "10.1.2.0 ends in 0" in refusal({"vip": "10.1.2.0", "passphrase": "secret"})


def test_no_vip(refusal: Refusal) -> None:
    assert refusal({"passphrase": "secret"}) == (
        "vip: none is given: give the virtual address, for example --vip 192.0.2.100"
    )


def test_a_long_value_is_cut_in_the_error(refusal: Refusal) -> None:
    assert len(refusal(LEAST | {"vip": "x" * 100_000})) < 200


def test_an_error_is_one_line_whatever_the_name_of_the_file(refusal: Refusal) -> None:
    assert "/no\\nsuch\\x1b[31m/file" in refusal(file="/no\nsuch\x1b[31m/file")


@pytest.mark.parametrize(("word", "value"), [("on", "on"), ("off", "off"), ("auto", "auto"), ("'on'", "on")])
def test_words_that_yaml_takes_for_a_yes_or_a_no_are_words(word: str, value: str) -> None:
    given = yaml.safe_load(f"fence: {word}")["fence"]
    assert GROUP_FIELDS["fence"].convert(Given(given, "x.yaml: fence")) == value
