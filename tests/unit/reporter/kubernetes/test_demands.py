"""What is asked of the engine, and when."""

from carpsidecar.ipc.messages import PEERS_MAX, SetAdvskew, SetDemotion, SetPeers, ToEngine
from carpsidecar.reporter.kubernetes.demands import Demands


def test_a_thing_is_asked_only_when_it_is_another_than_before() -> None:
    asked: list[ToEngine] = []
    demands = Demands(asked.append)
    assert not demands.demote("cordon", 0), "nothing new, but what a former reporter asked for is taken back"
    assert demands.demote("cordon", 300)
    assert not demands.demote("cordon", 300)
    demands.advskew(None)
    demands.advskew(None)
    demands.peers([])
    demands.peers(["192.0.2.1"])
    demands.peers(["192.0.2.1"])
    assert asked == [
        SetDemotion(cause="cordon", amount=0),
        SetDemotion(cause="cordon", amount=255, bow_out=True),
        SetAdvskew(advskew=None),
        SetPeers(peers=[]),
        SetPeers(peers=["192.0.2.1"]),
    ]


def test_there_are_no_more_peers_than_a_message_holds() -> None:
    asked: list[ToEngine] = []
    Demands(asked.append).peers([f"2001:db8::{number:x}" for number in range(PEERS_MAX + 1)])
    assert isinstance(asked[0], SetPeers)
    assert len(asked[0].peers) == PEERS_MAX


def test_an_engine_that_is_gone_is_asked_in_vain() -> None:
    def ask(_: ToEngine) -> None:
        raise RuntimeError("Event loop is closed")

    Demands(ask).demote("cordon", 50)
