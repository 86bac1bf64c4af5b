"""The engines' links and addresses as this machine's kernel has them, and where the two differ."""

from collections.abc import Iterable
from contextlib import closing
from ipaddress import ip_address

from msgspec.structs import replace

from carpsidecar.linux.netlink import HeldAddress, Link, Netlink
from carpsidecar.linux.network_namespace import network_namespace
from carpsidecar.status.model import GroupStatus, KernelView, NodeStatus


def with_kernel_view(engines: Iterable[NodeStatus]) -> list[NodeStatus]:
    """Each group with what the kernel has of it, and what does not fit.

    An engine in another network namespace is left as it is.

    Raises:
        OSError: the kernel does not list its links and addresses.
    """
    with closing(Netlink()) as netlink:
        links = {name: link for link in netlink.links() for name in (link.name, *link.altnames)}
        addresses = netlink.addresses()
    # Not by the process: that is of no use in a container, which does not see the other one's.
    ours = (0, network_namespace())
    return [
        replace(engine, groups=[_compared(group, links, addresses) for group in engine.groups])
        if engine.network in ours
        else engine
        for engine in engines
    ]


def _compared(group: GroupStatus, links: dict[str, Link], addresses: list[HeldAddress]) -> GroupStatus:
    link = links.get(group.interface)
    held: dict[str, float | None] = {}
    if link is not None:
        there = {own.interface.ip: own.valid_s for own in addresses if own.index == link.index}
        held = {text: there[ip_address(text)] for text in group.addresses if ip_address(text) in there}
    view = KernelView(link="absent" if link is None else "up" if link.up else "down", held=held)
    return replace(group, kernel=view, problems=[*group.problems, *_problems(group, view)])


def _problems(group: GroupStatus, view: KernelView) -> Iterable[str]:
    if group.role == "master":
        missing = [address for address in group.addresses if address not in view.held]
        if missing:
            yield f"master, but the kernel does not have {', '.join(missing)}"
    elif view.held:
        yield f"{group.role}, but the kernel has {', '.join(view.held)}"
    if group.link != (view.link == "up"):
        known = "up" if group.link else "down"
        yield f"the engine knows the link of {group.interface} as {known}, the kernel has it as {view.link}"
