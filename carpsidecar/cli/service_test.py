"""`carpsidecar service-test NAMESPACE NAME CLASS SELECTOR [SECONDS]`: what `helm test` runs, in a pod of its own.

Makes a Service of type LoadBalancer whose pod it is itself, waits for its address and a holder, asks it, and
removes it. Exit status 1 if there is no address, no holder, or no answer, within the seconds (60).

Within the cluster kube-proxy answers in the address's stead, whoever holds it: who does is what the Service says.
"""

import secrets
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from carpsidecar.cli.errors import FAILED, MISUSED, complain

if TYPE_CHECKING:
    from carpsidecar.reporter.kubernetes.client import Api

PATIENCE_S = 60.0
PAUSE_S = 0.5
PORT = 80
_ASK_S = 3.0


def main(argv: Sequence[str]) -> int:
    try:
        namespace, name, class_, selector, *patience = argv
        labels = dict(_pair(one) for one in selector.split(","))
        patience_s = float(patience.pop()) if patience else PATIENCE_S
    except ValueError:
        complain("service-test: give a namespace, a name, a class and labels; the chart's test does")
        return MISUSED
    # Here, since only this command needs them.
    from carpsidecar.reporter.kubernetes.client import Api, ApiError, Timing
    from carpsidecar.reporter.kubernetes.credentials import SERVICE_ACCOUNT
    from carpsidecar.status.stats import ApiStats

    api = Api("", ApiStats(), Timing(), service_account=SERVICE_ACCOUNT)
    token = secrets.token_hex(16).encode()
    try:
        with _listening(token) as listener:
            port = listener.getsockname()[1]
            try:
                _create(api, namespace, name, class_, labels, port)
                return _test(api, namespace, name, token, time.monotonic() + patience_s)
            finally:
                _delete(api, namespace, name)
    except ApiError as error:
        complain(str(error))
        return FAILED
    finally:
        api.close()


def _test(api: "Api", namespace: str, name: str, token: bytes, until: float) -> int:
    """Raises: ApiError."""
    from carpsidecar.reporter.kubernetes.services.objects import ALLOCATED, HELD

    asked: dict[str, str] = {}
    holder = ""
    why = "nobody has looked at it: do the carpsidecar pods run?"
    while time.monotonic() < until:
        service = _read(api, namespace, name)
        if service is not None and ALLOCATED in service.conditions:
            why = service.conditions[ALLOCATED].message
        asked = {ip: _ask(ip, token) for ip in (service.ingress if service is not None else ())}
        held = service.conditions.get(HELD) if service is not None else None
        holder = held.message if held is not None else "no node holds it"
        if asked and not any(asked.values()) and held is not None and held.status == "True":
            for ip in asked:
                print(f"Service {namespace}/{name} got {ip}, and port {PORT} of it leads to this pod")
            print(holder)
            return 0
        time.sleep(PAUSE_S)
    if not asked:
        complain(f"Service {namespace}/{name} got no address: {why}")
    for ip, problem in asked.items():
        complain(f"{ip}, port {PORT}: {problem or f'it leads to this pod; {holder}'}")
    return FAILED


def _ask(ip: str, token: bytes) -> str:
    """What is wrong with the answer; empty where nothing is."""
    try:
        with socket.create_connection((ip, PORT), _ASK_S) as connection:
            connection.settimeout(_ASK_S)
            answer = connection.recv(len(token), socket.MSG_WAITALL)
    except OSError as error:
        return error.strerror or str(error)
    return "" if answer == token else "somebody else answers"


def _listening(token: bytes) -> socket.socket:
    """Answers each connection with the token, until it is closed."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    listener = socket.create_server(("", 0), family=family, dualstack_ipv6=family == socket.AF_INET6)

    def answer() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(token)

    threading.Thread(target=answer, daemon=True).start()
    return listener


def _create(api: "Api", namespace: str, name: str, class_: str, labels: dict[str, str], port: int) -> None:
    """Raises: ApiError."""
    from carpsidecar.reporter.kubernetes.client import Request
    from carpsidecar.reporter.kubernetes.rbac import Rule

    body: dict[str, Any] = {
        "metadata": {"name": name},
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": class_,
            "selector": labels,
            "ports": [{"port": PORT, "targetPort": port}],
        },
    }
    api.call(Request("POST", _path(namespace), Rule("create", "services", namespace), body=body))


def _read(api: "Api", namespace: str, name: str) -> Any:
    """Raises: ApiError."""
    from carpsidecar.reporter.kubernetes.client import Request
    from carpsidecar.reporter.kubernetes.objects import read_page
    from carpsidecar.reporter.kubernetes.rbac import Rule
    from carpsidecar.reporter.kubernetes.services.objects import read_service

    query = {"fieldSelector": f"metadata.name={name}"}
    answer = api.call(Request("GET", _path(namespace), Rule("list", "services", namespace), query))
    return next((read_service(item) for item in read_page(answer).items), None)


def _delete(api: "Api", namespace: str, name: str) -> None:
    """Raises: ApiError."""
    from carpsidecar.reporter.kubernetes.client import ApiError, Request
    from carpsidecar.reporter.kubernetes.rbac import Rule

    try:
        api.call(Request("DELETE", f"{_path(namespace)}/{name}", Rule("delete", "services", namespace)))
    except ApiError as error:
        if error.status != 404:
            raise


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services"


def _pair(label: str) -> tuple[str, str]:
    """Raises: ValueError."""
    key, value = label.split("=")
    return key, value
