"""The control socket: `carpsidecar status` and the commands of whoever is on call."""
