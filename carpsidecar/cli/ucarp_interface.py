"""Which interface the drop-in works on. ucarp does not wait for one that is not there or switched off."""

import fcntl
import socket
import struct
from ipaddress import IPv4Address

from carpsidecar.linux.netlink import Netlink

_SIOCGIFFLAGS = 0x8913
_IFF_UP = 1
_NAME_MAX = 15


def find_interface(source: IPv4Address) -> str | None:
    """The interface that holds the source address, else the first that is up, and never the loopback."""
    netlink = Netlink()
    try:
        links = {link.index: link for link in netlink.links() if not link.loopback}
        for held in netlink.addresses():
            if held.interface.ip == source and held.index in links:
                return links[held.index].name
        return next((link.name for link in links.values() if link.up), None)
    finally:
        netlink.close()


def why_unusable(interface: str) -> str | None:
    """What keeps us from working on an interface of that name, or None."""
    name = interface.encode("utf-8", "surrogateescape")
    if len(name) > _NAME_MAX:
        return f"{interface!r} is longer than the {_NAME_MAX} bytes that the name of an interface may have"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH14x", name, 0))
        except OSError as error:
            return f"there is no interface {interface!r} ({error.strerror}): give -i one that `ip link` shows"
    flags: int = struct.unpack("16xH14x", answer)[0]
    return None if flags & _IFF_UP else f"interface {interface!r} is down: ip link set {interface} up"
