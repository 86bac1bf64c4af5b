"""Of all pods: the engine is right about its own node, the wire before the API about who is master."""

from typing import Any

from msgspec.structs import replace

from carpsidecar.status.model import PodView
from carpsidecar.status.pods import as_known_here
from tests.support.builders import snapshot

POD = PodView("carp-1", "n1", {"web": "master"}, "the master bowed out", "then", ready=True, alive=True)
OTHERS = [
    replace(POD, name="carp-2", node="n2", roles={"web": "backup"}, addresses=["192.0.2.12"]),
    replace(POD, name="carp-3", node="n3", roles={"web": "backup"}, addresses=["192.0.2.13"]),
]


def roles(pods: list[PodView], engine_alive: bool = True, **group: Any) -> list[str]:
    known = as_known_here(pods, {"web": snapshot(**group)}, "n1", engine_alive)
    return [pod.roles["web"] for pod in known]


def test_the_engine_is_right_about_its_own_node() -> None:
    [own] = as_known_here([POD], {"web": snapshot(role="backup", reason="demoted")}, "n1", engine_alive=True)
    assert (own.roles, own.reason, own.alive) == ({"web": "backup"}, "demoted", True)


def test_of_a_silent_engine_nothing_is_known() -> None:
    [own] = as_known_here([POD], {"web": snapshot(role="master")}, "n1", engine_alive=False)
    assert (own.roles, own.alive) == ({"web": "unknown"}, False)


def test_who_is_master_is_who_advertises() -> None:
    assert roles([POD, *OTHERS], role="backup", master="192.0.2.13") == ["backup", "backup", "master"]


def test_a_label_that_the_wire_contradicts_is_not_believed() -> None:
    claims = [replace(OTHERS[0], roles={"web": "master"}), OTHERS[1]]
    assert roles([POD, *claims], role="backup", master="192.0.2.13") == ["backup", "unknown", "master"]
    assert roles([POD, *claims], role="master", master="192.0.2.11") == ["master", "unknown", "backup"]


def test_where_no_master_is_heard_the_api_is_all_there_is() -> None:
    claims = [replace(OTHERS[0], roles={"web": "master"})]
    assert roles([POD, *claims], role="backup", master=None) == ["backup", "master"]
    assert roles([POD, *claims], engine_alive=False, role="backup", master="192.0.2.13") == ["unknown", "master"]
