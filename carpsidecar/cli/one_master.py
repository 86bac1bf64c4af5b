"""`carpsidecar one-master NAMESPACE SELECTOR GROUPS [SECONDS]`: what `helm test` runs, in a pod of its own.

Waits until Kubernetes' API shows exactly one elected pod a group among those that match the selector, and prints
what it finds. Exit status 1 if that is not so within the seconds (60).
"""

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from carpsidecar.cli.errors import FAILED, MISUSED, complain

PATIENCE_S = 60.0
PAUSE_S = 1.0
_DISCARD = 9
_ARP_S = 0.5
_ARP_TABLE = "/proc/net/arp"
_COMPLETE = 2
"""ATF_COM of linux/if_arp.h."""


def main(argv: Sequence[str]) -> int:
    try:
        namespace, selector, groups, *patience = argv
        wanted, patience_s = int(groups), float(patience.pop()) if patience else PATIENCE_S
    except (ValueError, TypeError):
        complain("one-master: give a namespace, a label selector and the number of groups; the chart's test does")
        return MISUSED
    until = time.monotonic() + patience_s
    while True:
        seen, problems = _query(namespace, selector, wanted)
        if not problems or time.monotonic() >= until:
            break
        time.sleep(PAUSE_S)
    for line in seen:
        print(line)
    for problem in problems:
        complain(problem)
    if problems:
        return FAILED
    print("each group has exactly one master")
    return 0


def _query(namespace: str, selector: str, wanted: int) -> tuple[list[str], list[str]]:
    """The roles of each pod, and what is not as it should be."""
    # Here, since only this command needs them.
    from carpsidecar.reporter.kubernetes.client import Api, ApiError, Request, Timing
    from carpsidecar.reporter.kubernetes.credentials import SERVICE_ACCOUNT
    from carpsidecar.reporter.kubernetes.objects import (
        ANNOTATIONS,
        ELECTED,
        ROLE_LABEL,
        BadObject,
        read_page,
        read_pod,
    )
    from carpsidecar.reporter.kubernetes.rbac import list_pods
    from carpsidecar.status.stats import ApiStats

    path = f"/api/v1/namespaces/{namespace}/pods"
    request = Request("GET", path, list_pods(namespace), query={"labelSelector": selector})
    api = Api("", ApiStats(), Timing(), service_account=SERVICE_ACCOUNT)
    try:
        pods = [read_pod(item) for item in read_page(api.call(request)).items]
    except (ApiError, BadObject) as error:
        return [], [str(error)]
    pods = [pod for pod in pods if not pod.leaving]
    if not pods:
        return [], [f"no pods match {selector} in {namespace}: may they use the hosts' network there?"]
    seen = [f"{pod.name} on {pod.node}: {_roles(pod.labels) or 'no role yet'}" for pod in pods]
    problems = []
    masters: dict[str, list[str]] = {}
    for pod in pods:
        for label, role in pod.labels.items():
            names = masters.setdefault(label, [])
            if role == "master":
                names.append(pod.name)
        condition = pod.conditions.get(ELECTED)
        if pod.labels.get(ROLE_LABEL) == "master" and (condition is None or condition.status != "True"):
            problems.append(f"{pod.name}: it is master, but its condition {ELECTED} is not True")
    if len(masters) != wanted:
        problems.append(f"{len(masters)} of {wanted} groups are seen")
    for label, names in masters.items():
        if len(names) != 1:
            problems.append(f"{label}: {len(names)} masters, not one{': ' if names else ''}{', '.join(names)}")
    for pod in pods:
        for name, addresses in pod.annotations.items():
            suffix = name.removeprefix(f"{ANNOTATIONS}addresses")
            if suffix != name and pod.labels.get(f"{ROLE_LABEL}{suffix}") == "master" and pod.host_ips:
                for address in addresses.split(","):
                    answer, is_problem = _who_answers(address, pod.host_ips[0], pod.node)
                    (problems if is_problem else seen).append(answer)
    return seen, problems


def _who_answers(address: str, host: str, node: str, table: str = _ARP_TABLE) -> tuple[str, bool]:
    """What the network tells of an address that this node is to hold, and whether that is a problem."""
    if ":" in address or _is_here(address):
        return f"{address}: can't be asked for from here", False
    expected = _mac_of(host, table) if not _is_here(host) else None
    found = _mac_of(address, table)
    if found == "":
        return f"{address}: nobody answers for it on this node's network", True
    if found is None or not expected:
        return f"{address}: not in this node's own network: it can't be asked for from here", False
    if found != expected:
        return f"{address}: {found} answers for it, and {node}, which is master, is {expected}", True
    return f"{address}: {found} answers for it, which is {node}", False


def _is_here(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.bind((address, 0))
        except OSError:
            return False
    return True


def _mac_of(address: str, table: str) -> str | None:
    """By the kernel's ARP, which a datagram sets off; empty where nobody answers, None where it has no need to ask.

    Source: proc(5), /proc/net/arp.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.sendto(b"", (address, _DISCARD))
        except OSError:
            return None
    time.sleep(_ARP_S)
    for line in Path(table).read_text().splitlines()[1:]:
        ip, _, flags, mac, *_ = line.split()
        if ip == address:
            return mac if int(flags, 16) & _COMPLETE else ""
    return None


def _roles(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{label}={role}" for label, role in sorted(labels.items()))
