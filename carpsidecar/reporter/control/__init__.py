"""The control socket: `carpsidecar status` and an operator's commands."""
