"""What runs in the pods behind a Service: `python -m tests.cluster.backend NAME`.

On port 80 it answers GET with its name and the client's address; on the lab's port, questions of the lab's client.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from carpsidecar.lab import echo

PORT = 80
_SOURCE = str(Path(__file__).parents[2])
_FOLDERS = ["/usr", "/lib", "/lib64", sys.base_prefix, _SOURCE]


def deployment(name: str, replicas: int = 3) -> dict[str, Any]:
    """A manifest: no image with a server can be had, but the nodes have this machine's files."""
    container = {
        "name": "server",
        "image": "localhost/pause:1",
        "imagePullPolicy": "Never",
        "command": [str(Path(sys.executable).resolve()), "-m", __name__, "$(NAME)"],
        "env": [
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "PYTHONPATH", "value": _SOURCE},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
        "volumeMounts": [
            {"name": f"folder{number}", "mountPath": folder, "readOnly": True}
            for number, folder in enumerate(_FOLDERS)
        ],
        "readinessProbe": {"httpGet": {"port": PORT, "path": "/"}, "periodSeconds": 1, "timeoutSeconds": 5},
    }
    pod = {
        "containers": [container],
        "volumes": [
            {"name": f"folder{number}", "hostPath": {"path": folder}} for number, folder in enumerate(_FOLDERS)
        ],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = f"{sys.argv[1]} {self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    http = ThreadingHTTPServer(("0.0.0.0", PORT), _Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    echo.main()


if __name__ == "__main__":
    main()
