"""Services of type LoadBalancer: each gets an address of a pool, and each address a group of its own."""
