"""Two nodes and a tap."""

from tests.support.segment import lab, node, peer, tap

__all__ = ["lab", "node", "peer", "tap"]
