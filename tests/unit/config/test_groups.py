"""What a group comes to, and what groups can't be together."""

import json
import re

import pytest

from carpsidecar.config.json_schema import json_schema
from carpsidecar.config.schema import FILE_ONLY, GROUP_FIELDS, PROCESS_FIELDS
from carpsidecar.config.sources import load
from tests.unit.config.conftest import Refusal, WriteFile, one_group

LEAST = {"vip": "192.0.2.100", "vhid": "42", "passphrase": "secret"}


def two_groups(first: str, second: str) -> str:
    return f"passphrase: secret\ngroups:\n- {{{first}}}\n- {{{second}}}\n"


def test_one_vhid_for_two_groups_on_one_interface(write_file: WriteFile, refusal: Refusal) -> None:
    text = two_groups("vip: 192.0.2.1, vhid: 7, interface: eth0", "vip: 192.0.2.2, vhid: 7, interface: eth0")
    assert refusal(file=write_file(text)) == "vhid: 7 is given to two groups on eth0: give each its own"


def test_one_vhid_on_two_interfaces_is_no_clash(write_file: WriteFile) -> None:
    one = "vip: 192.0.2.1, vhid: 7, interface: eth0, name: one"
    two = "vip: 192.0.2.2, vhid: 7, interface: eth1, name: two"
    assert len(load({}, {}, write_file(two_groups(one, two))).groups) == 2


def test_one_name_for_two_groups(write_file: WriteFile, refusal: Refusal) -> None:
    text = two_groups("vip: 192.0.2.1, name: web", "vip: 192.0.2.2, name: web")
    assert "two groups are called 'web'" in refusal(file=write_file(text))


def test_one_address_in_two_groups(write_file: WriteFile, refusal: Refusal) -> None:
    text = two_groups("vip: 192.0.2.1, vhid: 1", "vip: [192.0.2.2, 192.0.2.1/24], vhid: 2")
    assert refusal(file=write_file(text)) == "vip: 192.0.2.1 is in two groups: leave it in one"


def test_one_address_twice_in_a_group(refusal: Refusal) -> None:
    assert "192.0.2.1 is given twice" in refusal(LEAST | {"vip": ["192.0.2.1", "192.0.2.1/24"]})


def test_thirteen_addresses_of_both_families() -> None:
    vips = [f"192.0.2.{n}" for n in range(1, 8)] + [f"2001:db8::{n}/64" for n in range(1, 7)]
    [group] = one_group(vip=vips).groups
    assert [str(address) for address in group.addresses][-1] == "2001:db8::6/64"
    assert group.families == (4, 6)


def test_more_addresses_than_a_group_takes(refusal: Refusal) -> None:
    vips = [f"10.0.{n >> 8}.{n & 255}" for n in range(1, 4099)]
    assert "4098 addresses: give at most 1024" in refusal(LEAST | {"vip": vips})


def test_peers_replace_the_multicast_group() -> None:
    [group] = one_group(vip="2001:db8::1", peer=["192.0.2.1", "192.0.2.2"]).groups
    assert group.families == (4,)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"broadcast": True, "peer": ["192.0.2.1"]}, "peers are given too"),
        ({"broadcast": True, "vip": "2001:db8::1"}, "IPv6 has no broadcast"),
        ({"source": ["192.0.2.1", "192.0.2.2"]}, "more than one address of a family"),
        ({"multicast": ["224.0.0.1", "224.0.0.2"]}, "more than one address of a family"),
        ({"on_master": ["a\0b"]}, "zero byte"),
    ],
)
def test_what_does_not_go_together(flags: dict[str, object], problem: str, refusal: Refusal) -> None:
    assert problem in refusal(LEAST | flags)


def test_a_command_is_split_into_words_without_a_shell() -> None:
    [group] = one_group(on_master="/bin/logger -t carp 'now master' $HOME").groups
    assert group.hooks.on_master == ("/bin/logger", "-t", "carp", "now master", "$HOME")


def test_a_list_of_words_is_taken_as_it_is() -> None:
    [group] = one_group(on_backup=["/bin/echo", "two words"]).groups
    assert group.hooks.on_backup == ("/bin/echo", "two words")


def test_the_fault_command_is_that_of_backup_where_none_is_given() -> None:
    [group] = one_group(on_backup="/bin/b").groups
    assert group.hooks.on_fault == ("/bin/b",)


def test_the_schema_of_the_file_knows_every_setting() -> None:
    schema = json_schema()
    file = schema["$defs"]["Configuration"]
    assert set(file["properties"]) == {*GROUP_FIELDS, *PROCESS_FIELDS, *FILE_ONLY}
    assert set(schema["$defs"]["Group"]["properties"]) == {*GROUP_FIELDS, "node_advskew"}
    assert file["additionalProperties"] is False
    json.dumps(schema)


def test_the_patterns_of_the_schema_mean_the_same_to_ecmascript() -> None:
    patterns = re.findall(r'"pattern": "(.*?)"', json.dumps(json_schema()))
    assert patterns
    assert not any("\\Z" in pattern or "\\A" in pattern or "(?P" in pattern for pattern in patterns)


def test_a_source_that_is_a_vip_is_refused(refusal: Refusal) -> None:
    message = refusal(LEAST | {"source": ["192.0.2.100"]})
    assert message.startswith("--source: '192.0.2.100' is a vip, which moves: give")


def test_a_dead_ratio_of_one_is_warned_of() -> None:
    assert any(line.startswith("--dead-ratio: with 1,") for line in one_group(dead_ratio="1").warnings)
    assert not any("dead-ratio" in line for line in one_group(dead_ratio="2").warnings)


@pytest.mark.parametrize(
    "command", ["a && b", "a || b", "a | b", "a; b", "a > /f", "a >/f", "a 2>/dev/null", "a < /f", "a &"]
)
def test_a_command_for_a_shell_is_refused_since_there_is_none(command: str, refusal: Refusal) -> None:
    error = refusal(LEAST | {"on_master": command})
    assert "and no shell runs it: give a script, or sh -c" in error


@pytest.mark.parametrize("command", ["a '&&' b", "curl http://a/?b=1&c=2", "sh -c 'a && b > /f'", ["a", "&&", "b"]])
def test_a_command_may_have_such_characters_in_its_arguments(command: str | list[str]) -> None:
    one_group(on_master=command)
