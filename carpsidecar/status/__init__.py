"""What a node knows: one model of it, what builds it, and the clients of the control socket that serves it."""
