"""One machine of the soak: its daemon, its configuration file and its clock, and the faults that strike those."""

import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path

import yaml

from carpsidecar.lab.commands import LabError
from carpsidecar.lab.node import Node
from carpsidecar.lab.probe import EchoServer
from carpsidecar.lab.process import Process
from tests.network.soak.scene import DEAD_RATIO, VHID, Scene

_GIVEN = shlex.split(os.environ.get("CARPSIDECAR_COMMAND", ""))
CLOCK_CAN_BE_SET = not _GIVEN

_ROOT = Path(__file__).parents[3]
_UP = re.compile(r"became|waiting: ")
_READ = re.compile(r"the configuration was read again|the new configuration can't be used")
_STARTS_WITHIN_S = _READS_WITHIN_S = 20.0


class Machine:
    def __init__(self, node: Node, scene: Scene, advskew: int, directory: Path) -> None:
        self.node = node
        self.name = node.name
        self.advskew = advskew
        self.asked_at: float | None = None
        self.unasked_exits: list[str] = []
        self.processes: list[Process] = []
        self.runs = False
        self._scene = scene
        self._group_name = "web"
        self._configuration = directory / f"{node.name}.yaml"
        self._clock = directory / f"{node.name}.clock"
        self._passphrase = directory / "passphrase"
        self._passphrase.touch(0o600)
        self._passphrase.write_text("endurance\n")
        self.set_clock(0)
        EchoServer(node)

    @property
    def process(self) -> Process:
        return self.processes[-1]

    # The daemon.

    def launch(self) -> None:
        """Start the daemon; `wait_until_up` waits for it."""
        self.write_configuration()
        command = _GIVEN or [sys.executable, "-m", "tests.network.soak.launcher", str(self._clock)]
        argv = [*command, "run", "--config", str(self._configuration)]
        self.processes.append(self.node.start(argv, env={"PYTHONPATH": str(_ROOT)}))
        self.runs = True
        self.asked_at = None

    def wait_until_up(self) -> None:
        self.process.wait_for(_UP, _STARTS_WITHIN_S)

    def start(self) -> None:
        self.launch()
        self.wait_until_up()

    def kill(self) -> None:
        self.look_after()
        self.runs = False
        self.process.kill()

    def stop(self) -> None:
        self.look_after()
        self.runs = False
        if status := self.process.stop():
            self.unasked_exits.append(f"{self.name}: exit status {status} after TERM")

    def hang(self) -> None:
        self.look_after()
        self.process.hang()

    def resume(self) -> None:
        self.process.resume()

    def look_after(self) -> None:
        """Note it if the daemon has ended by itself."""
        if self.runs and self.process.returncode is not None:
            self.unasked_exits.append(f"{self.name}: {self.process} has ended by itself")
            self.runs = False

    # What it is told.

    def reload(self) -> None:
        after = self.process.log_size
        os.kill(self.process.pid, signal.SIGHUP)
        self.process.wait_for(_READ, _READS_WITHIN_S, after)

    def reload_same(self) -> None:
        self.write_configuration()
        self.reload()

    def reload_other_advskew(self, advskew: int) -> None:
        self.advskew = advskew
        self.reload_same()

    def reload_renamed(self) -> None:
        """The group is another one: stopped, and started anew."""
        self._group_name = "api" if self._group_name == "web" else "web"
        self.asked_at = None
        self.reload_same()

    def reload_broken(self) -> None:
        self._configuration.write_text("groups: [")
        self.reload()

    def ask_to_step_down(self) -> None:
        self.asked_at = time.monotonic()
        os.kill(self.process.pid, signal.SIGUSR2)

    def remove_address(self) -> bool:
        """By hand; whether it was there."""
        try:
            self.node.run(["ip", "address", "del", f"{self._scene.vip}/32", "dev", "eth0"])
        except LabError:
            return False
        return True

    def set_clock(self, offset_s: float) -> None:
        # In place, for the daemon has it open; the spaces cover a longer number that was there.
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:
            file.write(f"{round(offset_s * 1e9):<31}".encode())

    def write_configuration(self) -> None:
        group = {
            "name": self._group_name,
            "vip": self._scene.vip,
            "vhid": VHID,
            "interface": "eth0",
            "advbase": self._scene.advbase,
            "advskew": self.advskew,
            "dead_ratio": DEAD_RATIO,
            "preempt": True,
            "auth": self._scene.auth,
            "passphrase_file": str(self._passphrase),
        }
        self._configuration.write_text(yaml.safe_dump({"realtime": self._scene.realtime, "groups": [group]}))
