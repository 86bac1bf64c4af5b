"""The same lab as for the process."""

from tests.network.process.conftest import lab, node, peer, tap

__all__ = ["lab", "node", "peer", "tap"]
