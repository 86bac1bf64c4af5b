"""A file that changes reaches a running engine by itself: on a host a passphrase, which is read again at once.

In Kubernetes it is the Secret and the ConfigMap, and the backups go before the master: a kubelet writes the change
into the pod's files within a minute or two, each at its own time. A backup reads it at once: it waits beside a
claim under the former agreement. A master waits until the backups have it, and keeps its state. What can't be
changed that way, such as another vhid, is reported: the pods must be replaced for it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from logging import ERROR, INFO, WARNING
from pathlib import Path

from carpsidecar.config.schema import ConfigError
from carpsidecar.config.sources import Config
from carpsidecar.engine.settings import keeps_state
from carpsidecar.logs import log

POLL_S = 5.0
MASTER_AFTER_S = 150.0
"""A kubelet's sync period, and the age that its cache of Secrets may have, with something to spare."""

_Fingerprint = Mapping[str, tuple[int, int, int] | None]


class ConfigWatch:
    """Args:
    files: what the configuration is read from, or as much of it as is to be watched; asked for each time.
    in_turn: as in Kubernetes; else all is put into force at once.
    read: reads it; raises ConfigError.
    running: the one that is in force.
    apply: puts what was read into force.
    is_master: of any group.
    drifted: called with what differs and can't be put into force; empty: nothing any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        files: Callable[[], Iterable[str]],
        in_turn: bool,
        read: Callable[[], Config],
        running: Callable[[], Config],
        apply: Callable[[], None],
        is_master: Callable[[], bool],
        drifted: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._files = files
        self._in_turn = in_turn
        self._read = read
        self._running = running
        self._apply = apply
        self._is_master = is_master
        self._drifted = drifted
        self._seen = self._fingerprint()
        self._master_may_at: float | None = None
        """Since when a change waits for this node's turn."""
        loop.call_later(POLL_S, self._poll)

    def seen(self) -> None:
        """What the files hold now is, or will be, in force."""
        self._seen = self._fingerprint()

    def _poll(self) -> None:
        self._loop.call_later(POLL_S, self._poll)
        found = self._fingerprint()
        if found != self._seen:
            self._seen = found
            self._changed()
            return
        master_may_at = self._master_may_at
        if master_may_at is not None and (not self._is_master() or self._loop.time() >= master_may_at):
            self._go_over()

    def _changed(self) -> None:
        if not self._in_turn:
            log(INFO, "passphrase_changed", "a passphrase file is another one: reads the configuration again")
            self._apply()
            return
        try:
            config = self._read()
        except ConfigError as error:
            log(ERROR, "reload_failed", f"the new configuration can't be used: {error}")
            return
        running = self._running()
        if config == running:
            self._master_may_at = None
            self._drifted("")
            return
        difference = _lasting_difference(running, config)
        self._drifted(difference)
        if difference:
            log(WARNING, "config_drift", f"{difference}: replace this pod for it")
        elif self._is_master():
            self._master_may_at = self._loop.time() + MASTER_AFTER_S
            text = f"the configuration has changed: the backups go first, and we in {MASTER_AFTER_S:g} s"
            log(INFO, "config_waits", text)
        else:
            self._go_over()

    def _go_over(self) -> None:
        self._master_may_at = None
        self._apply()

    def _fingerprint(self) -> _Fingerprint:
        return {file: _stat(file) for file in self._files()}


def _stat(path: str) -> tuple[int, int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _lasting_difference(running: Config, wanted: Config) -> str:
    """What a running group can't change without giving up its state; empty where there is nothing."""
    before, after = ({group.name: group for group in config.groups} for config in (running, wanted))
    if before.keys() != after.keys():
        return f"the groups were {', '.join(before)} and are to be {', '.join(after)}"
    lasting = [name for name in before if not keeps_state(before[name], after[name])]
    return f"vhid, interface or mode of {', '.join(lasting)} have changed" if lasting else ""
