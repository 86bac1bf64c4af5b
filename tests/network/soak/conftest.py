"""The soak mostly waits, so it runs beside the other tests: started first, judged last."""

import os
import subprocess
import sys
from tempfile import TemporaryFile

import pytest

from carpsidecar.lab.namespace import has_privileges

MINUTES = float(os.environ.get("CARP_SOAK_MINUTES", "5"))
SEED = os.environ.get("CARP_SOAK_SEED", "7")
"""A fixed one, so that a failure shows a change of ours; `make soak` takes another each time."""

_soak = pytest.StashKey["Soak"]()


class Soak:
    """The soak, running since it was made."""

    def __init__(self) -> None:
        self._output = TemporaryFile("w+")  # noqa: SIM115 (closed in `end`)
        command = [sys.executable, "-u", "-m", "tests.network.soak", "--minutes", str(MINUTES), "--seed", SEED]
        self._process = subprocess.Popen(command, stdout=self._output, stderr=subprocess.STDOUT)

    def result(self) -> tuple[int, str]:
        """Exit status and output, when it is over."""
        status = self._process.wait()
        self._output.seek(0)
        return status, self._output.read()

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._output.close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("soak") is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = any(item.get_closest_marker("soak") for item in session.items)
    if wanted and has_privileges() and not session.config.option.collectonly:
        session.config.stash[_soak] = Soak()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _soak in config.stash:
        config.stash[_soak].end()


@pytest.fixture
def soak(pytestconfig: pytest.Config) -> Soak:
    return pytestconfig.stash[_soak]
