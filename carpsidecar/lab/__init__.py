"""The lab: virtual machines in network namespaces, their network, their faults, and what is seen from outside.

Nothing is imported here, so that the small programs that run inside the nodes start fast.
"""
