"""`kubectl carp`, with a kubectl that answers as told: all nodes, what differs, and which right is missing."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from carpsidecar.cli import main
from carpsidecar.ipc.messages import Role
from carpsidecar.status.model import GroupStatus, NodeStatus, StatusDocument

NOW_S = 1_800_000_000.0
FORBIDDEN = (
    'Error from server (Forbidden): pods "carp-a" is forbidden: User "jane" cannot create resource "pods/exec"'
    ' in API group "" in the namespace "carp"\n'
)
NOT_ALL = (
    'Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods" in API group ""'
    " at the cluster scope\n"
)

_KUBECTL = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
with (folder / "log").open("a") as log:
    print(json.dumps(words), file=log)
name = words[words.index("exec") + 3] if "exec" in words else "all" if "--all-namespaces" in words else "pods"
answer = json.loads((folder / f"{{name}}.json").read_text())
sys.stdout.write(answer["out"])
sys.stderr.write(answer["err"])
sys.exit(answer["status"])
"""


class FakeKubectl:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def answer(self, name: str, out: str = "", err: str = "", status: int = 0) -> None:
        (self._folder / f"{name}.json").write_text(json.dumps({"out": out, "err": err, "status": status}))

    def pods(self, **roles: str) -> None:
        """One pod a node, in each kind of listing."""
        listed = json.dumps({"items": [_pod(node, role) for node, role in roles.items()]})
        for listing in ("all", "pods"):
            self.answer(listing, listed)

    @property
    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in (self._folder / "log").read_text().splitlines()]


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    script = tmp_path / "kubectl"
    script.write_text(_KUBECTL.format(python="/usr/bin/env python3", folder=str(tmp_path)))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return FakeKubectl(tmp_path)


def _pod(node: str, role: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"carp-{node}",
            "namespace": "carp",
            "labels": {"carp-role": role},
            "annotations": {
                "carpsidecar.io/since": "2027-01-15T08:00:00Z",
                "carpsidecar.io/reason": "by the label",
                "carpsidecar.io/addresses": "192.0.2.100",
            },
        },
        "spec": {"nodeName": node},
        "status": {"phase": "Running"},
    }


def status(role: Role, *, version: str = "1.0.0", **fields: Any) -> str:
    group: dict[str, Any] = {
        "group": "vhid-100",
        "role": role,
        "reason": "started",
        "since_s": NOW_S - 42,
        "interface": "eth0",
        "vhid": 100,
        "addresses": ["192.0.2.100"],
        "advbase": 1,
        "advskew": 0,
        "advskew_advertised": 0,
        "demotions": {},
        "master": None,
        "interval_s": 1.0,
        "lease_left_s": None,
        "master_advertised_s": None,
        "peers": {},
        "counters": {},
    }
    engine = NodeStatus(
        software=version,
        pid=1,
        node="as it calls itself",
        now_s=NOW_S,
        answers=True,
        silent_s=0.1,
        groups=[GroupStatus(**{**group, **fields})],
        drops={},
    )
    return msgspec.json.encode(StatusDocument(exit_status=0, engines=[engine], unreachable=[])).decode()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    returned = main(["kubectl", *arguments])
    return returned, *capsys.readouterr()


def test_one_table_of_all_nodes_with_the_master_first(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.pods(a="backup", b="master")
    kubectl.answer("carp-a", status("backup"))
    kubectl.answer("carp-b", status("master"))
    returned, out, err = run(capsys, "status")
    assert (returned, err) == (0, "")
    head, master, backup, _, well = out.splitlines()
    assert head.split() == ["NODE", "GROUP", "ROLE", "FOR", "ADDRESSES", "VERSION", "REASON"]
    assert master.split() == ["b", "vhid-100", "master", "42", "s", "192.0.2.100", "1.0.0", "started"]
    assert backup.startswith("a ")
    assert well == "All is well on 2 nodes."


def test_an_address_of_a_service_says_whose_it_is(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.pods(a="backup")
    kubectl.answer("carp-a", status("master", group="lb-1007", services=["shop/front"]))
    returned, out, _ = run(capsys, "status")
    assert returned == 0
    assert "192.0.2.100 (shop/front)" in out
    _, out, _ = run(capsys, "status", "--json")
    assert json.loads(out)["groups"][0]["services"] == ["shop/front"]


@pytest.mark.parametrize(
    ("first", "second", "said", "expected"),
    [
        (("backup", {}), ("backup", {}), "vhid-100: no master", 3),
        (("master", {}), ("master", {}), "vhid-100: 2 masters: a, b", 4),
        (("master", {}), ("fault", {}), "fault", 4),
        (
            ("master", {}),
            ("backup", {"addresses": ["192.0.2.100", "192.0.2.101"]}),
            "vhid-100: addresses differs: 192.0.2.100 on a; 192.0.2.100 192.0.2.101 on b",
            0,
        ),
        (("master", {"version": "1.1.0"}), ("backup", {}), "vhid-100: version differs: 1.1.0 on a; 1.0.0 on b", 0),
        (("master", {"problems": ["the kernel lacks it"]}), ("backup", {}), "a: vhid-100: the kernel lacks it", 4),
    ],
)
def test_what_does_not_fit_together_is_reported(
    kubectl: FakeKubectl,
    capsys: pytest.CaptureFixture[str],
    first: tuple[Role, dict[str, Any]],
    second: tuple[Role, dict[str, Any]],
    said: str,
    expected: int,
) -> None:
    kubectl.pods(a=first[0], b=second[0])
    kubectl.answer("carp-a", status(first[0], **first[1]))
    kubectl.answer("carp-b", status(second[0], **second[1]))
    returned, out, _ = run(capsys, "status")
    assert returned == expected
    assert said in out


def test_without_the_right_to_run_commands_it_shows_the_labels_and_names_the_right(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.pods(a="master")
    kubectl.answer("carp-a", err=FORBIDDEN, status=1)
    returned, out, _ = run(capsys, "status")
    assert returned == 0
    assert "by the label" in out
    assert "jane lacks a right: create pods/exec in namespace carp: give it by a Role" in out


def test_who_may_not_see_all_namespaces_sees_his_own(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.pods(a="master")
    kubectl.answer("all", err=NOT_ALL, status=1)
    kubectl.answer("carp-a", status("master"))
    assert run(capsys, "status")[0] == 0


def test_a_missing_right_is_one_line(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.answer("all", err=NOT_ALL, status=1)
    kubectl.answer("pods", err=NOT_ALL, status=1)
    returned, _, err = run(capsys, "status")
    assert returned == 1
    assert err.startswith("kubectl carp: jane lacks a right: list pods in all namespaces: give it by a ClusterRole")
    assert err.count("\n") == 1


REFUSED = "The connection to the server localhost:8080 was refused - did you specify the right host or port?"
LOGGED = 'E1201 15:41:23.737887   22615 memcache.go:265] "Unhandled Error" err="could not get: connection refused"'


@pytest.mark.parametrize("said", [f"{LOGGED}\n{LOGGED}\n{REFUSED}\n", f"error: {REFUSED}\n"])
def test_a_server_out_of_reach_is_one_line(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], said: str
) -> None:
    kubectl.answer("all", err=said, status=1)
    assert run(capsys, "status") == (1, "", f"kubectl carp: {REFUSED}\n")


def test_a_pod_that_gives_no_status_is_named(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.pods(a="master", b="backup")
    kubectl.answer("carp-a", status("master"))
    kubectl.answer("carp-b", err="error: unable to upgrade connection\n", status=1)
    _, out, _ = run(capsys, "status")
    assert "b: error: unable to upgrade connection" in out


@pytest.mark.parametrize(
    ("arguments", "pods", "words"),
    [
        (("drain", "a", "--reason", "a new disk"), ["carp-a"], ["drain", "--reason", "a new disk"]),
        (("undrain", "a", "--group", "web"), ["carp-a"], ["undrain", "--group", "web"]),
        (("step-down",), ["carp-b"], ["step-down"]),
        (("promote", "a"), ["carp-a"], ["promote"]),
        (("capture", "a", "--count", "3"), ["carp-a"], ["capture", "--count", "3"]),
        (("doctor",), ["carp-a", "carp-b"], ["doctor", "--config", "/etc/carpsidecar/carpsidecar.yaml"]),
    ],
)
def test_a_command_goes_to_the_pods_that_it_is_for(
    kubectl: FakeKubectl,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    pods: list[str],
    words: list[str],
) -> None:
    kubectl.pods(a="backup", b="master")
    for pod in ("carp-a", "carp-b"):
        kubectl.answer(pod, "done\n")
    assert run(capsys, *arguments, *(() if arguments[0] == "capture" else ("--context", "prod")))[0] == 0
    executed = [asked for asked in kubectl.asked if "exec" in asked]
    assert sorted(asked[asked.index("exec") + 3] for asked in executed) == pods
    assert all(asked[asked.index("--") + 1 :] == ["carpsidecar", *words] for asked in executed)
    assert arguments[0] == "capture" or all(asked[0] == "--context=prod" for asked in kubectl.asked)


@pytest.mark.parametrize(
    ("arguments", "said", "expected"),
    [
        (("drain",), "NODE: which one?", 2),
        (("nonsense",), "invalid choice", 2),
        (("status", "--nonsense"), "unknown option --nonsense", 2),
        (("drain", "z"), "no pod of carpsidecar on node z: there is one on a, b", 1),
    ],
)
def test_what_can_t_be_done_is_one_line(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str, expected: int
) -> None:
    kubectl.pods(a="backup", b="master")
    returned, _, err = run(capsys, *arguments)
    assert returned == expected
    assert said in err
    assert err.count("\n") == 1


def test_without_kubectl_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert run(capsys, "status")[::2] == (
        1,
        "kubectl carp: kubectl is not in PATH: install it, for this goes through it\n",
    )


def test_the_program_s_name_makes_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["/home/jane/.krew/bin/kubectl-carp", "--help"])
    call: Callable[[], int] = main
    assert call() == 0
    assert "usage: kubectl carp" in capsys.readouterr().out
