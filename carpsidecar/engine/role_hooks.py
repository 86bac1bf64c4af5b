"""Which command is due after which change, and what it is told."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

from carpsidecar.config.group import GroupConfig
from carpsidecar.engine.hooks import HookRunner
from carpsidecar.ipc.messages import Role
from carpsidecar.protocol.effects import Reason


class RoleHooks:
    """A group's commands. One that was run last is not run again: a lost link on a backup changes nothing for it.
    But a command may serve the master and the others, and tell them apart by CARP_ROLE.

    Args:
        master_ready: called when the command for the master has ended, and nothing else came after it.
        runner: one that may be busy with the last command of a group of this name.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: GroupConfig,
        master_ready: Callable[[], None],
        runner: HookRunner | None = None,
    ) -> None:
        self.runner = runner or HookRunner(loop, config.name, config.hooks.timeout_s, self._finished)
        self.runner.timeout_s, self.runner.finished = config.hooks.timeout_s, self._finished
        self._master_ready = master_ready
        self._config = config
        self._last: tuple[bool, tuple[str, ...]] = (False, ())
        """Whether it was the master's, and the command."""
        self._master_is_ready = False

    @property
    def idle(self) -> bool:
        return self.runner.idle

    @property
    def results(self) -> Counter[str]:
        return self.runner.results

    @property
    def master_is_ready(self) -> bool:
        """Whether the command for the master has done its work, where there is one."""
        return self._master_is_ready or not self._config.hooks.on_master

    def configure(self, config: GroupConfig) -> None:
        self._config = config
        self.runner.timeout_s = config.hooks.timeout_s

    def became(self, role: Role, reason: Reason, was_master: bool, facts: Mapping[str, str]) -> None:
        """The group changed; `facts` is what the command finds in its environment."""
        hooks = self._config.hooks
        self._master_is_ready = False
        if reason is Reason.STOPPED:
            # What the master's command began, the backup's command ends.
            command = hooks.on_backup if was_master and hooks.backup_at_stop else ()
        else:
            command = {"master": hooks.on_master, "backup": hooks.on_backup}.get(role, hooks.on_fault)
        due = (role == "master", command)
        repeated = due == self._last
        self._last = due
        if not command or repeated or (reason is Reason.STARTED and not hooks.backup_at_start):
            return
        words = (*command, facts["CARP_INTERFACE"], str(self._config.addresses[0].ip), *hooks.extra)
        label = "on_backup" if reason is Reason.STOPPED else f"on_{role}"
        self.runner.run(label, words, facts)

    def _finished(self, label: str) -> None:
        if label == "on_master" and self._last == (True, self._config.hooks.on_master):
            self._master_is_ready = True
            self._master_ready()
