"""Where the manual's commands for a cluster are run as they stand there: an engineer's shell with kubectl and helm.

A page's addresses (192.0.2.0/24) become those of this cluster, and its registry's images those that the nodes have:
none can be pulled.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from docs.tools.registry import EXAMPLE
from tests.cluster.harness import CHART, CONTROL_PLANE, ROOT
from tests.support.manual.output import fits
from tests.support.manual.page import Block

_COMMAND_S = 240
_OURS = f"{EXAMPLE}/carpsidecar"
_INSTEAD = (
    ("192.0.2.", "10.77.0."),
    (f"image.repository={_OURS}", "image.repository=localhost/carpsidecar,image.tag=latest,image.pullPolicy=Never"),
    (f"  repository: {_OURS}\n", "  repository: localhost/carpsidecar\n  tag: latest\n  pullPolicy: Never\n"),
)
_KUBECTL = """\
#!/bin/sh
[ "$1" != apply ] || set -- "$@" --validate=false
exec {kubectl} "$@"
"""
_IMAGE = re.compile(r"^( *(?:- )?)image: (\S+)$", re.MULTILINE)
"""Of a workload, in a manifest."""


class Workstation:
    """A shell beside the control plane, in a folder with the chart.

    Args:
        folder: what the pages write goes there.
        server: the URL of the API server for Helm, where it is not the one of the administrator's file, since that
            server can't say its schema; then kubectl does not ask for it either.
    """

    def __init__(self, folder: Path, helm: str, server: str = "") -> None:
        self.folder = folder
        (folder / "charts").symlink_to(CHART.parent)
        tools = folder / "tools"
        tools.mkdir()
        (tools / "helm").symlink_to(helm)
        if server:
            kubectl = tools / "kubectl"
            kubectl.write_text(_KUBECTL.format(kubectl=shutil.which("kubectl")))
            kubectl.chmod(0o755)
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(ROOT / "admin.kubeconfig"),
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HELM_KUBEAPISERVER": server,
        }

    def run(self, blocks: Sequence[Block]) -> str:
        """One after the other: files are written, commands run, and where the page says what they print, they do.

        Returns:
            All that was printed.

        Raises:
            AssertionError: a command failed, or printed something else.
        """
        printed = ""
        for block, behind in zip(blocks, [*blocks[1:], None], strict=True):
            if block.is_command:
                output = behind if behind and behind.follows_at_once and behind.language == "text" else None
                printed += self._command(block, output)
            elif block.language == "yaml":
                (self.folder / block.title).write_text(here(block.text))
        return printed

    def _command(self, block: Block, output: Block | None) -> str:
        status, printed = self._to_its_end(block.text)
        if output is None:
            assert status == 0, f"{block}\nexit status {status}, its output:\n{printed}"
        else:
            assert fits(here(output.text), printed), (
                f"{block}\nthe page says\n{output.text}and it printed\n{printed}"
            )
        return printed

    @contextmanager
    def left_running(self, block: Block) -> Iterator[None]:
        with self._start(block.text) as process:
            try:
                yield
            finally:
                os.killpg(process.pid, signal.SIGTERM)
                process.communicate()

    def shell(self, command: str) -> str:
        """What it prints, whether it fails or not."""
        return self._to_its_end(command)[1]

    def _to_its_end(self, command: str) -> tuple[int, str]:
        with self._start(command) as process:
            try:
                printed = process.communicate(timeout=_COMMAND_S)[0]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return process.returncode, printed

    def _start(self, command: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["ip", "netns", "exec", CONTROL_PLANE, "sh", "-eu", "-c", here(command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self._environment,
            start_new_session=True,
        )


def here(text: str) -> str:
    """With this cluster's addresses and images."""
    for there, instead in _INSTEAD:
        text = text.replace(there, instead)
    return _IMAGE.sub(_local_image, text)


def _local_image(line: re.Match[str]) -> str:
    ours = "carpsidecar" in line[2]
    first, indent = line[1], " " * len(line[1])
    name = "localhost/carpsidecar:latest" if ours else "localhost/pause:1"
    return f"{first}image: {name}\n{indent}imagePullPolicy: Never"
