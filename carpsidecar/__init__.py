"""carpsidecar floats an IP address over machines: CARP, wire-compatible with ucarp and the BSDs."""

__version__ = "0.1.0"
