"""The page on security: its commands are run, and its tables are those of the code and of the chart."""

import re

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
