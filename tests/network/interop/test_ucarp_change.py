"""A change beside Debian's ucarp, which knows one passphrase and one address: what docs/recipes/change.md says."""

from collections.abc import Mapping
from typing import Any

import pytest

from carpsidecar.lab.process import Process
from tests.support.answers import AnswerWatch
from tests.support.daemon import PASSPHRASE, Configuration, group, reload, start
from tests.support.peers import VHID, VIP, Segment, needs_ucarp, segment
from tests.support.waits import SOON_S, Delay

pytestmark = [pytest.mark.network, needs_ucarp, pytest.mark.at_once]

OURS = ("one", "two")
OTHER = "10.99.0.101"
BOTH: Mapping[str, Any] = {"vip": [VIP, OTHER], "also_accept": VIP}


class Ours:
    """Two nodes with a configuration of its own each, of the same group as ucarp on the third machine."""

    def __init__(self, made: Segment) -> None:
        self._made = made
        self.configurations = {}
        for number, name in enumerate(OURS):
            directory = made.lab.directory / f"{name}-configuration"
            directory.mkdir()
            settings = group(VHID, vip=VIP, advskew=10 + 40 * number)
            beside = {"advbase": 1, "dead_ratio": 3}
            self.configurations[name] = Configuration(directory, settings, beside=beside)
        self.engines: dict[str, Process] = {}

    def start(self) -> None:
        for name in OURS:
            self.engines[name] = start(self._made.nodes[name], self.configurations[name])
            self.engines[name].wait_for("became backup", SOON_S)

    def stop(self) -> None:
        """The backup first, so that the address goes to ucarp and not to it."""
        for name in reversed(OURS):
            assert self.engines[name].stop() == 0

    def use(self, name: str, **settings: Any) -> None:
        self.configurations[name].groups[0].update(settings)
        self.configurations[name].write()

    def passphrases(self, name: str, *lines: str) -> None:
        self.configurations[name].path.with_name("passphrase").write_text("\n".join(lines))


def only(made: Segment, *names: str) -> None:
    made.watch.wait_until(lambda holders: len(holders) == 1 and holders <= set(names), SOON_S, f"one of {names}")


def test_whoever_gives_it_the_address_first_and_changes_it_last_has_one_holder_all_along() -> None:
    with segment(*OURS, "ucarp") as made:
        ours = Ours(made)
        ours.start()
        only(made, *OURS)
        ucarp = made.join("ucarp", "ucarp", advskew=100, passphrase=PASSPHRASE)
        ucarp.wait_for_role("backup", SOON_S)
        asker = made.lab.node("asker")
        with AnswerWatch(asker, list(made.nodes.values()), VIP) as watch:
            ours.stop()
            made.expect_holder(ucarp)
            for name in OURS:
                ours.passphrases(name, "new", PASSPHRASE)
            ours.start()
            made.expect_peace(ucarp)
            assert ucarp.process.stop() == 0
            only(made, *OURS)
            again = made.join("ucarp", "ucarp", "-o", _file(made, "new"), advskew=100)
            again.wait_for_role("backup", SOON_S)
            made.watch.wait_until_quiet(4, SOON_S)
            only(made, *OURS)
            assert watch.two_holders_s() < 0.1 + Delay(*ours.engines.values()).s


def test_with_also_accept_its_address_is_left_to_it_and_taken_with_the_new_one_when_it_goes() -> None:
    with segment(*OURS, "ucarp") as made:
        ours = Ours(made)
        ucarp = made.join("ucarp", "ucarp", advskew=100, passphrase=PASSPHRASE)
        made.expect_holder(ucarp)
        for name in OURS:
            ours.use(name, **BOTH)
        ours.start()
        made.expect_peace(ucarp)
        assert ucarp.process.stop() == 0
        only(made, *OURS)
        (holder,) = made.watch.holders_now()
        ours.engines[holder].wait_for("became master", SOON_S)
        assert f" {OTHER}/" in made.nodes[holder].run(["ip", "-4", "addr", "show", "dev", "eth0"])


def test_as_a_backup_it_becomes_a_second_master_when_the_others_have_changed() -> None:
    """What the page warns of."""
    with segment(*OURS, "ucarp") as made:
        ours = Ours(made)
        ours.start()
        only(made, *OURS)
        ucarp = made.join("ucarp", "ucarp", advskew=100, passphrase=PASSPHRASE)
        ucarp.wait_for_role("backup", SOON_S)
        (master,) = made.watch.holders_now()
        since = ours.engines[master].log_size
        for name in sorted(OURS, key=lambda name: name == master):
            ours.use(name, **BOTH)
            reload(ours.engines[name])
        ucarp.wait_for_role("master", SOON_S)
        made.watch.wait_until(lambda holders: holders == {master, "ucarp"}, SOON_S, "both")
        assert "became" not in ours.engines[master].log[since:]
        assert ucarp.complaints, "it says bad digest"
        assert ucarp.process.stop() == 0
        only(made, master)


def _file(made: Segment, passphrase: str) -> str:
    path = made.lab.directory / "new.pass"
    path.write_text(passphrase)
    return str(path)
