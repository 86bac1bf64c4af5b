"""What the reporter may ask for beside demotions: peers and an advskew; and what it is told beside roles."""

import signal
import socket
from pathlib import Path

import pytest

from carpsidecar.engine.settings import advskew_of
from carpsidecar.ipc.messages import GroupSnapshot, Notice, SetAdvskew, SetDemotion, SetPeers
from carpsidecar.lab.node import Node
from tests.network.process.consumer import POD, consume
from tests.support.daemon import GROUP, Configuration, group, start, start_master
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

LABEL = ("--node-name", "n1", "--advskew-label", "carp/advskew")


def test_an_advskew_that_is_asked_for_replaces_the_configured_one(node: Node, tap: Tap, tmp_path: Path) -> None:
    with consume(node, Configuration(tmp_path, group(advskew=30)), *POD, *LABEL) as consumer:
        consumer.wait_for_role("master")
        before = tap.mark()
        consumer.ask(SetAdvskew(advskew=20))
        tap.wait_for(advertises(vhid=100, advskew=20), SOON_S, before)
        snapshot = consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.advskew == 20)
        assert snapshot.role == "master"
        before = tap.mark()
        consumer.ask(SetAdvskew(advskew=None))
        tap.wait_for(advertises(vhid=100, advskew=30), SOON_S, before)


def test_an_automatic_advskew_is_that_of_the_nodes_address(node: Node, tap: Tap, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group(advbase=1, advskew="auto", dead_ratio=2)))
    expected = advskew_of(node.address, 100)
    assert {frame.advskew for frame in tap.wait_for_more(2, 100, SOON_S)} == {expected}
    assert engine.stop() == 0


def test_peers_that_are_given_are_sent_to_alone(node: Node, peer: Node, tap: Tap, tmp_path: Path) -> None:
    def destination(frame: bytes) -> str:
        return socket.inet_ntoa(frame[30:34])

    configuration = Configuration(tmp_path, group())
    with consume(node, configuration, *POD, "--discover-peers") as consumer:
        consumer.ask(SetPeers(peers=[]))
        consumer.wait_for_role("master")
        assert destination(tap.wait_for_more(1, 100, SOON_S)[0].data) == "224.0.0.18"
        before = tap.mark()
        consumer.ask(SetPeers(peers=[str(peer.address)]))
        wanted = str(peer.address)
        tap.wait_for(lambda f: advertises(vhid=100)(f) and destination(f.data) == wanted, SOON_S, before)
        # A reload is no reason to forget them, or to give the state up.
        seen = len(consumer.log)
        consumer.engine.send_signal(signal.SIGHUP)
        consumer.wait_for_log("the configuration was read again", seen)
        assert {destination(frame.data) for frame in tap.wait_for_more(3, 100, SOON_S)} == {wanted}
        assert consumer.log.count("became") == 2
        consumer.ask(SetPeers(peers=["no address"]))
        consumer.wait_for_log("peers that can't be used", seen)
        consumer.ask(SetPeers(peers=[]))
        before = tap.mark()
        tap.wait_for(lambda f: advertises(vhid=100)(f) and destination(f.data) == "224.0.0.18", SOON_S, before)


def test_a_node_that_is_to_be_told_its_peers_waits_for_them(
    node: Node, peer: Node, tap: Tap, tmp_path: Path
) -> None:
    with consume(node, Configuration(tmp_path, group()), *POD, "--discover-peers") as consumer:
        waiting = consumer.wait_for(GroupSnapshot)
        assert (waiting.role, waiting.reason) == ("init", "the addresses of the other nodes are not known yet")
        tap_before = tap.mark()
        other = start(peer, Configuration(tmp_path, group(advskew=90)))
        other.wait_for("became master", SOON_S)
        assert not [f for f in tap.heard[tap_before:] if f.payload and f.source == node.address]
        consumer.ask(SetPeers(peers=[str(peer.address)]))
        consumer.wait_for_role("backup")


def test_who_uses_another_passphrase_and_who_claims_the_address_is_reported(
    node: Node, peer: Node, tmp_path: Path
) -> None:
    with consume(node, Configuration(tmp_path, group())) as consumer:
        consumer.wait_for_role("master")
        another = {"passphrase_file": _passphrase(tmp_path, "another secret"), "in_use": "take"}
        start(peer, Configuration(tmp_path, group(**another)))
        notice = consumer.wait_for(Notice)
        assert (notice.kind, notice.group, notice.interface) == ("bad_digest", GROUP, "eth0")
        assert notice.peer == str(peer.address)
        claim = consumer.wait_for(Notice, lambda notice: notice.kind == "conflict")
        assert claim.peer.count(":") == 5
        assert "10.99.0.100" in claim.text


def test_what_a_reporter_with_other_settings_asked_for_is_forgotten(node: Node, tmp_path: Path) -> None:
    web = {"name": "web", "tcp": "127.0.0.1:80", "demotion": 100}
    configuration = Configuration(tmp_path, group(), beside={"checks": [web]})
    with consume(node, configuration) as consumer:
        consumer.ask(SetDemotion(cause="check:web", amount=100))
        consumer.wait_for(GroupSnapshot, lambda snapshot: bool(snapshot.demotions))
        configuration.beside["checks"] = [{"name": "mail", "tcp": "127.0.0.1:25"}]
        configuration.write()
        consumer.engine.send_signal(signal.SIGHUP)
        consumer.wait_for(GroupSnapshot, lambda snapshot: not snapshot.demotions)


def _passphrase(directory: Path, text: str) -> str:
    path = directory / "another"
    path.touch(0o600)
    path.write_text(text)
    return str(path)
