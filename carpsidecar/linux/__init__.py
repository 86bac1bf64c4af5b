"""This node's kernel: raw sockets, addresses as leases, announcements, links. Knows nothing of CARP's election."""
