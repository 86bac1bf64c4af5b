"""The HTTP server of a real engine's reporter: it tells what is so, and however much is asked, nothing is late."""

import os
import signal
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.daemon import Configuration, expect_no_gap, group, start, start_master
from tests.support.tap import Tap
from tests.support.waits import SOON_S, Delay, wait_until
from tests.unit.reporter.http.serving import Client, Reply

pytestmark = pytest.mark.network

PORT = 9112
HTTP = ("--http", f"127.0.0.1:{PORT}")
SCRAPES_PER_S = 200
SECONDS = 3


def connect(node: Node) -> Client:
    return run_in(node.ns, lambda: Client(PORT))


def get(node: Node, path: str) -> Reply:
    with connect(node) as client:
        return client.ask(path)


def serving(node: Node, configuration: Configuration) -> Process:
    engine = start_master(node, configuration, *HTTP)
    wait_until(lambda: _answers(node))
    return engine


def _answers(node: Node) -> bool:
    try:
        return get(node, "/healthz").status == 200
    except ConnectionError:
        return False


def metrics(node: Node) -> dict[tuple[str, ...], float]:
    """By the name and the labels' values, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(get(node, "/metrics").text)
        for sample in family.samples
    }


def test_two_hundred_scrapes_a_second_make_no_advertisement_late(node: Node, tap: Tap, tmp_path: Path) -> None:
    engine = serving(node, Configuration(tmp_path, group()))
    delay = Delay(engine)
    with connect(node) as client:
        begun = time.monotonic()
        for number in range(SCRAPES_PER_S * SECONDS):
            time.sleep(max(0.0, begun + number / SCRAPES_PER_S - time.monotonic()))
            assert client.ask("/metrics").status == 200
        took_s = time.monotonic() - begun
    expect_no_gap(tap, delay)
    assert took_s < SECONDS * 1.2 + delay.s
    assert engine.log.count("became") == 2


def test_a_flood_makes_no_advertisement_late_and_health_is_still_answered(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    engine = serving(node, Configuration(tmp_path, group()))
    delay = Delay(engine)
    begun = time.monotonic()
    crowd: list[Client] = []
    while time.monotonic() < begun + 2:
        crowd.append(connect(node))
        crowd[-1].socket.setblocking(False)
        crowd[-1].socket.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        if len(crowd) % 50 == 0:
            assert get(node, "/healthz").status == 200
    for client in crowd:
        client.socket.close()
    assert len(crowd) > 200
    expect_no_gap(tap, delay)
    assert engine.log.count("became") == 2


def test_the_metrics_tell_what_happened(node: Node, peer: Node, tmp_path: Path) -> None:
    serving(node, Configuration(tmp_path, group()))
    wait_until(lambda: metrics(node).get(("carp_advertisements_sent_total", "vhid-100"), 0) > 20)
    found = metrics(node)
    assert found["carp_role", "vhid-100", "master"] == 1
    assert found["carp_transitions_total", "vhid-100", "master_silent", "master"] == 1
    assert found["carp_transitions_total", "vhid-100", "started", "backup"] == 1
    last_s = found["carp_master_last_advertisement_timestamp_seconds", "vhid-100"]
    assert time.time() - 5 < last_s < time.time()
    other = start(peer, Configuration(tmp_path, group(advskew=90)), *HTTP)
    other.wait_for("became backup", SOON_S)
    heard = "carp_master_last_advertisement_timestamp_seconds", "vhid-100"
    wait_until(lambda: _answers(peer) and heard in metrics(peer))
    assert metrics(peer)["carp_role", "vhid-100", "backup"] == 1
    assert time.time() - 5 < metrics(peer)[heard] < time.time()


def test_health_follows_the_link_and_the_engine(node: Node, tmp_path: Path) -> None:
    engine = serving(node, Configuration(tmp_path, group()))
    assert (get(node, "/readyz").status, get(node, "/readyz/master").status) == (200, 200)
    node.pull_cable()
    wait_until(lambda: get(node, "/readyz").status == 503)
    assert get(node, "/readyz").text == "vhid-100: fault (the link of eth0 is down)\n"
    assert get(node, "/healthz").status == 200
    node.plug_cable()
    wait_until(lambda: get(node, "/readyz/master").status == 200)
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: get(node, "/healthz").status == 503)
        assert "the engine has not been heard for" in get(node, "/readyz").text
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    wait_until(lambda: get(node, "/healthz").status == 200)


def test_a_check_that_fails_moves_the_address_and_one_that_passes_lets_it_back(
    node: Node, peer: Node, open_folder: Path
) -> None:
    service = open_folder / "service"
    service.touch()
    check = {"name": "service", "command": ["test", "-e", str(service)], "interval_s": 0.1, "fall": 2, "rise": 1}
    ours = Configuration(open_folder, group(preempt=True), beside={"checks": [check]})
    engine = start_master(node, ours)
    other = start(peer, Configuration(open_folder, group(advskew=90)))
    other.wait_for("became backup", SOON_S)
    service.unlink()
    engine.wait_for("check service: unhealthy: exit status 1", SOON_S)
    other.wait_for("became master: the master bowed out", SOON_S)
    service.touch()
    engine.wait_for("check service: healthy again", SOON_S)
    engine.wait_for("became master: preempting a slower master", SOON_S)
