"""A real kube-apiserver with its etcd, alone: it stores and checks objects, and nothing runs."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

START_WITHIN_S = 60
# The server listens on loopback, and lives for one run.
TOKEN, TOKEN_WITHOUT_RIGHTS = "for-tests-only", "for-nothing"


class MissingError(Exception):
    """What is not on this machine."""


class ApiServer:
    """One that runs; `kubeconfig` is the file of an administrator."""

    def __init__(self, kubectl: str, url: str, kubeconfig: Path) -> None:
        self.url = url
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl

    def kubectl(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [self._kubectl, "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def find(name: str) -> str:
    """Raises: MissingError."""
    folder = os.environ.get("KUBEBUILDER_ASSETS", "/usr/local/kubebuilder/bin")
    found = shutil.which(name, path=f"{folder}:{os.environ.get('PATH', '')}")
    if found is None:
        raise MissingError(f"{name} is neither in {folder} (KUBEBUILDER_ASSETS) nor in PATH")
    return found


@contextmanager
def running() -> Iterator[ApiServer]:
    """Start both, and end them with the block.

    Raises:
        MissingError: a program is not here.
        RuntimeError: the server does not get ready; with what it logged.
    """
    apiserver, etcd, kubectl = (find(name) for name in ("kube-apiserver", "etcd", "kubectl"))
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        etcd_port, peer_port, port = _free_ports(3)
        key = folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (folder / "tokens.csv").write_text(
            f"{TOKEN},admin,admin,system:masters\n{TOKEN_WITHOUT_RIGHTS},nobody,nobody\n"
        )
        listen = f"http://127.0.0.1:{etcd_port}"
        parts.enter_context(
            _process(
                folder / "etcd.log",
                f"{etcd} --data-dir {folder}/etcd --listen-client-urls {listen} --advertise-client-urls {listen}"
                f" --listen-peer-urls http://127.0.0.1:{peer_port} --unsafe-no-fsync",
            )
        )
        log = folder / "kube-apiserver.log"
        server = parts.enter_context(
            _process(
                log,
                f"{apiserver} --etcd-servers {listen} --bind-address 127.0.0.1 --secure-port {port}"
                f" --cert-dir {folder}/certificates --token-auth-file {folder}/tokens.csv"
                f" --service-account-key-file {key} --service-account-signing-key-file {key}"
                " --service-account-issuer https://kubernetes.default.svc --authorization-mode RBAC"
                " --service-cluster-ip-range 10.0.0.0/24 --endpoint-reconciler-type none"
                " --disable-admission-plugins ServiceAccount",
            )
        )
        url = f"https://127.0.0.1:{port}"
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(
            "{apiVersion: v1, kind: Config, current-context: c,"
            f" clusters: [{{name: c, cluster: {{server: '{url}', insecure-skip-tls-verify: true}}}}],"
            f" users: [{{name: u, user: {{token: {TOKEN}}}}}],"
            " contexts: [{name: c, context: {cluster: c, user: u}}]}"
        )
        kubeconfig.chmod(0o600)
        api = ApiServer(kubectl, url, kubeconfig)
        _await_ready(api, server, log)
        yield api


def _await_ready(api: ApiServer, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_WITHIN_S
    while api.kubectl("get", "--raw", "/readyz").stdout != "ok":
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"kube-apiserver did not get ready:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)


@contextmanager
def _process(log: Path, command: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out, subprocess.Popen(command.split(), stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as sockets:
        bound = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in bound]
