"""A node's network card with its cable, and what can happen to them."""

import dataclasses
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from carpsidecar.lab.commands import ip_batch
from carpsidecar.lab.switch import Loss, Switch

_NETWORKS = (
    (IPv4Network("10.99.0.0/24"), IPv6Network("fd99::/64")),
    (IPv4Network("10.98.0.0/24"), IPv6Network("fd98::/64")),
)


class Link:
    """Interface eth<segment> of the node with this number, cabled to bridge br<segment>."""

    def __init__(self, switch: Switch, namespace: str, node_name: str, number: int, segment: int) -> None:
        network, network6 = _NETWORKS[segment]
        self.interface = f"eth{segment}"
        self.port = f"p-{node_name}" if segment == 0 else f"p{segment}-{node_name}"
        self.address: IPv4Address = network[number]
        self.address6: IPv6Address = network6[number]
        self._prefixes = (network.prefixlen, network6.prefixlen)
        # The same card each time it is made, so that the link-local address stays, too.
        self.mac = bytes((0x02, 0xCA, 0, 0, segment, number))
        self._switch = switch
        self._namespace = namespace
        self._segment = segment

    def create(self) -> None:
        self._switch.connect(self.port, self._segment, self._namespace, self.interface, self.mac.hex(":"))
        prefix, prefix6 = self._prefixes
        ip_batch(
            [
                f"addr add {self.address}/{prefix} brd + dev {self.interface}",
                f"addr add {self.address6}/{prefix6} dev {self.interface} nodad",
                f"link set {self.interface} up",
            ],
            namespace=self._namespace,
        )

    def delete(self) -> None:
        self._switch.disconnect(self.port)

    def pull_cable(self) -> None:
        self._switch.set_port(self.port, up=False)

    def plug_cable(self) -> None:
        self._switch.set_port(self.port, up=True)

    def lose(self, *, incoming_percent: float | None = None, outgoing_percent: float | None = None) -> None:
        """Change the share of frames that are lost in the directions given; the other direction stays as it is."""
        loss: Loss = self._switch.loss(self.port)
        if incoming_percent is not None:
            loss = dataclasses.replace(loss, incoming_percent=incoming_percent)
        if outgoing_percent is not None:
            loss = dataclasses.replace(loss, outgoing_percent=outgoing_percent)
        self._switch.lose(self.port, loss)
