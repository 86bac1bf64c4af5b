"""`carpsidecar one-master NAMESPACE SELECTOR GROUPS [SECONDS]`: what `helm test` runs, in a pod of its own.

Waits until Kubernetes' API shows exactly one elected pod a group among those that match the selector, and prints
what it finds. Exit status 1 if that is not so within the seconds (60).
"""

import time
from collections.abc import Mapping, Sequence

from carpsidecar.cli.errors import FAILED, MISUSED, complain

PATIENCE_S = 60.0
PAUSE_S = 1.0


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
    from carpsidecar.reporter.kubernetes.objects import ELECTED, ROLE_LABEL, BadObject, read_page, read_pod
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
    return seen, problems


def _roles(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{label}={role}" for label, role in sorted(labels.items()))
