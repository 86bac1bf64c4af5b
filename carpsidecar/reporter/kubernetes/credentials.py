"""Where the API server is and who we are to it: the pod's service account, or a kubeconfig."""

import socket
from pathlib import Path

from kubernetes.client.configuration import Configuration
from kubernetes.config import load_kube_config
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.utils.keepalive import tcp_keepalive_socket_options

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CONNECTIONS = 5
"""That are kept open: there are no more threads."""


def configuration(kubeconfig: str, service_account: Path, lost_after_s: float) -> Configuration:
    """For the official client, which reads the service account's token anew each minute.

    Args:
        kubeconfig: a file; empty: the service account in that folder.
        lost_after_s: a connection on which nothing arrives for so long is given up.

    Raises:
        ConfigException, OSError, ValueError, TypeError, LookupError: as the official client finds what is wrong.
    """
    found = Configuration()
    if kubeconfig:
        load_kube_config(kubeconfig, client_configuration=found, persist_config=False)  # type: ignore[no-untyped-call]
    else:
        token, authority = str(service_account / "token"), str(service_account / "ca.crt")
        InClusterConfigLoader(token, authority).load_and_set(found)  # type: ignore[no-untyped-call]
    # Who asks knows better when to ask again.
    found.retries = False
    found.connection_pool_maxsize = _CONNECTIONS
    found.socket_options = [
        *tcp_keepalive_socket_options(idle=20, interval=5, count=3),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * lost_after_s)),
    ]
    return found
