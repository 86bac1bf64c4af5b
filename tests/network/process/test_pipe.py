"""The pipe to the reporter: what the engine tells, what it does when asked, and what it does not mind."""

import itertools
import json
import socket
import statistics
import time
from pathlib import Path

import pytest

from carpsidecar.ipc.messages import (
    MESSAGE_SIZE_MAX,
    GroupGone,
    GroupSnapshot,
    Heartbeat,
    SendHeartbeat,
    SetDemotion,
    StepDown,
    encode,
)
from carpsidecar.lab.node import Node
from tests.network.process.consumer import DEMOTES, consume
from tests.support.daemon import (
    GROUP,
    LATE_S,
    SLOWER,
    VIP,
    Configuration,
    expect_no_gap,
    group,
    holds,
    script,
    start,
)
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network


def test_a_snapshot_is_sent_on_every_change(node: Node, tmp_path: Path) -> None:
    with consume(node, Configuration(tmp_path, group())) as consumer:
        started_s = time.time()
        backup = consumer.wait_for_role("backup")
        assert (backup.reason, backup.master, backup.demotions) == ("started", None, {})
        master = consumer.wait_for_role("master")
        assert abs(master.since_s - started_s) < SOON_S
        assert master == GroupSnapshot(
            group=GROUP,
            role="master",
            reason="no advertisement from the master",
            since_s=master.since_s,
            interface="eth0",
            vhid=100,
            addresses=[VIP],
            advbase=0,
            advskew=16,
            advskew_advertised=16,
            dead_ratio=8,
            demotions={},
            fenced=True,
            master=str(node.address),
        )
        node.pull_cable()
        assert consumer.wait_for_role("fault").reason == "the link of eth0 is down"
        node.plug_cable()
        assert consumer.wait_for_role("backup").reason == "the link is back"
        consumer.wait_for_role("master")
        assert consumer.stop() == 0
        assert consumer.wait_for_role("init").reason == "stopped"


def test_a_backup_names_the_master_it_hears(node: Node, peer: Node, tmp_path: Path) -> None:
    start(peer, Configuration(tmp_path, group()))
    with consume(node, Configuration(tmp_path, group(advskew=90))) as consumer:
        snapshot = consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.master is not None)
        assert (snapshot.role, snapshot.master) == ("backup", str(peer.address))


def test_each_second_a_heartbeat_counts_what_was_done(node: Node, tap: Tap, tmp_path: Path) -> None:
    hook = script(tmp_path, "hook", "exit 0")
    configuration = Configuration(tmp_path, group(on_master=hook, on_backup="/bin/false"))
    with consume(node, configuration) as consumer:
        consumer.wait_for_role("master")
        delay = Delay(consumer.engine)
        a, b = (consumer.wait_for(Heartbeat) for _ in range(2))
        assert 0.7 - delay.s < b.sent_s - a.sent_s < 1.5 + delay.s
        node.run(["ip", "addr", "del", f"{VIP}/32", "dev", "eth0"])
        heartbeat = consumer.wait_for(
            Heartbeat,
            lambda beat: beat.counters[GROUP].addresses_put_back > 0 and len(beat.counters[GROUP].hooks) > 1,
        )
        count = heartbeat.counters[GROUP]
        on_the_wire = [heard.at_s for heard in tap.advertisements]
        assert abs(count.advertisements_sent - sum(at <= heartbeat.sent_s for at in on_the_wire)) <= 1
        assert 1 <= count.lease_renewals < count.advertisements_sent  # 16 a second, and a lease lasts for one
        assert (count.advertisements_failed, count.advertisements_received, count.lease_misses) == (0, 0, 0)
        assert count.transitions == {"backup": {"started": 1}, "master": {"master_silent": 1}}
        assert count.master_advertised_s == pytest.approx(heartbeat.sent_s, abs=0.5 + delay.s)
        assert count.hooks == {"ok": 1, "failed": 1}
        assert count.addresses_put_back == 1
        assert heartbeat.bad_messages == 0
        assert heartbeat.drops.keys() == {"eth0"}


def test_a_demotion_is_advertised_and_taken_back(node: Node, tap: Tap, tmp_path: Path) -> None:
    with consume(node, Configuration(tmp_path, group()), *DEMOTES) as consumer:
        consumer.wait_for_role("master")
        consumer.ask(SetDemotion(cause="drain", amount=10))
        consumer.ask(SetDemotion(cause="unready", amount=20, group=GROUP))
        consumer.ask(SetDemotion(cause="unready", amount=99, group="another one"))
        demoted = consumer.wait_for(GroupSnapshot, lambda snapshot: len(snapshot.demotions) == 2)
        assert demoted.demotions == {"drain": 10, "unready": 20}
        assert (demoted.role, demoted.advskew, demoted.advskew_advertised) == ("master", 16, 46)
        heard = tap.wait_for(advertises(advskew=46), SOON_S)
        for cause in ("drain", "unready"):
            consumer.ask(SetDemotion(cause=cause, amount=0))
        consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.advskew_advertised == 16)
        tap.wait_for(advertises(advskew=16), SOON_S, heard.number)


def test_a_demotion_holds_over_a_reload_and_for_groups_that_come_later(node: Node, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group())
    with consume(node, configuration, *DEMOTES) as consumer:
        consumer.ask(SetDemotion(cause="drain", amount=10))
        consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.demotions == {"drain": 10})
        configuration.groups = [group(101)]
        configuration.write()
        consumer.engine.send_signal(1)
        assert consumer.wait_for(GroupGone) == GroupGone(group=GROUP)
        consumer.wait_for(GroupSnapshot, lambda s: s.group == "vhid-101" and s.advskew_advertised == 26)


def test_a_demotion_with_bow_out_and_a_step_down_hand_over_at_once(node: Node, peer: Node, tmp_path: Path) -> None:
    with consume(node, Configuration(tmp_path, group(preempt=True)), *DEMOTES) as consumer:
        consumer.wait_for_role("master")
        other = start(peer, Configuration(tmp_path, group(advskew=60)))
        other.wait_for("became backup", SOON_S)
        consumer.ask(SetDemotion(cause="drain", amount=240, bow_out=True))
        assert consumer.wait_for_role("backup").reason == "demoted"
        other.wait_for("became master: the master bowed out", SOON_S)
        consumer.ask(SetDemotion(cause="drain", amount=0))
        assert consumer.wait_for_role("master").reason == "preempting a slower master"
        after = other.log_size
        consumer.ask(StepDown())
        assert consumer.wait_for_role("backup").reason == "asked to step down"
        other.wait_for("became master: the master bowed out", SOON_S, after)


def test_a_heartbeat_comes_when_it_is_asked_for_and_not_more_often_than_is_sound(
    node: Node, tmp_path: Path
) -> None:
    with consume(node, Configuration(tmp_path, group())) as consumer:
        consumer.wait_for_role("master")
        consumer.next_heartbeat()
        sent_s = []
        for _ in range(20):
            asked_s = time.time()
            for _ in range(5):
                consumer.ask(SendHeartbeat())
            beat = consumer.wait_for(Heartbeat, lambda beat, asked_s=asked_s: beat.sent_s >= asked_s)  # type: ignore[misc]
            sent_s.append(beat.sent_s)
            left_s = beat.counters[GROUP].lease_left_s
            assert left_s is not None
            assert 0 < left_s <= 1
        took_s = sent_s[-1] - sent_s[0]
        by_themselves = took_s / 0.9 + 1
        assert took_s > (19 - by_themselves) * 0.05
        gaps_s = [later - earlier for earlier, later in itertools.pairwise(sent_s)]
        assert statistics.median(gaps_s) < 0.5, "it need not wait for that of the next second"


def test_a_heartbeat_tells_who_is_heard(node: Node, peer: Node, tmp_path: Path) -> None:
    (tmp_path / "another").write_text("another secret")
    (tmp_path / "another").chmod(0o600)
    with consume(node, Configuration(tmp_path, group(advskew=90))) as consumer:
        consumer.wait_for_role("master")
        another = {"passphrase_file": str(tmp_path / "another"), "in_use": "take"}
        stranger = start(peer, Configuration(tmp_path, group(**another)))
        heartbeat = consumer.wait_for(Heartbeat, lambda beat: bool(beat.counters[GROUP].peers))
        heard = heartbeat.counters[GROUP].peers[str(peer.address)]
        assert (heard.interval_s, heard.authentic) == (16 / 256, False)
        stranger.kill()
        start(peer, Configuration(tmp_path, group(advskew=40, preempt=True)))
        consumer.wait_for_role("backup")
        heartbeat = consumer.next_heartbeat()
        [(source, heard)] = heartbeat.counters[GROUP].peers.items()
        assert (source, heard.interval_s, heard.authentic) == (str(peer.address), 40 / 256, True)
        assert 0 <= heartbeat.sent_s - heard.heard_s < 1
        assert heartbeat.counters[GROUP].lease_left_s is None


def test_a_bad_message_is_dropped_and_counted(node: Node, tap: Tap, tmp_path: Path) -> None:
    command = json.loads(encode(SetDemotion(cause="drain", amount=1)))
    bad = [
        b"garbage",
        b"\xff" * 100,
        b'{"type":"step_down","group":"\xff"}',
        json.dumps({**command, "version": 0}).encode(),
        json.dumps({**command, "type": "unknown"}).encode(),
        json.dumps({**command, "amount": "much"}).encode(),
        json.dumps({**command, "cause": "x" * MESSAGE_SIZE_MAX}).encode(),
        b"[" * MESSAGE_SIZE_MAX,
    ]
    with consume(node, Configuration(tmp_path, group())) as consumer:
        consumer.wait_for_role("master")
        delay = Delay(consumer.engine)
        for message in bad * 20:
            consumer.connection.send(message)
        tap.wait_for_more(5, 100, SOON_S)
        heartbeat = consumer.wait_for(Heartbeat, lambda heartbeat: heartbeat.bad_messages == len(bad) * 20)
        assert heartbeat.counters[GROUP].transitions == {"backup": {"started": 1}, "master": {"master_silent": 1}}
        expect_no_gap(tap, delay)
        assert "Traceback" not in consumer.log
        consumer.ask(StepDown())
        consumer.wait_for_role("backup")


def test_a_reporter_that_stops_reading_costs_nothing_and_gets_the_newest_afterwards(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    vhids = range(100, 105)
    with consume(node, Configuration(tmp_path, *(group(vhid) for vhid in vhids)), *DEMOTES) as consumer:
        for vhid in vhids:
            consumer.wait_for_role("master", f"vhid-{vhid}")
        delay = Delay(consumer.engine)
        for number in range(1, 1501):
            consumer.ask(SetDemotion(cause="drain", amount=1 + number % 7))
        consumer.ask(SetDemotion(cause="drain", amount=99, group=None))
        tap.wait_for(advertises(advskew=115), SOON_S)
        tap.wait_for_more(3, 104, SOON_S)
        expect_no_gap(tap, delay, 104, late_s=2 * LATE_S)
        newest: dict[str, GroupSnapshot] = {}
        while len(newest) < 5 or any(s.demotions != {"drain": 99} for s in newest.values()):
            message = consumer.receive()
            if isinstance(message, GroupSnapshot):
                newest[message.group] = message
        assert isinstance(consumer.next_heartbeat(), Heartbeat)


@pytest.mark.parametrize("end", ["closed", "shut down", "closed with words unread"])
def test_a_reporter_that_goes_does_not_disturb_the_engine(node: Node, tap: Tap, tmp_path: Path, end: str) -> None:
    with consume(node, Configuration(tmp_path, group())) as consumer:
        consumer.wait_for_role("master")
        delay = Delay(consumer.engine)
        if end == "shut down":
            consumer.connection.shutdown(socket.SHUT_RDWR)
        else:
            if end == "closed with words unread":
                consumer.ask(SetDemotion(cause="drain", amount=1))
            consumer.connection.close()
        tap.wait_for_more(10, 100, SOON_S)
        assert holds(node)
        expect_no_gap(tap, delay)
        assert consumer.stop() == 0
        assert consumer.log.count("the reporter is gone") == 1
        assert "Traceback" not in consumer.log


def test_the_snapshots_of_255_groups_fit(node: Node, tmp_path: Path) -> None:
    groups = [
        {
            "vip": f"10.99.{vhid // 100 + 100}.{vhid % 100}",
            "vhid": vhid,
            "name": f"a-group-with-a-long-name-no-{vhid}",
        }
        for vhid in range(1, 256)
    ]
    configuration = Configuration(tmp_path, *({**one, **SLOWER, "interface": "eth0"} for one in groups))
    with consume(node, configuration) as consumer:
        masters: set[str] = set()
        while len(masters) < 255:
            message = consumer.receive()
            if isinstance(message, GroupSnapshot) and message.role == "master":
                masters.add(message.group)
        counted: set[str] = set()
        while len(counted) < 255:
            counted |= consumer.wait_for(Heartbeat).counters.keys()
        assert consumer.stop() == 0
