"""At most one pod is labelled master, at each moment of many hand-overs and node losses, and soon."""

import statistics
import time

import pytest

from tests.cluster.harness import NAMESPACE, Cluster
from tests.cluster.labels import LabelWatch
from tests.cluster.measure import record

HANDOVERS = 100
LOSSES = 20
GAP_S = 0.25
"""So long no pod may be labelled, beyond the outage itself, in which the former master is."""
LABEL_S = 0.15
"""From a transition to its label, in the median."""


def warnings(cluster: Cluster) -> list[str]:
    events = cluster.get("events.events.k8s.io", "-n", NAMESPACE)
    carp = [event for event in events if event.get("reportingController", "").startswith("carpsidecar.io")]
    return [f"{event['reason']}: {event['note']}" for event in carp if event["type"] == "Warning"]


@pytest.mark.timeout(1200)
def test_a_hundred_hand_overs(installed: Cluster) -> None:
    installed.wait_for_rollout()
    installed.kubectl("delete", "events", "-n", NAMESPACE, "--all")
    since_s = time.time()
    with LabelWatch() as labels:
        labels.late_s.clear()
        for _ in range(HANDOVERS):
            master = labels.wait_for_master(lambda masters: len(masters) == 1)
            installed.kubectl("exec", "-n", NAMESPACE, master, "--", "carpsidecar", "step-down")
            labels.wait_for_master(lambda masters, was=master: len(masters) == 1 and was not in masters)  # type: ignore[misc]
        record(
            "a hundred hand-overs",
            most_labelled=labels.most,
            longest_without=labels.longest_without_s(since_s),
            transition_to_label_median=statistics.median(labels.late_s),
            transition_to_label_most=max(labels.late_s),
        )
    assert labels.most == 1
    assert labels.longest_without_s(since_s) < GAP_S, labels.around_longest_without(since_s)
    assert statistics.median(labels.late_s) < LABEL_S
    assert warnings(installed) == []


@pytest.mark.timeout(1200)
def test_twenty_node_losses(installed: Cluster) -> None:
    installed.wait_for_rollout()
    since_s = time.time()
    with LabelWatch() as labels:
        labels.late_s.clear()
        for _ in range(LOSSES):
            node = installed.wait_for_one_master(120)
            master = labels.wait_for_master(lambda masters: len(masters) == 1)
            installed.nodes[node].cut_off()
            try:
                labels.wait_for_master(lambda masters, was=master: len(masters) == 1 and was not in masters)  # type: ignore[misc]
            finally:
                installed.nodes[node].rejoin()
        installed.wait_for_one_master(120)
        record(
            "twenty node losses",
            most_labelled=labels.most,
            longest_without=labels.longest_without_s(since_s),
            transition_to_label_median=statistics.median(labels.late_s),
            transition_to_label_most=max(labels.late_s),
        )
    assert labels.most == 1
    assert labels.longest_without_s(since_s) < GAP_S, labels.around_longest_without(since_s)
    assert statistics.median(labels.late_s) < LABEL_S
