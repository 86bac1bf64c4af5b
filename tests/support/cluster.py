"""Our daemon on the machines of a lab, started as a user would start it, and what the kernels there say."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from carpsidecar.lab.commands import LabError
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.probe import EchoServer, Probe
from carpsidecar.lab.process import Process
from tests.support.command import COMMAND
from tests.support.waits import SOON_S

PASSPHRASE = "carp in the lab"
VIP, VIP6 = "10.99.0.100", "fd99::100"
VHID = 42

FAST = ("--advbase", "0")
"""Add an advskew of 40 or more: an advertisement every 0.2 s is fast, and still slow enough for a busy machine."""


def run_command(
    *flags: str, vip: str | None = VIP, vhid: int | None = VHID, interface: str | None = "eth0"
) -> list[str]:
    """`carpsidecar run` with these flags; what is None is left out."""
    named = {"--vip": vip, "--vhid": vhid, "--interface": interface}
    return [*COMMAND, "run", *(str(x) for f, v in named.items() if v is not None for x in (f, v)), *flags]


class Cluster:
    """Machines that share an address. `watch` has seen all its holders since the first of them was started."""

    def __init__(self, lab: Lab, names: tuple[str, ...], vip: str, links: int) -> None:
        self.lab = lab
        self.vip = vip
        for name in names:
            lab.node(name, links)
        self.watch = HolderWatch([lab.nodes[name] for name in names], vip)

    def __getitem__(self, name: str) -> Node:
        return self.lab.nodes[name]

    def start(
        self,
        name: str,
        *flags: str,
        vip: str | None = "",
        env: Mapping[str, str] | None = None,
        by: Sequence[str] = (),
        **given: Any,
    ) -> Process:
        """Start ours on this machine; `vip` is the cluster's unless another, or None, is given.

        `by` goes before the command.
        """
        argv = [*by, *run_command(*flags, vip=self.vip if vip == "" else vip, **given)]
        return self[name].start(argv, env={"CARP_PASSPHRASE": PASSPHRASE, **(env or {})})

    def start_one_by_one(self, *starts: tuple[str, tuple[str, ...]]) -> list[Process]:
        """Start these, the later ones when the first is master, so that no one needs to win it from another."""
        (name, flags), *others = starts
        first = self.start(name, *flags)
        # By its own word, which comes last: what it says from now on is about something else.
        first.wait_for("became master", SOON_S)
        rest = [self.start(name, *flags) for name, flags in others]
        for process in rest:
            process.wait_for("became backup", SOON_S)
        return [first, *rest]


@contextmanager
def cluster_of(*names: str, vip: str = VIP, links: int = 1) -> Iterator[Cluster]:
    with Lab() as lab:
        cluster = Cluster(lab, names, vip, links)
        with cluster.watch:
            yield cluster


@contextmanager
def client_of(cluster: Cluster, vip: str | None = None) -> Iterator[Probe]:
    """A machine apart that asks whoever holds the address for its name, 200 times a second."""
    with ExitStack() as stack:
        for node in list(cluster.lab.nodes.values()):
            server = EchoServer(node)
            stack.callback(server.stop)
        name = f"client{len(cluster.lab.nodes)}"
        yield stack.enter_context(Probe(cluster.lab.node(name), vip or cluster.vip, 0.005))


def addresses(node: Node, interface: str = "eth0") -> list[dict[str, Any]]:
    """What `ip address show` tells of the interface; nothing for one that is not there."""
    try:
        links = json.loads(node.run(["ip", "-j", "address", "show", "dev", interface]))
    except LabError:
        return []
    return [address for link in links for address in link.get("addr_info", [])]


def holds(node: Node, ip: str, interface: str = "eth0") -> bool:
    return any(address["local"] == ip for address in addresses(node, interface))


def mac_of(node: Node, interface: str = "eth0") -> str:
    return str(json.loads(node.run(["ip", "-j", "link", "show", "dev", interface]))[0]["address"])


def neighbour(client: Node, ip: str) -> str | None:
    """The MAC address that this machine sends to, when it sends to `ip`."""
    entries = json.loads(client.run(["ip", "-j", "neighbour", "show", "to", ip]) or "[]")
    return next((entry.get("lladdr") for entry in entries), None)


def inside(node: Node, function: Callable[[], Any]) -> Any:
    """What `function` returns when it is called in this machine's network."""
    return run_in(node.ns, function)
