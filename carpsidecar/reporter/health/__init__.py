"""Health checks: what demotes this node while it can't serve."""
