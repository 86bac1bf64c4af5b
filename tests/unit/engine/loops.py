"""A real event loop that runs until something has come true."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from carpsidecar.config.group import Destination, GroupConfig, Hooks
from carpsidecar.config.passphrase import Passphrase
from carpsidecar.protocol.packet import CARP_GROUP_IPV4
from tests.support.waits import SOON_S

_LOOK_EVERY_S = 0.002


class Loop:
    def __init__(self) -> None:
        self.asyncio = asyncio.new_event_loop()

    def until(self, wanted: Callable[[], bool], within_s: float = SOON_S) -> None:
        """Run until this is true, which must be soon."""

        async def watch() -> None:
            while not wanted():
                await asyncio.sleep(_LOOK_EVERY_S)

        self.asyncio.run_until_complete(asyncio.wait_for(watch(), within_s))

    def a_while(self, seconds: float = 0.05) -> None:
        """Run for so long, to see that nothing happens."""
        self.asyncio.run_until_complete(asyncio.sleep(seconds))

    def close(self) -> None:
        self.asyncio.close()


def group_config(
    *addresses: str, hooks: Hooks | None = None, name: str = "web", holds_addresses: bool = True
) -> GroupConfig:
    vips: tuple[IPv4Interface | IPv6Interface, ...] = tuple(map(ip_interface, addresses or ("192.0.2.100",)))
    return GroupConfig(
        name=name,
        addresses=vips,
        vhid=42,
        passphrase=Passphrase(b"secret"),
        destination=Destination((ip_address(CARP_GROUP_IPV4),)),
        interface="eth7",
        hooks=hooks or Hooks(),
        holds_addresses=holds_addresses,
    )
