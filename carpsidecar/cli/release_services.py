"""`carpsidecar release-services CLASS`: what Helm runs last where Services get no addresses any more.

In a pod of its own, when the release is uninstalled or `loadBalancer` is switched off. Takes the addresses, and all
else of ours, off the Services of this class. Exit status 1 if that could not be done within 60 seconds.
"""

import time
from collections.abc import Sequence

from carpsidecar.cli.errors import FAILED, MISUSED, complain

PATIENCE_S = 60.0
PAUSE_S = 1.0
CHANGED_MEANWHILE = (404, 409)


def main(argv: Sequence[str]) -> int:
    if len(argv) != 1:
        complain("release-services: give a load balancer class; the chart's hook does")
        return MISUSED
    [class_] = argv
    until = time.monotonic() + PATIENCE_S
    while problem := _release(class_):
        if time.monotonic() >= until:
            complain(problem)
            return FAILED
        time.sleep(PAUSE_S)
    print(f"no Service has an address of {class_} any more")
    return 0


def _release(class_: str) -> str:
    """What keeps us from it; empty when it is done."""
    # Here, since only this command needs them.
    from carpsidecar.reporter.kubernetes.client import Api, ApiError, Timing
    from carpsidecar.reporter.kubernetes.credentials import SERVICE_ACCOUNT
    from carpsidecar.reporter.kubernetes.services.holdings import is_marked
    from carpsidecar.reporter.kubernetes.services.outcome import Outcome, patch
    from carpsidecar.reporter.kubernetes.services.requests import list_services, patch_status
    from carpsidecar.status.stats import ApiStats

    stats, changed = ApiStats(), ""
    api = Api("", stats, Timing(), service_account=SERVICE_ACCOUNT)
    try:
        for service in list_services(api):
            if is_marked(service, class_):
                try:
                    patch_status(api, stats, service, patch(service, Outcome({}, None, class_), ""), PATIENCE_S)
                except ApiError as error:
                    if error.status not in CHANGED_MEANWHILE:
                        raise
                    changed = str(error)
                else:
                    print(f"{service}: its addresses are taken off")
    except ApiError as error:
        return str(error)
    finally:
        api.close()
    return changed
