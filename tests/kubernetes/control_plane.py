"""A real kube-apiserver on a real etcd, without anything that would run a pod."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, suppress
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.certificates import Authority, in_pem

_DEFAULT_FOLDER = "/usr/local/kubebuilder/bin"
_STARTS_WITHIN_S = 60.0


def found(program: str) -> str | None:
    """Where it is: in KUBEBUILDER_ASSETS, where kubebuilder puts it, or on the path."""
    folders = [os.environ.get("KUBEBUILDER_ASSETS", ""), _DEFAULT_FOLDER, os.environ.get("PATH", "")]
    return shutil.which(program, path=os.pathsep.join(folder for folder in folders if folder))


class ControlPlane:
    """Runs from `with` to its end, in a folder of its own, on ports of its own."""

    def __init__(self) -> None:
        self._undo = ExitStack()

    def __enter__(self) -> "ControlPlane":
        with self._undo:
            self.folder = Path(self._undo.enter_context(TemporaryDirectory(prefix="carp-tests-")))
            self.authority = Authority(self.folder)
            self._server_files = self.authority.issue("server")
            self._admin_files = self.authority.issue("admin", "system:masters")
            (self.folder / "accounts.key").write_bytes(in_pem(ec.generate_private_key(ec.SECP256R1())))
            self._etcd = f"http://127.0.0.1:{_free_port()}"
            self.port = _free_port()
            self._start("etcd", *self._etcd_options())
            self._process = self._start("kube-apiserver", *self._server_options())
            self._wait()
            self._undo = self._undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def context(self) -> ssl.SSLContext:
        """What an administrator's client needs."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(*map(str, self._admin_files))
        return context

    def _etcd_options(self) -> list[str]:
        peers = f"http://127.0.0.1:{_free_port()}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd}",
            f"--advertise-client-urls={self._etcd}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ]

    def _server_options(self) -> list[str]:
        certificate, key = self._server_files
        accounts = self.folder / "accounts.key"
        return [
            f"--etcd-servers={self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--client-ca-file={self.authority.certificate}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={accounts}",
            f"--service-account-key-file={accounts}",
            "--authorization-mode=RBAC",
            # It would refuse pods whose service account nobody made.
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24,fd00:10::/112",
        ]

    def _start(self, program: str, *options: str) -> "subprocess.Popen[bytes]":
        path = found(program)
        assert path is not None
        with (self.folder / f"{program}.log").open("wb") as log:
            process = subprocess.Popen(
                [path, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self._undo.callback(_end, process)
        return process

    def _wait(self) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN_S
        context = self.context()
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError, HTTPException):
                connection = HTTPSConnection("127.0.0.1", self.port, context=context, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.1)
        log = (self.folder / "kube-apiserver.log").read_text(errors="replace")
        raise RuntimeError(f"kube-apiserver did not start:\n{log[-3000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    # Nothing of it is kept; a server that is asked to end would wait for its watches.
    process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
