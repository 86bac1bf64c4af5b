"""`carpsidecar status` and the commands, as somebody on a machine of the lab would give them."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from carpsidecar.lab.commands import environment
from carpsidecar.lab.namespace import in_namespace
from carpsidecar.lab.node import Node
from tests.support.command import COMMAND
from tests.support.daemon import GROUP
from tests.support.waits import SOON_S

Ended = subprocess.CompletedProcess[str]


def ask(node: Node, *arguments: str, by: Sequence[str] = (), of: Node | None = None) -> Ended:
    """Args: by: put before the command; of: the machine whose sockets are asked, if it is not this one."""
    with in_namespace(node.ns):
        return subprocess.run(
            [*by, *COMMAND, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environment((of or node).environment),
        )


def told(node: Node, name: str = GROUP) -> dict[str, Any]:
    """What `status --json` says of a group, with its exit status."""
    ended = ask(node, "status", "--json")
    document = json.loads(ended.stdout)
    assert document["exit_status"] == ended.returncode
    found = [group for engine in document["engines"] for group in engine["groups"] if group["group"] == name]
    return {"exit": ended.returncode, **(found[0] if found else {"role": None})}


def wait_until_told(node: Node, wanted: Callable[[dict[str, Any]], bool], name: str = GROUP) -> dict[str, Any]:
    """The status, as soon as it is so."""
    deadline = time.monotonic() + SOON_S
    while not wanted(found := told(node, name)):
        assert time.monotonic() < deadline, found
    return found
