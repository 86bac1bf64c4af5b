"""Runs the blocks of a page, in the order of the page, on machines of the lab."""

import re
import time
from collections.abc import Sequence

from carpsidecar.lab.process import Process
from tests.support.manual.machine import Machine
from tests.support.manual.output import fits
from tests.support.manual.page import Block

ON_ALL = ("both", "all", "each")
LEFT_RUNNING = ", and leave it running"
NOTHING_TO_DO = ("yaml", "text", "json", "ini", "toml")

_PATIENCE_S = 20.0
_POLL_S = 0.25

_FILE = re.compile(r"(?P<path>/\S+)(?: on (?P<where>.+))?")


class Runner:
    """`left_running` are the processes that the page started, by machine, for tests that go on behind the page."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.machines = {machine.name: machine for machine in machines}
        self.left_running: dict[str, list[Process]] = {machine.name: [] for machine in machines}

    def run(self, blocks: Sequence[Block]) -> None:
        """
        Raises:
            AssertionError: a command failed, or did not print what the page says.
        """
        for block, behind in zip(blocks, [*blocks[1:], None], strict=True):
            try:
                self._block(
                    block, behind if behind and behind.follows_at_once and behind.language == "text" else None
                )
            except (AssertionError, ValueError) as error:
                raise AssertionError(f"{block}\n{error}") from None

    def _block(self, block: Block, output: Block | None) -> None:
        file = _FILE.fullmatch(block.title)
        if file:
            for machine in self._on(file["where"] or "all"):
                machine.write(file["path"], block.text)
        elif block.is_command:
            where, left_running, _ = block.title.partition(LEFT_RUNNING)
            if not where.startswith("on "):
                raise ValueError(f"title {block.title!r}: say where it runs, for example `on first`")
            for machine in self._on(where.removeprefix("on ")):
                if left_running:
                    self.left_running[machine.name].append(machine.start(block.text))
                else:
                    _run(machine, block.text, output)
        elif block.language not in NOTHING_TO_DO:
            raise ValueError(
                f"language {block.language!r}, title {block.title!r}: this runner can't tell what it is"
            )

    def _on(self, where: str) -> list[Machine]:
        if where in ON_ALL:
            return list(self.machines.values())
        names = re.split(r", | and ", where)
        unknown = [name for name in names if name not in self.machines]
        if unknown:
            raise ValueError(f"on {where}: no machine of that name; there are {', '.join(self.machines)}")
        return [self.machines[name] for name in names]


def _run(machine: Machine, command: str, output: Block | None) -> None:
    """Once; where the page says that its output comes after a while, until it does."""
    wanted = output.text if output else None
    # A command whose output is told may say bad news, with an exit status of its own.
    printed = machine.run(command, check=wanted is None)
    if output and output.title:
        deadline = time.monotonic() + _PATIENCE_S
        while not fits(output.text, printed) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            printed = machine.run(command, check=False)
    if wanted is not None and not fits(wanted, printed):
        raise AssertionError(f"{machine.name}: the page says\n{wanted}and it printed\n{printed}")
