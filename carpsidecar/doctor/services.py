"""Addresses for Services of type LoadBalancer: whether this machine can have them, and close its ports there."""

from collections.abc import Iterator

from carpsidecar.doctor.findings import Finding, check, ok, problem, warning
from carpsidecar.doctor.kernel_settings import effective
from carpsidecar.doctor.machine import Machine
from carpsidecar.linux.fence import cannot_close_ports
from carpsidecar.linux.netlink import Netlink
from carpsidecar.linux.routes import IPVS_INTERFACE, network_of
from carpsidecar.pools import Pool


@check("pools")
def pools(machine: Machine) -> Iterator[Finding]:
    if machine.config.service_addresses is None:
        return
    netlink = Netlink()
    try:
        for pool in machine.config.service_addresses.pools:
            yield _pool(pool, machine.config.service_addresses.group(pool.ranges[0].first, 1).interface, netlink)
    finally:
        netlink.close()


def _pool(pool: Pool, given: str | None, netlink: Netlink) -> Finding:
    names = {name for link in netlink.links() for name in (link.name, *link.altnames)}
    ranges = ", ".join(map(str, pool.ranges))
    if given is not None:
        if given in names:
            return ok(f"{ranges} on {given}", about=pool.name)
        found, remedy = f"its interface {given} is not there", "see `ip link`; or other nodes for it"
        return warning(found, remedy, about=pool.name)
    outside = [one for one in pool.ranges if not all(network_of(netlink, ip) for ip in (one.first, one.last))]
    if outside:
        return warning(
            f"no network of this machine has {', '.join(map(str, outside))}: it takes no part for these",
            "give the pool an interface, or addresses of a network that the nodes are in",
            about=pool.name,
        )
    return ok(ranges, about=pool.name)


@check("node_ports")
def closed_ports(machine: Machine) -> Iterator[Finding]:
    services = machine.config.service_addresses
    if services is None or not services.closes_node_ports or "CAP_NET_ADMIN" in machine.lacking:
        return
    why = cannot_close_ports()
    if why:
        yield problem(
            f"ports of this machine can't be closed at the addresses of Services: {why}",
            "a kernel with nf_tables (ct, reject); or node_ports: open, where ssh and kubelet may be reached there",
        )
    else:
        yield ok("nftables can close this machine's ports there")


@check("ipvs")
def ipvs(machine: Machine) -> Iterator[Finding]:
    """kube-proxy has each Service's address on every node: all would answer for it."""
    if machine.config.service_addresses is None:
        return
    netlink = Netlink()
    try:
        links = netlink.links()
    finally:
        netlink.close()
    if all(link.name != IPVS_INTERFACE for link in links):
        return
    answers = effective("arp_ignore", IPVS_INTERFACE)
    if answers in (1, 2, 8):
        yield ok("in IPVS mode, and this machine answers only for what it holds")
    else:
        yield problem(
            "in IPVS mode without strictARP: every node answers for the address of every Service",
            "set ipvs.strictARP: true in the ConfigMap kube-proxy, and restart it; or use its nftables mode",
        )
