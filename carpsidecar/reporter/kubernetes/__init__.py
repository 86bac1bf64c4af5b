"""The cluster's side of the reporter: labels, conditions and events out; demotions, peers and the advskew in."""

from carpsidecar.reporter.kubernetes.controller import KubernetesReporter

__all__ = ["KubernetesReporter"]
