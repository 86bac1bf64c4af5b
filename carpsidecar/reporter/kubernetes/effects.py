"""What the cluster asks of the election: demotions, the advskew and the peers, as the picture shows them."""

from logging import INFO, WARNING

from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes import cluster
from carpsidecar.reporter.kubernetes.demands import DRAIN_DEMOTION, Demands
from carpsidecar.reporter.kubernetes.events import Events
from carpsidecar.reporter.kubernetes.objects import DRAIN_ANNOTATION
from carpsidecar.reporter.kubernetes.picture import Picture
from carpsidecar.reporter.kubernetes.rbac import workload_namespaces


class Effects:
    """While the API is away nothing in the picture changes, and so what was last asked stays."""

    def __init__(self, picture: Picture, demands: Demands, events: Events) -> None:
        self._picture = picture
        self._demands = demands
        self._events = events
        self._said = ""

    def apply(self) -> None:
        """Called with the lock held, after something in the picture has changed."""
        if self._picture.stopping:
            return
        self._drain()
        self._unready()
        self._node()
        own = self._picture.own
        if self._picture.settings.discover_peers and self._picture.kind_listed and own is not None:
            self._demands.peers(cluster.peers(own, self._picture.others))

    def _drain(self) -> None:
        own = self._picture.own
        if own is not None:
            asked = own.annotations.get(DRAIN_ANNOTATION, "").lower() == "true"
            self._demote("drain", DRAIN_DEMOTION if asked else 0, f"our pod has the annotation {DRAIN_ANNOTATION}")
            if own.leaving:
                # Which nobody can take back; the workload beside a native sidecar is told to stop before we are.
                self._demote("terminating", DRAIN_DEMOTION, "our pod is being deleted")

    def _unready(self) -> None:
        picture, settings = self._picture, self._picture.settings
        own = picture.own
        if not settings.unready_demotion or own is None or not own.containers:
            return
        if picture.workloads_listed < set(workload_namespaces(settings)):
            return
        unready = [f"container {name}" for name in cluster.unready_containers(own, settings.container_name)]
        workloads = [pod for pod in picture.workloads if picture.kind.get((pod.namespace, pod.name)) is None]
        unready += [f"pod {name}" for name in cluster.unready_workloads(workloads)]
        self._demote("unready", settings.unready_demotion if unready else 0, f"not ready: {', '.join(unready)}")

    def _node(self) -> None:
        node, settings = self._picture.node, self._picture.settings
        if node is None:
            return
        if settings.cordon_demotion:
            amount = settings.cordon_demotion if node.unschedulable else 0
            self._demote("cordon", amount, f"node {node.name} is cordoned")
        if settings.advskew_label:
            try:
                self._demands.advskew(cluster.advskew(node, settings.advskew_label))
            except cluster.BadLabel as error:
                self._demands.advskew(None)
                if self._said != str(error):
                    self._said = str(error)
                    log(WARNING, "bad_setting", str(error))
                    self._events.say("CarpBadSetting", str(error))
            else:
                self._said = ""

    def _demote(self, cause: str, amount: int, why: str) -> None:
        if not self._demands.demote(cause, amount):
            return
        if amount:
            log(WARNING, "demoted", f"demoted by {amount}: {why}", cause=cause)
            self._events.say("CarpDemoted", f"demoted by {amount}: {why}")
        else:
            log(INFO, "demotion_over", f"no longer demoted for {cause}", cause=cause)
