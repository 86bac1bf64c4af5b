"""Events about Services."""

from carpsidecar.reporter.kubernetes.recorder import About, EventReason
from carpsidecar.reporter.kubernetes.services import allocation
from carpsidecar.reporter.kubernetes.services.objects import Service

REASONS: dict[str, EventReason] = {
    allocation.ASSIGNED: "CarpAssigned",
    allocation.NO_ADDRESS_LEFT: "CarpNoAddressLeft",
    allocation.ADDRESS_TAKEN: "CarpAddressTaken",
    allocation.NOT_ASKED: "CarpAddressTaken",
    allocation.BAD_REQUEST: "CarpBadRequest",
    allocation.POOL_GONE: "CarpPoolGone",
    allocation.NO_LONGER_FITS: "CarpPoolGone",
}
"""By the condition's reason; where it is over before anybody could do something about it, there is none."""


def about(service: Service) -> About:
    return About("Service", service.namespace, service.name, service.uid)
