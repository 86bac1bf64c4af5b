"""What is looked at before a group starts: its interface, a second engine, a former run's addresses, its own."""

from collections.abc import Collection, Iterable
from logging import WARNING

from msgspec.structs import replace

from carpsidecar import drained
from carpsidecar.config.group import GroupConfig
from carpsidecar.config.schema import ConfigError
from carpsidecar.config.sources import Config
from carpsidecar.ipc.messages import SetDemotion
from carpsidecar.linux.instance_lock import AlreadyLocked, InstanceLock, holders
from carpsidecar.linux.lease import left_over, take_off
from carpsidecar.linux.netlink import Netlink
from carpsidecar.linux.routes import interface_for
from carpsidecar.logs import in_words, log


class StartError(Exception):
    """What keeps the engine from starting: one line that says what was found, and what to do."""


def lock_instance(interface: str, vhid: int, other_names: Iterable[str] = ()) -> InstanceLock:
    """
    Args:
        other_names: of the interface. Who started before it was there locked the name that he was given.

    Raises:
        StartError: another process serves the group.
    """
    try:
        if any(holders(name, vhid) for name in other_names):
            raise AlreadyLocked
        return InstanceLock(interface, vhid)
    except AlreadyLocked:
        raise StartError(
            f"vhid {vhid} on {interface}: another carpsidecar serves it on this machine: stop that one first"
        ) from None
    except OSError as error:
        raise StartError(f"vhid {vhid} on {interface}: {in_words(error)}") from None


def resolve_interfaces(netlink: Netlink, config: Config) -> tuple[list[GroupConfig], dict[str, str]]:
    """The groups with their interfaces as the kernel names them; where none is given, that of the route to the
    first address.

    Returns:
        Those, and of each group that has no such route yet, by name, what it waits for.

    Raises:
        ConfigError: two groups have one vhid on one interface.
    """
    resolved, waiting = [], {}
    names = {other: link.name for link in netlink.links() for other in link.altnames}
    for group in config.groups:
        if group.interface is not None:
            resolved.append(replace(group, interface=names.get(group.interface, group.interface)))
        elif (link := interface_for(netlink, group.addresses[0].ip)) is not None:
            resolved.append(replace(group, interface=link.name))
        else:
            waiting[group.name] = (
                f"interface: none is given, and no network of this machine has {group.addresses[0].ip} yet:"
                " bring that up, or give it, for example --interface eth0"
            )
    seen = set()
    for group in resolved:
        if (group.interface, group.vhid) in seen:
            raise ConfigError(f"vhid: {group.vhid} is given to two groups on {group.interface}: give each its own")
        seen.add((group.interface, group.vhid))
    return resolved, waiting


def take_off_left_over(netlink: Netlink, config: GroupConfig) -> bool:
    """Take off the addresses that a former run left; whether there were any.

    Raises:
        ConfigError: one of them is this machine's own.
        OSError: the kernel refuses.
    """
    if not config.holds_addresses:
        return False
    held = left_over(netlink, [address.ip for address in config.addresses])
    for address in held:
        if not address.leased:
            own = address.interface
            where = next((link.name for link in netlink.links() if link.index == address.index), "?")
            raise ConfigError(
                f"vip: {own.ip} is this machine's own address: give one that no machine has,"
                f" or, if ucarp or the like left it here, take it off: ip address del {own} dev {where}"
            )
    if held:
        take_off(netlink, held)
        names = ", ".join(str(address.interface.ip) for address in held)
        log(WARNING, "left_over", f"a former run left {names}: taken off", group=config.name)
    return bool(held)


def drained_before(group: str, *, of_services: bool = False, unwritten: Collection[str] = ()) -> SetDemotion | None:
    """The demotion by an operator that has outlived the engine before this one; None where there is none.

    Args:
        unwritten: files that this engine is about to write, or to remove: it knows better.
    """
    names = [name for name in (group, *([drained.NODE] if of_services else [])) if name not in unwritten]
    try:
        why = next((text for name in names if (text := drained.reason(name)) is not None), None)
    except OSError as error:
        log(WARNING, "drain_unclear", f"taken for drained: {in_words(error)}", group=group)
        why = ""
    if why is None:
        return None
    return SetDemotion(cause=drained.CAUSE, amount=drained.DEMOTION, group=group, bow_out=True, text=why)
