"""A registry of the tests' own, on this machine or on the network of a node: Debian's docker-registry."""

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waits import wait_until

_CONFIG = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "{address}"}}
"""


@contextmanager
def registry(folder: Path, address: str = "", *, inside: Sequence[str] = ()) -> Iterator[str]:
    """Start it, and say where it listens, HOST:PORT; `inside` is what starts a command where that is."""
    if not shutil.which("docker-registry") or not shutil.which("skopeo"):
        pytest.skip("needs docker-registry and skopeo: .ci/binary test")
    address = address or f"127.0.0.1:{_free_port()}"
    config = folder / "config.yml"
    folder.mkdir()
    config.write_text(_CONFIG.format(folder=folder, address=address))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*inside, "docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        wait_until(lambda: "listening on" in (folder / "log").read_text(), "the registry listens")
        yield address
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
