"""Binds the protocol to this node's kernel: groups, interfaces, timers, hooks, signals, the pipe."""
