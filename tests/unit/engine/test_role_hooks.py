"""Which command is due after which change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.config.group import Hooks
from carpsidecar.engine.role_hooks import RoleHooks
from carpsidecar.ipc.messages import Role
from carpsidecar.protocol.effects import Reason
from tests.support.logs import Logged
from tests.unit.engine.loops import Loop, group_config


class RoleHooksBench:
    """A group's commands, each of which writes down its name, its role and what follows in its arguments."""

    def __init__(self, loop: Loop, directory: Path, **settings: object) -> None:
        self.loop = loop
        self.file = directory / "ran"
        self.file.touch()
        self.ready = 0
        self.hooks = RoleHooks(loop.asyncio, group_config(hooks=self.settings(**settings)), self._master_ready)
        self._was_master = False

    def settings(self, **changed: object) -> Hooks:
        commands: dict[str, object] = {
            name: ("sh", "-c", f'echo {name} $CARP_ROLE "$@" >> {self.file}', "sh")
            for name in ("on_master", "on_backup", "on_fault")
        }
        return Hooks(**{**commands, **changed})  # type: ignore[arg-type]

    def become(self, role: Role, reason: Reason = Reason.MASTER_SILENT) -> list[str]:
        """What was run because of it."""
        before = len(self._ran)
        self.hooks.became(role, reason, self._was_master, {"CARP_INTERFACE": "eth7", "CARP_ROLE": role})
        self._was_master = role == "master"
        self.loop.until(lambda: self.hooks.idle)
        return self._ran[before:]

    @property
    def _ran(self) -> list[str]:
        return self.file.read_text().splitlines()

    def _master_ready(self) -> None:
        self.ready += 1


@pytest.fixture
def bench(loop: Loop, tmp_path: Path) -> Iterator[RoleHooksBench]:
    bench = RoleHooksBench(loop, tmp_path)
    yield bench
    bench.hooks.runner.end()
    loop.until(lambda: bench.hooks.idle)


def test_each_role_has_its_command_with_interface_and_address(bench: RoleHooksBench) -> None:
    assert bench.become("backup", Reason.STARTED) == ["on_backup backup eth7 192.0.2.100"]
    assert bench.become("master") == ["on_master master eth7 192.0.2.100"]
    assert bench.become("fault", Reason.LINK_LOST) == ["on_fault fault eth7 192.0.2.100"]
    assert bench.become("backup", Reason.LINK_BACK) == ["on_backup backup eth7 192.0.2.100"]
    assert bench.hooks.results == {"ok": 4}


def test_extra_words_come_last(loop: Loop, tmp_path: Path) -> None:
    bench = RoleHooksBench(loop, tmp_path, extra=("one", "two"))
    assert bench.become("master") == ["on_master master eth7 192.0.2.100 one two"]


def test_what_was_run_last_is_not_run_again(loop: Loop, tmp_path: Path) -> None:
    """As a rule on_fault is on_backup, and a lost link changes nothing for a backup."""
    bench = RoleHooksBench(loop, tmp_path)
    same = bench.settings(on_fault=bench.settings().on_backup)
    bench.hooks.configure(group_config(hooks=same))
    assert len(bench.become("backup", Reason.STARTED)) == 1
    assert bench.become("fault", Reason.LINK_LOST) == []
    assert bench.become("backup", Reason.LINK_BACK) == []
    assert len(bench.become("master")) == 1
    assert bench.become("fault", Reason.LINK_LOST) == ["on_backup fault eth7 192.0.2.100"]


def test_one_command_may_serve_all_roles(loop: Loop, tmp_path: Path) -> None:
    bench = RoleHooksBench(loop, tmp_path)
    one = bench.settings().on_master
    bench.hooks.configure(group_config(hooks=bench.settings(on_backup=one, on_fault=one)))
    assert bench.become("backup", Reason.STARTED) == ["on_master backup eth7 192.0.2.100"]
    assert bench.become("master") == ["on_master master eth7 192.0.2.100"]
    assert bench.ready == 1
    assert bench.become("backup") == ["on_master backup eth7 192.0.2.100"]
    assert bench.become("fault", Reason.LINK_LOST) == []
    assert bench.become("master") == ["on_master master eth7 192.0.2.100"]
    assert bench.become("init", Reason.STOPPED) == ["on_master init eth7 192.0.2.100"]


def test_a_master_that_is_stopped_gets_the_backups_command(bench: RoleHooksBench) -> None:
    bench.become("master")
    assert bench.become("init", Reason.STOPPED) == ["on_backup init eth7 192.0.2.100"]


def test_a_backup_that_is_stopped_gets_none(bench: RoleHooksBench) -> None:
    bench.become("backup", Reason.STARTED)
    assert bench.become("init", Reason.STOPPED) == []


def test_neither_start_nor_stop_runs_a_command_where_it_is_not_wanted(loop: Loop, tmp_path: Path) -> None:
    bench = RoleHooksBench(loop, tmp_path, backup_at_start=False, backup_at_stop=False)
    assert bench.become("backup", Reason.STARTED) == []
    assert len(bench.become("master")) == 1
    assert bench.become("init", Reason.STOPPED) == []


def test_a_role_without_a_command_runs_none(loop: Loop, tmp_path: Path) -> None:
    bench = RoleHooksBench(loop, tmp_path, on_master=(), on_fault=())
    assert bench.become("master") == []
    assert bench.become("fault", Reason.LINK_LOST) == []
    assert bench.hooks.results == {}


def test_the_master_is_ready_when_its_command_has_ended(bench: RoleHooksBench) -> None:
    assert not bench.hooks.master_is_ready
    bench.become("master")
    assert bench.hooks.master_is_ready
    assert bench.ready == 1
    bench.become("backup")
    assert not bench.hooks.master_is_ready
    assert bench.ready == 1


def test_a_master_without_a_command_is_ready_at_once(loop: Loop, tmp_path: Path) -> None:
    bench = RoleHooksBench(loop, tmp_path, on_master=())
    assert bench.hooks.master_is_ready


def test_the_masters_command_that_ends_after_the_role_has_changed_makes_nothing_ready(
    loop: Loop, tmp_path: Path
) -> None:
    bench = RoleHooksBench(loop, tmp_path, on_master=("sh", "-c", "sleep 0.1"))
    facts = {"CARP_INTERFACE": "eth7", "CARP_ROLE": "master"}
    bench.hooks.became("master", Reason.MASTER_SILENT, False, facts)
    assert bench.become("backup") == ["on_backup backup eth7 192.0.2.100"]
    assert bench.ready == 0


def test_new_settings_hold_from_the_next_change_on(bench: RoleHooksBench, logged: Logged) -> None:
    bench.become("backup", Reason.STARTED)
    changed = bench.settings(on_master=("sh", "-c", "exec sleep 1000"), timeout_s=0.1)
    bench.hooks.configure(group_config(hooks=changed))
    bench.become("master")
    assert logged.lines == ["on_master: still running after 0.1 s: ended"]
    assert bench.hooks.results == {"ok": 1, "timeout": 1}
