"""What the groups of Services' addresses were last, on the disk: a restarted engine serves what this node served
before, though Kubernetes' API may not answer.

Only the engine writes it, in a thread: a disk may hang, and the election is not to wait for it.
"""

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress
from logging import WARNING
from pathlib import Path

import msgspec

from carpsidecar import state_file
from carpsidecar.ipc.messages import SetServiceAddress
from carpsidecar.logs import in_words, log

STORE_AFTER_S = 0.5
"""Many change at once."""
_FILE_MAX_BYTES = 4 << 20
_decoder = msgspec.json.Decoder(list[SetServiceAddress])


def path() -> Path:
    return state_file.folder() / "service-addresses.json"


class ServiceFile:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._newest: list[SetServiceAddress] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writes = False
        self._failed = ""

    def read(self) -> list[SetServiceAddress]:
        """What was stored last; nothing where that can't be read, which is logged."""
        try:
            return read(path())
        except OSError as error:
            log(WARNING, "services_unclear", f"begins without addresses of Services: {in_words(error)}")
            return []

    def store(self, commands: Iterable[SetServiceAddress]) -> None:
        """Before long; what is given last counts."""
        self._newest = list(commands)
        if self._timer is None and not self._writes:
            self._timer = self._loop.call_later(STORE_AFTER_S, self._begin)

    def close(self) -> None:
        """Write what was not written yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._newest is not None and not self._writes:
            self._write(self._newest)

    def _begin(self) -> None:
        self._timer = None
        newest, self._newest = self._newest, None
        if newest is not None:
            self._writes = True
            threading.Thread(target=self._work, args=(newest,), name="services", daemon=True).start()

    def _work(self, commands: list[SetServiceAddress]) -> None:
        self._write(commands)
        with suppress(RuntimeError):  # the loop is closed: the engine has ended
            self._loop.call_soon_threadsafe(self._written)

    def _written(self) -> None:
        self._writes = False
        if self._newest is not None:
            self.store(self._newest)

    def _write(self, commands: list[SetServiceAddress]) -> None:
        try:
            write(path(), commands)
            self._failed = ""
        except OSError as error:
            text = in_words(error)
            if text != self._failed:
                self._failed = text
                why = f"{path()} can't be written ({text}): after a restart it takes the API to know them"
                log(WARNING, "services_not_kept", why)


def read(file: Path) -> list[SetServiceAddress]:
    """
    Raises:
        OSError: there is something, and it is no list of ours.
    """
    data = state_file.read(file, _FILE_MAX_BYTES)
    if data is None:
        return []
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise OSError(f"{file} is no list of addresses: {error}") from None


def write(file: Path, commands: list[SetServiceAddress]) -> None:
    """Raises: OSError."""
    state_file.write(file, msgspec.json.encode(commands))
