"""How the reporter sees the other nodes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PodView:
    """One pod of our own kind, as the API shows it."""

    name: str
    node: str
    roles: dict[str, str]
    """By group."""
    reason: str
    """Why it has its role."""
    since: str
    """When that began: RFC 3339, in UTC; empty where it is not known."""
    ready: bool
    alive: bool
    """False where it does not run, where a new master marked it as lost, and where Kubernetes took its readiness
    back though its containers are ready, as it does on a node that gives no sign of life."""
