"""What a running engine may do, and what it keeps away from."""

from pathlib import Path

import pytest

from carpsidecar.lab.node import Node
from tests.network.process.consumer import consume
from tests.support.daemon import (
    NET_ADMIN_AND_RAW,
    PASSPHRASE,
    Configuration,
    group,
    holds,
    privileges_of,
    script,
    start,
    start_master,
)
from tests.support.unprivileged import WHY_NOT, WITH_TWO_CAPABILITIES, can_be_unprivileged
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

FORBIDDEN = (
    *("kubernetes", "kubernetes_asyncio", "lightkube", "aiohttp", "httpx", "requests", "urllib3"),
    *("http.server", "http.client", "socketserver", "urllib.request", "curses", "readline", "tkinter"),
    *("carpsidecar.reporter", "carpsidecar.lab", "pyroute2"),
)


def test_an_engine_without_hooks_keeps_two_capabilities_and_can_get_no_more(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    found = privileges_of(engine.pid)
    assert found["CapEff"] == found["CapPrm"] == found["CapBnd"] == NET_ADMIN_AND_RAW
    assert found["CapInh"] & ~NET_ADMIN_AND_RAW == 0
    assert found["NoNewPrivs"] == 1


def test_every_thread_of_the_engine_is_bound_so(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    threads = [privileges_of(int(task.name)) for task in Path(f"/proc/{engine.pid}/task").iterdir()]
    assert len(threads) > 1
    for found in threads:
        assert (found["CapPrm"] | found["CapEff"] | found["CapBnd"]) & ~NET_ADMIN_AND_RAW == 0
        assert found["NoNewPrivs"] == 1


def test_the_engine_has_no_openssl_in_its_memory(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    mapped = Path(f"/proc/{engine.pid}/maps").read_text()
    assert "msgspec" in mapped
    assert "libssl" not in mapped
    assert "libcrypto" not in mapped


def test_a_hook_of_a_root_engine_may_do_what_root_may(node: Node, tmp_path: Path) -> None:
    hook = script(tmp_path, "hook", "mount -t tmpfs none /mnt && umount /mnt && echo TOLD mounted")
    engine = start(node, Configuration(tmp_path, group(on_backup=hook)))
    engine.wait_for("TOLD mounted", SOON_S)
    found = privileges_of(engine.pid)
    assert found["CapEff"] == found["CapPrm"] == NET_ADMIN_AND_RAW
    assert found["CapBnd"] & ~NET_ADMIN_AND_RAW
    assert found["NoNewPrivs"] == 0


@pytest.mark.skipif(not can_be_unprivileged(), reason=WHY_NOT)
@pytest.mark.parametrize("hooks", [False, True])
def test_it_runs_unprivileged_with_ambient_capabilities(node: Node, open_folder: Path, hooks: bool) -> None:
    commands = {"on_master": "/bin/sh -c 'ip link set dev lo mtu 1400 && echo TOLD $(id -un)'"} if hooks else {}
    configuration = Configuration(open_folder, group(**commands))
    for path in open_folder.iterdir():
        path.chmod(0o755)
    engine = start(node, configuration, env={"CARP_PASSPHRASE": PASSPHRASE}, by=WITH_TWO_CAPABILITIES)
    engine.wait_for("became master", SOON_S)
    assert holds(node)
    found = privileges_of(engine.pid)
    assert found["CapEff"] == found["CapPrm"] == NET_ADMIN_AND_RAW
    assert Path(f"/proc/{engine.pid}").stat().st_uid != 0
    if hooks:
        engine.wait_for("TOLD nobody", SOON_S)
    assert engine.stop() == 0
    assert not holds(node)


@pytest.mark.parametrize(
    ("by", "lacking"),
    [
        (("setpriv", "--bounding-set", "-net_admin,-net_raw"), "CAP_NET_ADMIN and CAP_NET_RAW"),
        (("setpriv", "--bounding-set", "-net_raw"), "CAP_NET_RAW"),
    ],
)
def test_without_its_capabilities_it_says_which_it_needs(
    node: Node, tmp_path: Path, by: tuple[str, ...], lacking: str
) -> None:
    engine = start(node, Configuration(tmp_path, group()), by=by)
    assert engine.wait(SOON_S) == 1
    assert engine.log == f"carpsidecar: needs {lacking}: run it as root, or give it these capabilities\n"


def test_no_tcp_or_udp_socket_is_open_at_any_time(node: Node, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group(on_master="/bin/true"))
    engine = start_master(node, configuration)
    # The node has nothing else running; time-wait would show, too.
    for table in ("tcp", "tcp6", "udp", "udp6"):
        assert len(Path(f"/proc/{engine.pid}/net/{table}").read_text().splitlines()) == 1, table
    engine.stop()
    assert node.run(["ss", "-Htuan"]) == ""


def test_what_faces_people_and_the_cluster_is_not_imported(node: Node, tmp_path: Path) -> None:
    with consume(node, Configuration(tmp_path, group(on_backup="/bin/true"))) as consumer:
        consumer.wait_for_role("master")
        consumer.next_heartbeat()
        assert consumer.stop() == 0
        imported = set(consumer.log.splitlines()[-1].split()[1:])
    assert "carpsidecar.engine.engine" in imported
    assert imported.isdisjoint(FORBIDDEN)
