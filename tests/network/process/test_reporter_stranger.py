"""What a reporter in the hands of a stranger can not do: docs/security.md, "The reporter is a stranger"."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.ipc.messages import (
    Heartbeat,
    Promote,
    Result,
    SetAdvskew,
    SetDemotion,
    SetPeers,
    StepDown,
    ToEngine,
)
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.network.control.client import wait_until_told
from tests.network.process.consumer import consume
from tests.support.command import COMMAND
from tests.support.daemon import (
    GROUP,
    PASSPHRASE,
    Configuration,
    expect_no_gap,
    group,
    holds,
    privileges_of,
    reporter_of,
    start,
    start_master,
    starter_of,
)
from tests.support.tap import Tap
from tests.support.waits import SOON_S, Delay, wait_until

pytestmark = pytest.mark.network

THIEF = """\
#!/bin/sh
exec >{out}.new 2>&1
id -u
cat {passphrase} {configuration} {state}/drained/vhid-100
echo stolen >>{hook}
echo stolen >{state}/stolen
kill -0 {engine} 2>&1
cat /proc/{engine}/environ /proc/{engine}/mem
grep -E '^(CapPrm|CapEff|CapInh|NoNewPrivs)' /proc/self/status
env
mv {out}.new {out}
"""


@pytest.fixture
def stolen(node: Node, open_folder: Path) -> Iterator[tuple[Process, str]]:
    """An engine of root's with a passphrase in its environment, and what a health check of it found."""
    hook = open_folder / "hook"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    (open_folder / "open").mkdir()
    (open_folder / "open").chmod(0o777)
    out, check = open_folder / "open" / "out", open_folder / "check"
    check.touch(0o755)
    configuration = Configuration(open_folder, group(on_backup=str(hook)))
    configuration.beside["checks"] = [{"name": "thief", "command": str(check), "interval_s": 0.2, "demotion": 0}]
    configuration.write()
    configuration.path.chmod(0o600)
    engine = start_master(node, configuration)
    state = node.environment["STATE_DIRECTORY"]
    thief = THIEF.format(
        out=out,
        passphrase=open_folder / "passphrase",
        configuration=configuration.path,
        state=state,
        hook=hook,
        engine=engine.pid,
    )
    # In place of the one that may be running now, which can't be written to.
    script = open_folder / "script"
    script.write_text(thief)
    script.chmod(0o755)
    script.rename(check)
    wait_until(out.exists)
    yield engine, out.read_text()
    assert hook.read_text() == "#!/bin/sh\n"
    assert not Path(state, "stolen").exists()


def test_it_is_a_user_of_its_own_without_capabilities(stolen: tuple[Process, str]) -> None:
    engine, found = stolen
    uid = int(found.splitlines()[0])
    assert uid != 0
    for pid in (reporter_of(engine), starter_of(engine)):
        status = Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status
        assert "Groups:\t \n" in status or "Groups:\t\n" in status
        privileges = privileges_of(pid)
        assert privileges["CapEff"] == privileges["CapPrm"] == privileges["CapInh"] == 0
        assert (privileges["CapBnd"], privileges["NoNewPrivs"]) == (0, 1)


def test_it_opens_neither_passphrase_nor_configuration_nor_hook_nor_the_engines_memory(
    stolen: tuple[Process, str],
) -> None:
    _, found = stolen
    assert PASSPHRASE not in found
    assert "vip:" not in found
    # passphrase, configuration, drain, hook, state, and two of /proc
    assert found.count("Permission denied") + found.count("cannot create") + found.count("No such file") >= 7
    assert "not permitted" in found, "it must not signal the engine"


def test_its_environment_holds_nothing_that_could_be_a_secret(node: Node, tmp_path: Path) -> None:
    secrets = {"CARP_PASSPHRASE": PASSPHRASE, "DATABASE_PASSWORD": "hunter2", "CREDENTIALS_DIRECTORY": "/nowhere"}
    engine = start(node, Configuration(tmp_path, group()), env=secrets)
    engine.wait_for("the reporter runs", SOON_S)
    for pid in (starter_of(engine), reporter_of(engine)):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PATH=" in environment
        for name, value in secrets.items():
            assert name.encode() not in environment
            assert value.encode() not in environment
        assert PASSPHRASE.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_the_next_one_is_that_user_too_though_the_engine_may_not_change_users_any_more(
    node: Node, tmp_path: Path
) -> None:
    engine = start(node, Configuration(tmp_path, group()))
    engine.wait_for("the reporter runs", SOON_S)
    seen, first = engine.log_size, reporter_of(engine)
    users = {Path(f"/proc/{first}").stat().st_uid, uid_of(first)}
    os.kill(first, signal.SIGKILL)
    engine.wait_for("the reporter runs", SOON_S, seen)
    assert uid_of(reporter_of(engine)) in users - {0}


def test_a_reporter_whose_starter_is_killed_is_no_more_and_the_address_stays(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    engine.wait_for("the reporter runs", SOON_S)
    delay = Delay(engine)
    os.kill(starter_of(engine), signal.SIGKILL)
    engine.wait_for("its starter ended, and we may not change users any more: restart the engine", SOON_S)
    tap.wait_for_more(5, 100, SOON_S)
    assert holds(node)
    expect_no_gap(tap, delay)
    assert engine.stop() == 0


def test_peers_advskew_and_causes_are_not_its_to_set(node: Node, peer: Node, tap: Tap, tmp_path: Path) -> None:
    with consume(node, Configuration(tmp_path, group())) as consumer:
        consumer.wait_for_role("master")
        other = start(peer, Configuration(tmp_path, group(advskew=60)))
        other.wait_for("became backup", SOON_S)
        seen = other.log_size
        commands: list[ToEngine] = [
            SetPeers(id=1, peers=["10.99.0.250"]),
            SetAdvskew(id=2, advskew=254),
            SetDemotion(id=3, cause="mine", amount=240, bow_out=True),
            SetDemotion(id=4, cause="operator", amount=240, bow_out=True),
        ]
        for number, command in enumerate(commands, 1):
            consumer.ask(command)
            result = consumer.wait_for(Result)
            assert (result.id, result.outcome) == (number, "refused")
        heartbeat = consumer.wait_for(Heartbeat, lambda beat: bool(beat.refused_commands))
        assert heartbeat.refused_commands == {"peers": 1, "advskew": 1, "demotion": 2}
        assert {frame.advskew for frame in tap.wait_for_more(3, 100, SOON_S)} == {16}
        assert "became" not in other.log[seen:]
        assert consumer.log.count("is refused") == 3


def test_it_moves_the_address_a_few_times_and_then_once_in_two_seconds(
    node: Node, peer: Node, tmp_path: Path
) -> None:
    with consume(node, Configuration(tmp_path, group(advskew=50))) as consumer:
        consumer.wait_for_role("master")
        other = start(peer, Configuration(tmp_path, group(advskew=90)))
        other.wait_for("became backup", SOON_S)
        begun = time.monotonic()
        while time.monotonic() - begun < 5:
            for command in (StepDown(), Promote(), StepDown(group=GROUP), Promote(group=GROUP)):
                consumer.ask(command)
            time.sleep(0.005)
        # At 0.5 a second for one group and for all, each with four at once.
        assert consumer.log.count("became master") <= 1 + 2 * (4 + 0.5 * (time.monotonic() - begun))
        assert len(consumer.log.splitlines()) < 100


@pytest.mark.parametrize("kind", ["peers", "demotion", "bad", "beat"])
def test_however_much_it_sends_the_master_keeps_its_rhythm_and_its_log_short(
    node: Node, tap: Tap, tmp_path: Path, kind: str
) -> None:
    addresses = [f"10.9.{n // 250}.{n % 250}" for n in range(1024)]
    flood = {
        "peers": json.dumps({"type": "peers", "version": 1, "peers": addresses}),
        "demotion": json.dumps({"type": "demotion", "version": 1, "cause": "x", "amount": 1, "text": "x" * 200}),
        "bad": '{"a":' * 20000,
        "beat": '{"type":"beat","version":1}',
    }[kind].encode()
    with consume(node, Configuration(tmp_path, group())) as consumer:
        consumer.wait_for_role("master")
        delay, before_s = Delay(consumer.engine), cpu_s(consumer.engine.pid)
        consumer.connection.setblocking(False)
        begun = time.monotonic()
        while time.monotonic() - begun < 3:
            try:
                consumer.connection.send(flood)
            except BlockingIOError:
                time.sleep(0.001)
        tap.wait_for_more(5, 100, SOON_S)
        expect_no_gap(tap, delay)
        assert cpu_s(consumer.engine.pid) - before_s < 2.5
        assert consumer.log.count("became") == 2
        assert len(consumer.log.splitlines()) < 20


def test_a_socket_for_a_reporter_in_a_container_of_its_own_is_for_its_user_alone(
    node: Node, tap: Tap, open_folder: Path
) -> None:
    path = open_folder / "reporter.sock"
    engine = start_engine(node, Configuration(open_folder, group()), path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.settimeout(SOON_S)
        stranger.connect(str(path))
        assert stranger.recv(1 << 17) == b"", "root is not the reporter"
    engine.wait_for(f"a process of uid 0 connected to {path}, which is for the reporter's", SOON_S)
    delay = Delay(engine)
    reporter = start_connected(node, path)
    try:
        engine.wait_for(f"a reporter has connected to {path}", SOON_S)
        wait_until_told(node, lambda told: told["role"] == "master")
        seen = engine.log_size
        reporter.kill()
        reporter.wait(SOON_S)
        engine.wait_for("the reporter is gone", SOON_S, seen)
        reporter = start_connected(node, path)
        engine.wait_for("a reporter has connected", SOON_S, seen)
        wait_until_told(node, lambda told: told["role"] == "master")
        assert engine.log.count("became") == 2
        expect_no_gap(tap, delay)
        assert engine.stop() == 0
        engine = start_engine(node, Configuration(open_folder, group()), path)
        engine.wait_for("a reporter has connected", SOON_S)
        wait_until_told(node, lambda told: told["role"] == "master")
        assert node.run(["stat", "-c", "%a", str(path)]).strip() == "666"
        os.kill(reporter.pid, signal.SIGTERM)
        assert engine.stop() == 0
        assert reporter.wait(SOON_S) == 0
    finally:
        reporter.kill()


def test_a_reporter_connects_to_no_other_users_socket(node: Node, open_folder: Path) -> None:
    path = open_folder / "reporter.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as pretender:
        pretender.bind(str(path))
        path.chmod(0o666)
        # The kernel notes who calls listen().
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            pretender.listen()
            os._exit(0)
        os.waitpid(child, 0)
        reporter = start_connected(node, path)
        reporter.wait_for("it belongs to uid 65534, which is not the engine's, 0", SOON_S)
        pretender.accept()[0].close()
        os.kill(reporter.pid, signal.SIGTERM)
        assert reporter.wait(SOON_S) == 0


def start_engine(node: Node, configuration: Configuration, path: Path) -> Process:
    engine = start(node, configuration, "--reporter-socket", str(path))
    engine.wait_for("became master", SOON_S)
    return engine


def start_connected(node: Node, path: Path) -> Process:
    """As root, so that it may read the interpreter; it becomes the reporter's user before it connects."""
    return node.start([*COMMAND, "reporter", "--socket", str(path)])


def uid_of(pid: int) -> int:
    """The real one; the folder in /proc of a process that changed users is root's."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:")]
    return int(line.split()[1])


def cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
