"""The address that the server listens on, and the names under which a browser may ask for it."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec import Struct


class Listen(Struct, frozen=True):
    ip: IPv4Address | IPv6Address
    port: int

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """Read `192.0.2.11:9112` or `[2001:db8::11]:9112`.

        Raises:
            ValueError: it is something else.
        """
        host, _, port = text.rpartition(":")
        brackets = host.startswith("[") and host.endswith("]")
        try:
            ip, number = ip_address(host[1:-1] if brackets else host), int(port)
        except ValueError:
            ip, number = ip_address(0), -1
        if not 0 <= number < 1 << 16 or (ip.version == 6) is not brackets:
            raise ValueError(f"{text!r} is not address:port, such as 127.0.0.1:9112 or [::1]:9112")
        return cls(ip, number)

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"

    def socket(self) -> socket.socket:
        """Open it; `::` takes IPv4 too.

        Raises:
            OSError: the address is not ours, or somebody else has the port.
        """
        family = socket.AF_INET6 if self.ip.version == 6 else socket.AF_INET
        both = self.ip == IPv6Address("::")
        return socket.create_server(
            (str(self.ip), self.port),
            family=family,
            dualstack_ipv6=both and socket.has_dualstack_ipv6(),
        )

    def serves(self, host: str | None) -> bool:
        """Whether a request for this Host is meant for us.

        Who listens on loopback is there for this machine alone. A web page from elsewhere that has its own name
        resolve to 127.0.0.1 makes a browser on this machine ask for us under that name (DNS rebinding).
        """
        if not self.ip.is_loopback or host is None:
            return True
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name.lower().rstrip(".") == "localhost":
            return True
        try:
            return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
        except ValueError:
            return False
