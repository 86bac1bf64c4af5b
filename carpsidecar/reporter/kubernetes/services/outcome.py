"""What a Service is to have, and what brings it there. Pure functions."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from carpsidecar.reporter.kubernetes.objects import Condition
from carpsidecar.reporter.kubernetes.services.holdings import allocation_of, is_marked
from carpsidecar.reporter.kubernetes.services.objects import ALLOCATED, ALLOCATION, CLASS, HELD, NODE, Service


class Outcome(Struct, frozen=True):
    """What a Service is to have: addresses with their vhids, and the condition; None where it is not ours."""

    addresses: Mapping[str, int | None]
    """An address that it has is kept without a vhid where none is left, and not served."""
    condition: Condition | None
    class_: str
    """Of the installation."""
    new: tuple[str, ...] = ()
    """Those that nobody had: they are asked for on the network before they are given."""


def is_done(service: Service, outcome: Outcome) -> bool:
    """Whether the Service says so already."""
    if outcome.condition is None:
        return not is_marked(service, outcome.class_)
    return (
        service.ingress == tuple(outcome.addresses)
        and is_marked(service, outcome.class_)
        and allocation_of(service, outcome.class_) == _with_vhid(outcome)
        and service.conditions.get(ALLOCATED) == outcome.condition
    )


def patch(service: Service, outcome: Outcome, now: str) -> dict[str, object]:
    """A strategic merge patch of the status subresource, which holds for this version of the Service only."""
    annotations: dict[str, str | None] = {}
    if outcome.condition is None:
        ours = allocation_of(service, outcome.class_)
        left = [ip for ip in service.ingress if ip not in ours]
        annotations = {ALLOCATION: None, CLASS: None, NODE: None}
        conditions = [{"type": name, "$patch": "delete"} for name in service.conditions]
    else:
        left = list(outcome.addresses)
        text = msgspec.json.encode(_with_vhid(outcome)).decode()
        annotations = {ALLOCATION: text if outcome.addresses else None, CLASS: outcome.class_}
        before, after = service.conditions.get(ALLOCATED), outcome.condition
        entry = {"type": ALLOCATED, "status": after.status, "reason": after.reason, "message": after.message}
        if before is None or before.status != after.status:
            entry["lastTransitionTime"] = now
        conditions = [entry]
        if not outcome.addresses and HELD in service.conditions:
            conditions.append({"type": HELD, "$patch": "delete"})
            annotations[NODE] = None
    return {
        "metadata": {"resourceVersion": service.version, "uid": service.uid, "annotations": annotations},
        "status": {
            "loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in left] or None},
            "conditions": conditions,
        },
    }


def _with_vhid(outcome: Outcome) -> dict[str, int]:
    return {ip: vhid for ip, vhid in outcome.addresses.items() if vhid is not None}
