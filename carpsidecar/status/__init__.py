"""The control socket: what is said over it, and its clients. The other end: `carpsidecar.reporter.control`."""
