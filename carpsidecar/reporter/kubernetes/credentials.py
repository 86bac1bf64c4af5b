"""Where the API server is and who we are to it: the pod's service account, or a kubeconfig.

The official client reads a kubeconfig, and is loaded only for that: it takes more memory than the whole reporter.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import urllib3
from urllib3.connection import HTTPConnection

from carpsidecar.logs import in_words

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CONNECTIONS = 5
"""That are kept open: there are no more threads."""
_KEEPALIVE = {socket.TCP_KEEPIDLE: 20, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""A watch may be silent for minutes, and its other end gone."""


class Access(NamedTuple):
    url: str
    connections: urllib3.PoolManager
    authorization: Callable[[], str | None]
    """The header for a request that is made now; None where a certificate says who we are. Raises as `access`."""


def access(kubeconfig: str, service_account: Path, lost_after_s: float) -> Access:
    """
    Args:
        kubeconfig: a file; empty: the service account in that folder.
        lost_after_s: a connection that answers nothing for so long is given up.

    Raises:
        OSError, ValueError, TypeError, LookupError: what is missing or wrong.
    """
    options = [
        *HTTPConnection.default_socket_options,
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        *((socket.IPPROTO_TCP, option, number) for option, number in _KEEPALIVE.items()),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * lost_after_s)),
    ]
    return _of_kubeconfig(kubeconfig, options) if kubeconfig else _of_service_account(service_account, options)


def _of_service_account(folder: Path, options: list[tuple[int, int, int]]) -> Access:
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not host or not port:
        raise LookupError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    authority = folder / "ca.crt"
    _read(authority)

    def authorization() -> str:
        # The kubelet replaces the token before it ends.
        return f"Bearer {_read(folder / 'token')}"

    connections = urllib3.PoolManager(
        maxsize=_CONNECTIONS, cert_reqs="CERT_REQUIRED", ca_certs=str(authority), socket_options=options
    )
    return Access(f"https://{f'[{host}]' if ':' in host else host}:{port}", connections, authorization)


def _of_kubeconfig(file: str, options: list[tuple[int, int, int]]) -> Access:
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config import ConfigException, load_kube_config

    found = Configuration()
    found.connection_pool_maxsize = _CONNECTIONS
    found.socket_options = options
    try:
        load_kube_config(file, client_configuration=found, persist_config=False)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise ValueError(str(error)) from None
    connections: urllib3.PoolManager = RESTClientObject(found).pool_manager
    return Access(found.host, connections, lambda: found.get_api_key_with_prefix("BearerToken"))


def _read(file: Path) -> str:
    """Raises: OSError, ValueError."""
    try:
        text = file.read_text().strip()
    except OSError as error:
        raise ValueError(f"{file}: {in_words(error)}") from None
    if not text:
        raise ValueError(f"{file} is empty")
    return text
