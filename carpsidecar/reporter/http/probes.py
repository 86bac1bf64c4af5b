"""Health: whether the engine lives, takes part, and is master. For a kubelet, a load balancer, or curl."""

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import parse_qs

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.reporter.http.answer import Answer, Request, in_text
from carpsidecar.status.state import State

_TAKING_PART = ("master", "backup")


def healthz(state: State) -> Answer:
    silent_s = state.engine_silent_s
    if state.engine_alive:
        return in_text(HTTPStatus.OK, f"the engine is alive: heard {silent_s:.1f} s ago")
    heard = "has not been heard yet" if silent_s is None else f"has not been heard for {silent_s:.1f} s"
    return in_text(HTTPStatus.SERVICE_UNAVAILABLE, f"the engine {heard}")


def readyz(state: State, request: Request) -> Answer:
    """Whether every group, or the one in the query, takes part in its election.

    All but those for addresses of Services: one of many that is in trouble makes no pod unready.
    """
    return _all_are(_TAKING_PART, state, request)


def readyz_master(state: State, request: Request) -> Answer:
    """Whether every group, or the one in the query, is master."""
    return _all_are(("master",), state, request)


def _all_are(roles: Iterable[str], state: State, request: Request) -> Answer:
    try:
        groups = _queried(state, request.query)
    except ValueError as error:
        return in_text(HTTPStatus.BAD_REQUEST, str(error))
    except LookupError as error:
        return in_text(HTTPStatus.NOT_FOUND, str(error.args[0]))
    if not state.engine_alive:
        return healthz(state)
    if not groups and "load_balancer" in state.configuration:
        return in_text(HTTPStatus.OK, "there are addresses of Services only")
    if not groups:
        return in_text(HTTPStatus.SERVICE_UNAVAILABLE, "there is no group")
    good = all(group.role in roles for group in groups)
    lines = (f"{group.group}: {group.role} ({group.reason})" for group in groups)
    return in_text(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, *lines)


def _queried(state: State, query: str) -> list[GroupSnapshot]:
    """
    Raises:
        ValueError: the query can't be read.
        LookupError: there is no such group.
    """
    # A parameter that is not understood would make the answer one to another question.
    parameters = parse_qs(query, keep_blank_values=True, max_num_fields=4)
    names = parameters.pop("group", [])
    if parameters or len(names) > 1:
        raise ValueError("the only parameter is group, once")
    if not names:
        return [group for group in state.groups.values() if not group.services]
    if names[0] not in state.groups:
        raise LookupError(f"there is no group {names[0]!r}; there are: {', '.join(state.groups) or 'none'}")
    return [state.groups[names[0]]]
