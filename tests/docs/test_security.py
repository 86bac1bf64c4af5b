"""The page on security: its commands are run, and its tables are those of the code and of the chart."""

import re
from importlib import import_module
from itertools import chain

import pytest

from carpsidecar.config.passphrase import PASSPHRASE_FIELDS
from carpsidecar.lab.network import Lab
from tests.chart.cases import CASES
from tests.chart.conftest import Select, rendered
from tests.support.manual.machine import Machine
from tests.support.manual.page import claim
from tests.support.manual.runner import Runner
from tests.support.manual.tables import names, rows

__all__ = ["rendered"]  # a fixture

PAGE = "security.md"
MODES = ("compatible", "hardened")
MODULE = "tests.network.process.test_reporter_stranger"
SERVICES = "tests.network.engine.test_service_addresses"
BLOCKS = claim(f"docs/{PAGE}")


def test_every_command(lab: Lab) -> None:
    host = Machine(lab, "first", [["192.0.2.11/24"]])
    host.run("mkdir -p /etc/carpsidecar")
    Runner([host]).run(BLOCKS)
    assert len(host.run("cat /etc/carpsidecar/passphrase").strip()) <= 19


@pytest.mark.parametrize("case", ["workload pods elsewhere", "priority by label", "vip only"])
def test_the_rights_are_those_of_the_chart(rendered: Select, case: str) -> None:
    given = {
        (verb, resource)
        for kind in ("Role", "ClusterRole")
        for manifest in rendered(CASES[case], kind)
        for rule in manifest["rules"]
        if not manifest["metadata"].get("annotations")
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    listed = {
        (verb, resource)
        for row in rows(PAGE, "right", "where")
        for resource in names(row["right"])
        for verb in re.sub(r"`.*`", "", row["right"]).strip().split(", ")
    }
    assert given <= listed
    assert listed - given <= {("list", "nodes"), ("watch", "nodes")}


def test_every_place_of_the_passphrase_is_listed() -> None:
    listed = {
        name.removeprefix("--")
        for row in rows(PAGE, "where it is", "who can read it")
        for name in names(row["where it is"])
    }
    assert listed == {*PASSPHRASE_FIELDS, "CARP_PASSPHRASE"}


PROVEN = {
    "serve an address that is in no pool, or more of them than `max_addresses`": (
        SERVICES,
        "test_what_lies_outside_what_is_configured_is_refused",
    ),
    "move an address of a Service without end": (
        SERVICES,
        "test_what_changes_too_often_changes_at_a_bounded_rate_and_ends_as_said_last",
    ),
    "move the address without end": (MODULE, "test_it_moves_the_address_a_few_times_and_then_once_in_two_seconds"),
    "fill the log of the engine": (
        MODULE,
        "test_however_much_it_sends_the_master_keeps_its_rhythm_and_its_log_short",
    ),
    "choose the peers, or the advskew": (MODULE, "test_peers_advskew_and_causes_are_not_its_to_set"),
    "demote for a cause, or by an amount, or a group that is not configured": (
        "tests.unit.engine.test_admission",
        "test_what_is_not_is_refused_with_a_reason",
    ),
    "starve the engine, so that it loses its lease": (
        MODULE,
        "test_however_much_it_sends_the_master_keeps_its_rhythm_and_its_log_short",
    ),
    "read the passphrase, the configuration, the drained groups": (
        MODULE,
        "test_it_opens_neither_passphrase_nor_configuration_nor_hook_nor_the_engines_memory",
    ),
    "change a command (`on_master` and so on), or what is drained": (
        MODULE,
        "test_it_opens_neither_passphrase_nor_configuration_nor_hook_nor_the_engines_memory",
    ),
    "keep the engine from starting, by taking its lock": (
        "tests.network.linux.test_instance_lock",
        "test_another_user_can_not_have_it",
    ),
    "read the passphrase in memory, by a debugger or a core file": (
        "tests.network.process.test_start",
        "test_no_other_process_of_its_user_can_read_its_memory",
    ),
    "have root run a program of his, by a TMPDIR of his for the one-file binary": (
        "tests.binary.test_start",
        "test_a_bad_temporary_folder_is_one_clear_line",
    ),
    "stop, kill or trace the engine": (MODULE, "test_it_is_a_user_of_its_own_without_capabilities"),
}
"""What a stranger in the reporter, or another user, can not do, and the test that tries it."""


HARDENED = "tests.network.engine.test_hardened"
PROVEN_ON_THE_SEGMENT = {
    "make a master step down for as long as he sends: a recorded packet with a smaller advskew": [
        (HARDENED, "test_an_altered_byte_spoils_the_digest"),
        (HARDENED, "test_a_replay_under_another_name_is_no_news_either"),
    ],
    "make a backup take over: a recorded bow-out": [
        (HARDENED, "test_a_replayed_bow_out_makes_nobody_take_over"),
    ],
    "play recordings of former days to a node that has just started": [
        (HARDENED, "test_a_node_that_has_just_started_believes_no_recording_of_the_dead"),
        (
            "tests.simulation.hardened.test_attacker",
            "test_no_recording_moves_anything_and_one_master_stands_in_the_end",
        ),
    ],
    "make a backup lose its master by a flood": [
        ("tests.network.engine.test_floods", "test_no_backup_loses_its_master"),
    ],
    "make a master announce hundreds of frames for one of his": [
        ("tests.network.linux.test_announce", "test_answers_to_others_are_so_many_a_second"),
        (
            "tests.unit.engine.test_announcements",
            "test_what_was_too_much_to_answer_follows_and_goes_first_when_it_is_answered_again",
        ),
    ],
    "fill the log or take the processor with bad packets": [
        ("tests.network.engine.test_bad_packets", "test_a_flood_is_said_once"),
        (
            "tests.unit.engine.test_throttle",
            "test_whoever_invents_new_things_for_ever_fills_neither_log_nor_memory",
        ),
        (
            "tests.network.linux.test_floods",
            "test_of_strangers_a_sample_of_each_kind_is_kept_and_the_rest_is_counted",
        ),
    ],
}
"""What somebody on the segment can not do, in one mode at least."""


def test_every_no_is_tried_by_a_test() -> None:
    table = rows(PAGE, "he wants to", "can he?")
    assert {row["he wants to"] for row in table if row["can he?"] == "no"} == PROVEN.keys()
    segment = rows(PAGE, "what", "compatible", "hardened")
    refused = {row["what"] for row in segment if any(row[mode].split(",")[0] == "no" for mode in MODES)}
    assert refused == PROVEN_ON_THE_SEGMENT.keys()
    for module, name in (*PROVEN.values(), *chain.from_iterable(PROVEN_ON_THE_SEGMENT.values())):
        assert callable(getattr(import_module(module), name))
