"""What follows from the pods and the node for the election, and for the page: pure functions."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from carpsidecar.reporter.cluster import PodView
from carpsidecar.reporter.kubernetes.desired import UNKNOWN
from carpsidecar.reporter.kubernetes.objects import ANNOTATIONS, ELECTED, ROLE_LABEL, Node, Pod

ADVSKEW_MAX = 254


class BadLabel(Exception):
    """A node label that can't be used."""


def unready_containers(own: Pod, container: str) -> list[str]:
    """The other containers of our pod that are not ready."""
    return sorted(name for name, ready in own.containers.items() if name != container and not ready)


def unready_workloads(pods: Iterable[Pod]) -> list[str]:
    """The workload pods of this node that are not ready, by their containers.

    The pods' own readiness is no measure: with our readiness gate it follows the election, which would follow it.
    A pod that is being deleted counts where no other one is there to take its place.
    """
    there = [pod for pod in pods if not pod.finished]
    staying = [pod for pod in there if not pod.leaving]
    return sorted(pod.name for pod in staying or there if pod.leaving or not _serves(pod))


def advskew(node: Node, label: str) -> int | None:
    """What the label says; None without it. Raises: BadLabel."""
    value = node.labels.get(label)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= 3 and int(value) <= ADVSKEW_MAX):
        raise BadLabel(
            f"node {node.name}: label {label} is {value!r}: give a whole number from 0 to {ADVSKEW_MAX}; it is"
            " ignored as long"
        )
    return int(value)


def peers(own: Pod, others: Iterable[Pod]) -> list[str]:
    """The host addresses of the other nodes, in order. One that is merely not ready is a peer all the same."""
    found: set[IPv4Address | IPv6Address] = set()
    for pod in others:
        if not pod.finished:
            found |= _addresses(pod)
    return [str(ip) for ip in sorted(found - _addresses(own), key=lambda ip: (ip.version, int(ip)))]


def view(pod: Pod, suffixes: Mapping[str, str]) -> PodView:
    """For the page."""
    first = next(iter(suffixes), "")
    roles = {
        label.removeprefix(f"{ROLE_LABEL}-") if label != ROLE_LABEL else first: role
        for label, role in sorted(pod.labels.items())
        if label == ROLE_LABEL or label.startswith(f"{ROLE_LABEL}-")
    }
    return PodView(
        name=pod.name,
        node=pod.node,
        roles=roles,
        reason=pod.annotations.get(f"{ANNOTATIONS}reason", ""),
        since=pod.annotations.get(f"{ANNOTATIONS}since", ""),
        ready=pod.ready,
        alive=_is_alive(pod),
    )


def _is_alive(pod: Pod) -> bool:
    if pod.phase != "Running" or UNKNOWN in pod.labels.values():
        return False
    # Where a node is lost, Kubernetes takes back the pod's readiness and leaves that of its containers.
    gated = any(condition.status != "True" for name, condition in pod.conditions.items() if name == ELECTED)
    return pod.ready or gated or not pod.containers_ready


def _serves(pod: Pod) -> bool:
    return bool(pod.containers) and all(pod.containers.values())


def _addresses(pod: Pod) -> set[IPv4Address | IPv6Address]:
    found: set[IPv4Address | IPv6Address] = set()
    for text in pod.host_ips:
        try:
            found.add(ip_address(text))
        except ValueError:
            continue
    return found
