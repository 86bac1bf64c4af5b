"""`kubectl carp` on a real cluster, by a real kubectl: as administrator, and as somebody with fewer rights."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.harness import NAMESPACE, VIP, Cluster
from tests.cluster.workstation import Workstation
from tests.support.manual.page import claim

PAGE = "docs/kubectl-carp.md"
[INSTALL] = claim(PAGE, "ln -s")
[STATUS] = claim(PAGE, "kubectl carp status")
[MOVE] = claim(PAGE, "kubectl carp step-down")
[WRONG] = claim(PAGE, "kubectl carp doctor")


@pytest.fixture(scope="module")
def shell(cluster: Cluster, workstation: Workstation) -> Iterator[Workstation]:
    """With the plugin installed as the page says, and the release."""
    home = workstation.folder / "home"
    (home / ".local/bin").mkdir(parents=True)
    environment = workstation._environment
    programs = [str(home / ".local/bin"), str(Path(sys.executable).parent), environment["PATH"]]
    environment |= {"HOME": str(home), "PATH": ":".join(programs)}
    cluster.uninstall()
    cluster.install(f"vip={VIP}")
    cluster.wait_for_one_master()
    workstation.run([INSTALL])
    yield workstation
    cluster.uninstall()


def test_one_table_says_who_holds_it(cluster: Cluster, shell: Workstation) -> None:
    master = cluster.wait_for_one_master()
    head, first, *others = shell.run([STATUS]).splitlines()
    assert head.split()[:3] == ["NODE", "GROUP", "ROLE"]
    assert first.split()[:3] == [master, "vhid-100", "master"]
    assert VIP in first
    assert [line.split()[2] for line in others[:2]] == ["backup", "backup"]
    assert others[-1] == "All is well on 3 nodes."


def test_it_moves_the_address(cluster: Cluster, shell: Workstation) -> None:
    master = cluster.wait_for_one_master()
    said = shell.run([MOVE])
    assert re.search(rf"^{master}: vhid-100: ", said)
    assert "node1: vhid-100: is drained" in said
    cluster.wait_for(lambda: cluster.roles()[master] == "backup", "the hand-over")
    assert cluster.wait_for_one_master() != master


def test_doctor_looks_at_every_node_and_capture_at_one(cluster: Cluster, shell: Workstation) -> None:
    doctor, capture = WRONG.text.splitlines()
    said = shell.shell(doctor)
    assert all(re.search(rf"^{node} \(pod ", said, re.MULTILINE) for node in cluster.nodes), said
    heard = shell.shell(capture)
    assert heard.count(" vhid 100 ") >= 3, heard


def test_a_missing_right_is_named(cluster: Cluster, shell: Workstation) -> None:
    cluster.kubectl("create", "serviceaccount", "-n", NAMESPACE, "jane")
    view = ["--clusterrole=view", f"--serviceaccount={NAMESPACE}:jane"]
    cluster.kubectl("create", "rolebinding", "-n", NAMESPACE, "jane", *view)
    token = cluster.kubectl("create", "token", "-n", NAMESPACE, "jane").strip()
    config = "jane.kubeconfig"
    shell.shell(
        f"kubectl config view --raw >{config}; export KUBECONFIG={config};"
        f" kubectl config set-credentials jane --token={token};"
        " kubectl config set-context jane --cluster=c --user=jane --namespace=carp"
    )
    own = f"--kubeconfig {config} --context jane"
    right = f"system:serviceaccount:{NAMESPACE}:jane lacks a right: create pods/exec in namespace {NAMESPACE}"
    refused = shell.shell(f"kubectl carp drain node1 {own}")
    assert right in refused
    shown = shell.shell(f"kubectl carp status {own}")
    assert right in shown
    assert " master " in shown
