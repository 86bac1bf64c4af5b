"""The page on moving from keepalived: its commands, against the real one, and its table, against the settings."""

import shutil

import pytest

from carpsidecar.config.schema import GROUP_FIELDS, PROCESS_FIELDS
from carpsidecar.lab.commands import environment
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.network import Lab
from tests.support.manual.machine import Machine
from tests.support.manual.page import claim
from tests.support.manual.runner import Runner
from tests.support.manual.tables import names, rows
from tests.support.waits import SOON_S

BLOCKS = claim("docs/moving/keepalived.md")
KEEPALIVED = "keepalived --dont-fork --log-console --vrrp"
GAP_S = 6.0
"""Start-up and a master-down interval of 3.2 s, on a busy machine."""

needs_keepalived = pytest.mark.skipif(
    shutil.which("keepalived", path=environment()["PATH"]) is None, reason="keepalived is not installed"
)


@needs_keepalived
def test_the_address_changes_over_without_two_holders(lab: Lab) -> None:
    first, second = hosts = [
        Machine(lab, name, [[f"192.0.2.{number}/24"]]) for number, name in ((11, "first"), (12, "second"))
    ]
    for host in hosts:
        host.write("/usr/local/sbin/check-web", "#!/bin/sh\n")
        host.run("chmod 755 /usr/local/sbin/check-web")
    theirs = BLOCKS[0].text
    first.write("/etc/keepalived/keepalived.conf", theirs)
    second.write("/etc/keepalived/keepalived.conf", theirs.replace("priority 150", "priority 100"))
    with HolderWatch([host.node for host in hosts], "192.0.2.100") as watch:
        first.start(KEEPALIVED).wait_for("Entering MASTER STATE", SOON_S)
        second.start(KEEPALIVED).wait_for("Entering BACKUP STATE", SOON_S)
        runner = Runner(hosts)
        runner.run(BLOCKS)
        [ours_there] = runner.left_running["second"]
        assert ours_there.wait_for("became", SOON_S).endswith("became backup: started")
        assert watch.holders_now() == {"first"}
        assert watch.overlaps() == []
        lost = max(change.at for change in watch.changes if not change.held)
        found = max(change.at for change in watch.changes if change.held)
        assert lost < found < lost + GAP_S
        first.run("touch /run/web-is-ill")
        watch.wait_for_holder("second", SOON_S)
        ours_there.wait_for("became master", SOON_S)


def test_every_setting_of_the_table_is_one() -> None:
    settings = {
        name
        for row in rows("moving/keepalived.md", "keepalived", "carpsidecar")
        for name in names(row["carpsidecar"])
    }
    assert settings <= GROUP_FIELDS.keys() | PROCESS_FIELDS.keys() | {"checks"}
