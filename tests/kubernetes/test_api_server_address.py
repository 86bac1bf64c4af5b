"""docs/recipes/api-server.md: API servers on two machines of the lab, and the address goes to one that works."""

import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.namespace import has_privileges
from carpsidecar.lab.network import Lab
from carpsidecar.lab.process import Process
from tests.kubernetes.control_plane import found
from tests.support.certificates import Authority
from tests.support.manual.machine import Machine
from tests.support.manual.page import SOURCE, claim
from tests.support.manual.runner import Runner
from tests.support.waits import SOON_S

BLOCKS = claim("docs/recipes/api-server.md")
AS_A_STATIC_POD = next(block for block in BLOCKS if block.text.startswith("cp static-pod.yaml"))
"""That one is run on a real cluster: tests/cluster/test_manual_api_server.py."""
LOOK = next(block for block in BLOCKS if block.text.startswith("curl"))
PREPARATION = [b for b in BLOCKS[: BLOCKS.index(LOOK)] if b is not AS_A_STATIC_POD]
MANIFEST = SOURCE / "docs" / "kubernetes" / "static-pod.yaml"

VIP, ETCD = "192.0.2.100", "192.0.2.1"
ADDRESSES = {"first": "192.0.2.12", "second": "192.0.2.11"}
"""By `advskew: auto`, the first is preferred for this vhid."""
PKI = "/etc/kubernetes/pki"


@dataclass
class ControlPlanes:
    first: Machine
    second: Machine
    runner: Runner
    watch: HolderWatch

    def serve(self, machine: Machine) -> Process:
        """Start an API server there, and wait until it is ready."""
        program = found("kube-apiserver")
        process = machine.start(
            f"exec {program} --etcd-servers=http://{ETCD}:2379 --bind-address=0.0.0.0 --secure-port=6443"
            f" --advertise-address={ADDRESSES[machine.name]} --client-ca-file={PKI}/ca.crt"
            f" --tls-cert-file={PKI}/apiserver.crt --tls-private-key-file={PKI}/apiserver.key"
            " --service-account-issuer=https://kubernetes.default.svc"
            f" --service-account-signing-key-file={PKI}/apiserver.key"
            f" --service-account-key-file={PKI}/apiserver.key --authorization-mode=RBAC"
            " --endpoint-reconciler-type=none --service-cluster-ip-range=10.0.0.0/24"
            " --shutdown-delay-duration=6s"
        )
        deadline = time.monotonic() + SOON_S
        while self.ask(machine, "127.0.0.1", "/readyz") != "ok":
            if time.monotonic() > deadline or process.returncode is not None:
                raise TimeoutError(f"the API server on {machine.name} does not get ready:\n{process.log[-3000:]}")
            time.sleep(0.2)
        return process

    def ask(self, machine: Machine, address: str, path: str) -> str:
        url = f"https://{address}:6443{path}"
        return machine.run(f"curl --silent --max-time 2 --cacert {PKI}/ca.crt {url}", check=False)

    def wait_for_holder(self, machine: Machine) -> None:
        self.watch.wait_until(
            lambda holders: holders == {machine.name}, SOON_S, f"{machine.name} alone as the holder"
        )


@pytest.fixture
def planes(tmp_path: Path) -> Iterator[ControlPlanes]:
    """With everything that the page prepares; nothing runs but etcd."""
    if not has_privileges():
        pytest.skip("needs network namespaces: run `sudo make test`")
    with Lab() as lab:
        etcd = Machine(lab, "etcd", [[f"{ETCD}/24"]])
        etcd.start(
            f"exec {found('etcd')} --data-dir=/root/etcd --listen-client-urls=http://{ETCD}:2379"
            f" --advertise-client-urls=http://{ETCD}:2379 --unsafe-no-fsync"
        )
        first, second = (Machine(lab, name, [[f"{address}/24"]]) for name, address in ADDRESSES.items())
        authority = Authority(tmp_path)
        certificate, key = authority.issue("apiserver", addresses=[VIP])
        for machine in (first, second):
            for file in (authority.certificate, certificate, key):
                machine.write(f"{PKI}/{file.name}", file.read_text())
        runner = Runner([first, second])
        with HolderWatch([first.node, second.node], VIP) as watch:
            yield ControlPlanes(first, second, runner, watch)


def start_as_the_kubelet_would(machine: Machine) -> Process:
    """What the manifest says is started, with its environment."""
    [container] = yaml.safe_load(MANIFEST.read_text())["spec"]["containers"]
    variables = [f"{one['name']}={one['value']}" for one in container["env"]]
    return machine.start(shlex.join(["exec", "env", *variables, "carpsidecar", *container["args"]]))


def test_the_address_goes_where_an_api_server_works(planes: ControlPlanes) -> None:
    first, second, watch = planes.first, planes.second, planes.watch
    planes.runner.run(PREPARATION)
    second.write("/etc/carpsidecar/passphrase", first.run("cat /etc/carpsidecar/passphrase"))

    # Before there is any API server: somebody holds it.
    engines = [start_as_the_kubelet_would(machine) for machine in (first, second)]
    for engine in engines:
        engine.wait_for("check api-server: unhealthy: no connection: refused", SOON_S)
    watch.wait_for_exactly_one(SOON_S)

    # Whoever it is: the one that comes up has it, and then the preferred one.
    planes.serve(second)
    planes.wait_for_holder(second)
    api = planes.serve(first)
    planes.wait_for_holder(first)
    planes.runner.run(BLOCKS[BLOCKS.index(LOOK) :])

    # It dies: the address moves.
    since = time.monotonic()
    api.kill()
    planes.wait_for_holder(second)
    assert planes.ask(first, VIP, "/readyz") == "ok"
    assert time.monotonic() - since < 8

    # It is told to stop: the address leaves while it still answers.
    planes.serve(first)
    planes.wait_for_holder(first)
    first.run("pkill -x kube-apiserver")
    answered = 0
    while watch.holders_now() != {"second"}:
        answer = planes.ask(second, VIP, "/version")
        # What was under way when the address left is lost.
        assert '"gitVersion"' in answer or watch.holders_now() != {"first"}
        answered += bool(answer)
    assert answered
    assert '"gitVersion"' in planes.ask(first, "127.0.0.1", "/version"), "it still answers"
    assert watch.two_holders_s(since) < 0.1


def test_every_variable_of_the_manifest_is_in_the_drop_in() -> None:
    [container] = yaml.safe_load(MANIFEST.read_text())["spec"]["containers"]
    [drop_in] = [block for block in BLOCKS if block.language == "ini"]
    assert {f"Environment={one['name']}={one['value']}" for one in container["env"]} == {
        line for line in drop_in.text.splitlines() if line.startswith("Environment=")
    }
