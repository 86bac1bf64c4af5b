"""`carpsidecar unmark SELECTOR NAMESPACE...`: what `helm uninstall` runs last, in a pod of its own.

Takes the role off the pods that match the selector. The DaemonSet's pods do that at their end, but Helm has taken
their rights away by then. Exit status 1 if some pods could not be reached within 60 seconds.
"""

import time
from collections.abc import Sequence

from carpsidecar.cli.errors import FAILED, MISUSED, complain

PATIENCE_S = 60.0
PAUSE_S = 1.0
BAD_REQUEST = 400


def main(argv: Sequence[str]) -> int:
    selector, *namespaces = argv or [""]
    if not selector or not namespaces:
        complain("unmark: give a label selector and namespaces; the chart's hook does")
        return MISUSED
    until = time.monotonic() + PATIENCE_S
    while problems := [problem for namespace in namespaces if (problem := _unmark(namespace, selector))]:
        if time.monotonic() >= until:
            for problem in problems:
                complain(problem)
            return FAILED
        time.sleep(PAUSE_S)
    print(f"no pod with {selector} in {', '.join(namespaces)} carries a role any more")
    return 0


def _unmark(namespace: str, selector: str) -> str:
    """What keeps us from it; empty when it is done."""
    # Here, since only this command needs them.
    from carpsidecar.reporter.kubernetes.client import Api, ApiError, Timing
    from carpsidecar.reporter.kubernetes.credentials import SERVICE_ACCOUNT
    from carpsidecar.reporter.kubernetes.objects import ROLE_LABEL
    from carpsidecar.reporter.kubernetes.pod_status import NO_STATUS
    from carpsidecar.reporter.kubernetes.pods import apply, list_pods
    from carpsidecar.status.stats import ApiStats

    stats = ApiStats()
    api = Api("", stats, Timing(), service_account=SERVICE_ACCOUNT)
    try:
        # A list is one page; what is done is not on the next one.
        while pods := list_pods(api, namespace, {"labelSelector": f"{selector},{ROLE_LABEL}"}):
            for pod in pods:
                apply(api, stats, pod, NO_STATUS)
                print(f"{namespace}/{pod.name}: its role is taken off")
    except ApiError as error:
        if error.status != BAD_REQUEST:
            return str(error)
        # A malformed selector: it never selected anything.
        print(error)
    finally:
        api.close()
    return ""
