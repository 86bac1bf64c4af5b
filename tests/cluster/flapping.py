"""Pods of a Service whose readiness comes and goes: `python -m tests.cluster.flapping KUBECONFIG SECONDS STEADY`.

Runs where the API server is reached. The EndpointSlice comes by standard input, and is changed ten times a second:
one pod is ready each time at least, by chance, and always the one on the node STEADY, where one is named.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

from carpsidecar.lab.commands import run
from tests.cluster.harness import CONTROL_PLANE, ROOT

_PORT = 8077
_EVERY_S = 0.1
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def flap(slice_: dict[str, Any], seconds: float, steady: str = "") -> int:
    """How many changes there were."""
    command = [sys.executable, "-m", __name__, str(ROOT / "admin.kubeconfig"), str(seconds), steady]
    return int(run(command, namespace=CONTROL_PLANE, stdin=json.dumps(slice_)))


def main() -> None:
    kubeconfig, seconds, steady = sys.argv[1:]
    slice_ = json.load(sys.stdin)
    chance, changes = random.Random(1), 0
    with _server(kubeconfig) as server:
        until = time.monotonic() + float(seconds)
        while time.monotonic() < until:
            ready = _some_of([one["nodeName"] for one in slice_["endpoints"]], steady, chance)
            for one in slice_["endpoints"]:
                one["conditions"] = {"ready": one["nodeName"] in ready}
            body = json.dumps({"endpoints": slice_["endpoints"]})
            headers = {"Content-Type": "application/merge-patch+json"}
            server.request("PATCH", f"{_SLICES}/{slice_['metadata']['name']}", body, headers)
            answer = server.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            changes += 1
            time.sleep(_EVERY_S)
    print(changes)


def _some_of(nodes: list[str], steady: str, chance: random.Random) -> set[str]:
    ready = {node for node in nodes if chance.random() < 0.5}
    return ready | ({steady} if steady else {chance.choice(nodes)})


@contextmanager
def _server(kubeconfig: str) -> Iterator[HTTPConnection]:
    command = ["kubectl", "--kubeconfig", kubeconfig, "proxy", f"--port={_PORT}"]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert proxy.stdout is not None
        assert proxy.stdout.readline()
        yield HTTPConnection("127.0.0.1", _PORT, timeout=30)
    finally:
        proxy.terminate()
        proxy.wait()


if __name__ == "__main__":
    main()
