"""The switch: one bridge a segment in a namespace of its own, and the frames it loses on purpose."""

from dataclasses import dataclass

from carpsidecar.lab.commands import ip_batch, run
from carpsidecar.lab.namespace import run_in

SEGMENTS = 2

# Ports get high interface numbers: the kernel delays carrier events by up to a second where both ends of a veth
# happen to bear the same number.
_FIRST_PORT_NUMBER = 1000


@dataclass(frozen=True)
class Loss:
    """What the switch drops of a port's frames, in per cent: those the node sent, those it should get."""

    outgoing_percent: float = 0.0
    incoming_percent: float = 0.0


class Switch:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._losses: dict[str, Loss] = {}
        self._port_numbers: dict[str, int] = {}

    def create(self) -> None:
        ip_batch([f"netns add {self.namespace}"])
        # The switch itself says nothing on the wire.
        run_in(self.namespace, lambda: write_sysctl("ipv6/conf/default/disable_ipv6", 1))
        bridges = [
            line
            for segment in range(SEGMENTS)
            for line in (f"link add br{segment} type bridge mcast_snooping 0", f"link set br{segment} up")
        ]
        ip_batch(bridges, namespace=self.namespace)

    def connect(self, port: str, segment: int, node_namespace: str, interface: str, mac: str) -> None:
        """Lay a cable from a new port to a new interface of the node."""
        number = self._port_numbers.setdefault(port, _FIRST_PORT_NUMBER + len(self._port_numbers))
        peer = f"peer name {interface} address {mac} netns {node_namespace}"
        ip_batch(
            [f"link add {port} index {number} type veth {peer}", f"link set {port} master br{segment} up"],
            namespace=self.namespace,
        )

    def disconnect(self, port: str) -> None:
        """Take the cable away, and with it the node's interface."""
        ip_batch([f"link del {port}"], namespace=self.namespace)

    def set_port(self, port: str, *, up: bool) -> None:
        ip_batch([f"link set {port} {'up' if up else 'down'}"], namespace=self.namespace)

    def lose(self, port: str, loss: Loss) -> None:
        """From now on drop these frames: all ports' rules are replaced in one transaction."""
        self._losses[port] = loss
        from_nodes, to_nodes = [], []
        for name, lost in self._losses.items():
            from_nodes += _rule(f'iifname "{name}"', lost.outgoing_percent)
            to_nodes += _rule(f'oifname "{name}"', lost.incoming_percent)
        ruleset = [
            "table bridge lab",
            "delete table bridge lab",
            "table bridge lab {",
            "chain from_nodes { type filter hook prerouting priority 0; policy accept;",
            *from_nodes,
            "}",
            "chain to_nodes { type filter hook postrouting priority 0; policy accept;",
            *to_nodes,
            "}",
            "}",
        ]
        run(["nft", "-f", "-"], namespace=self.namespace, stdin="\n".join(ruleset) + "\n")

    def loss(self, port: str) -> Loss:
        return self._losses.get(port, Loss())


def write_sysctl(name: str, value: int) -> None:
    """Set net.<name> of the namespace that the calling thread is in."""
    with open(f"/proc/sys/net/{name}", "w") as file:  # noqa: PTH123
        file.write(f"{value}\n")


def _rule(match: str, percent: float) -> list[str]:
    if percent <= 0:
        return []
    if percent >= 100:
        return [f"{match} drop"]
    return [f"{match} numgen random mod 10000 < {round(percent * 100)} drop"]
