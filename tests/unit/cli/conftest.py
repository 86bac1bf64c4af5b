"""An engine that only remembers what it was asked."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from carpsidecar import logs
from carpsidecar.cli import config, run, ucarp
from carpsidecar.config.sources import Config
from tests.support.command import passphrase_file

__all__ = ["passphrase_file"]


class StartError(Exception):
    """Stands for that of the engine."""


class FakeEngine(ModuleType):
    """Takes the place of carpsidecar.engine.run. `error` is raised, `while_running` called, `status` returned."""

    StartError = StartError

    def __init__(self) -> None:
        super().__init__("carpsidecar.engine.run")
        self.config: Config | None = None
        self.reload: Callable[[], Config] | None = None
        self.error: BaseException | None = None
        self.while_running: Callable[[], None] = lambda: None
        self.status = 0

    def run(
        self,
        config: Config,
        *,
        reload: Callable[[], Config] | None = None,
        listening: Callable[[], None] | None = None,
        files: object = None,
    ) -> int:
        self.config, self.reload = config, reload
        if self.error:
            raise self.error
        if listening:
            listening()
        self.while_running()
        return self.status


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    fake = FakeEngine()
    monkeypatch.setitem(sys.modules, "carpsidecar.engine.run", fake)
    for name in [name for name in os.environ if name.startswith("CARP_")]:
        monkeypatch.delenv(name)
    yield fake
    logs.logger.handlers.clear()
    logs.logger.setLevel(logging.NOTSET)
    logs.logger.propagate = True


@pytest.fixture(autouse=True)
def dumpable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests stays as it is: a lab that starts later, without root, needs its own /proc."""
    for command in (config, run, ucarp):
        monkeypatch.setattr(command, "forbid_core_dumps", lambda: None)
