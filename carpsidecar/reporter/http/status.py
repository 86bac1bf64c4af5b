"""`/status.json`: what this node knows, and the metrics' counters with their meaning. See docs/metrics.md."""

import msgspec
from msgspec import Struct, structs
from prometheus_client.registry import Collector

from carpsidecar.status.builder import StatusBuilder
from carpsidecar.status.model import NodeStatus


class Count(Struct, frozen=True):
    """A counter that is not zero, as in the metrics."""

    name: str
    labels: dict[str, str]
    value: float
    meaning: str


class PageStatus(NodeStatus, kw_only=True, frozen=True):
    """All that the page shows."""

    metrics: list[Count]


def render(builder: StatusBuilder, metrics: Collector) -> bytes:
    counts = [
        Count(sample.name, sample.labels, sample.value, metric.documentation)
        for metric in metrics.collect()
        if metric.type == "counter"
        for sample in metric.samples
        if sample.value
    ]
    return msgspec.json.encode(PageStatus(**structs.asdict(builder.build()), metrics=counts))
