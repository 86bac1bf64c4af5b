"""One of the demo's machines: a node with the daemon that is shown and a service that answers the client."""

from collections.abc import Callable, Sequence

from carpsidecar.lab.node import Node
from carpsidecar.lab.probe import EchoServer
from carpsidecar.lab.process import Process


class Machine:
    """`trouble` says in a word what was done to it, and is empty while it is well."""

    def __init__(self, node: Node, command: Callable[[Node], Sequence[str]]) -> None:
        self.node = node
        self.name = node.name
        self.trouble = ""
        self.daemon: Process
        self._command = command
        self.boot()

    def boot(self) -> None:
        EchoServer(self.node)
        self.start_daemon()

    def start_daemon(self) -> None:
        self.daemon = self.node.start(self._command(self.node))
        self.trouble = ""

    def lose_power(self) -> None:
        self.node.power_off()
        self.trouble = "no power"

    def regain_power(self) -> None:
        self.node.power_on()
        self.boot()

    def stop_daemon(self) -> None:
        self.trouble = "stopped"
        self.daemon.stop()

    def lose_cable(self) -> None:
        self.trouble = "no cable"
        self.node.pull_cable()

    def regain_cable(self) -> None:
        self.node.plug_cable()
        self.trouble = ""

    def hang_daemon(self) -> None:
        self.trouble = "daemon hangs"
        self.daemon.hang()

    def resume_daemon(self) -> None:
        self.daemon.resume()
        self.trouble = ""
