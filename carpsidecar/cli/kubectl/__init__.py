"""`kubectl carp`: one cluster's carpsidecars at once, by the user's own kubectl, its context and its rights.

Started under the name kubectl-carp, the program is this. Everything goes through kubectl (access.py), so that what
its kubeconfig says of clusters, users and logins holds here too.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from carpsidecar.cli.errors import FAILED, complain
from carpsidecar.cli.kubectl.access import CONTAINER, AccessError, Kubectl, Pod
from carpsidecar.cli.parser import Parser

PROGRAM = "kubectl carp"
_EPILOG = """\
commands:
  status                who holds what on which node, since when and why; versions, and configuration that differs
  doctor                what is wrong, on all nodes at once
  drain NODE            keep the addresses away from this node, until undrain
  undrain NODE          end that
  step-down [NODE]      hand over, once; without a node, whoever is master
  promote NODE          make this node the master
  capture NODE [OPTION...]  CARP as this node hears it; the options of `carpsidecar capture`

exit status:
  0    all well, or done
  1    failed: no pod, no right, or no answer
  2    the command line can't be used
  3    status: a group has no master
  4    status: a fault; doctor: a problem was found

examples:
  kubectl carp status
  kubectl carp drain node-1 --reason "kernel update" -n carp
  kubectl carp capture node-1 --count 10
"""


def parser() -> Parser:
    options = Parser(
        prog=PROGRAM, description="See and steer carpsidecar on all nodes of a cluster.", epilog=_EPILOG
    )
    options.add_argument("command", choices=_COMMANDS, metavar="COMMAND", help="one of those below")
    options.add_argument(
        "node", nargs="?", metavar="NODE", help="the name of a node, as `kubectl get nodes` has it"
    )
    options.add_argument("-n", "--namespace", metavar="NAME", help="only this namespace (default: all)")
    options.add_argument("--context", metavar="NAME", help="as of kubectl")
    options.add_argument("--kubeconfig", metavar="FILE", help="as of kubectl")
    options.add_argument("--group", metavar="GROUP", help="only this group")
    options.add_argument("--reason", metavar="TEXT", help="shown in status, logs and events")
    options.add_argument("--json", action="store_true", help="status: print one JSON object")
    return options


def main(argv: Sequence[str]) -> int:
    options = parser()
    own, passed_on = _split(argv)
    given = options.read(own)
    if passed_on and given["command"] != "capture":
        options.error(f"unknown option {passed_on[0].partition('=')[0]}")
    if given["node"] is None and given["command"] in ("drain", "undrain", "promote", "capture"):
        options.error(f"{given['command']}: NODE: which one? `kubectl carp status` shows them")
    cluster = Kubectl(context=given["context"], kubeconfig=given["kubeconfig"])
    try:
        pods = cluster.pods(given["namespace"])
        if not pods:
            where = f"namespace {given['namespace']}" if given["namespace"] else "any namespace"
            raise AccessError(
                f"no pod of carpsidecar in {where} ({CONTAINER}): is it installed, and is this the cluster?"
            )
        return _COMMANDS[given["command"]](cluster, pods, given, passed_on)
    except AccessError as error:
        complain(str(error), PROGRAM)
        return FAILED


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is ours, and behind `capture NODE` what is its."""
    words = list(argv)
    if "capture" not in words:
        return words, []
    end = words.index("capture") + 2
    return words[:end], words[end:]


def _status(cluster: Kubectl, pods: list[Pod], given: dict[str, Any], _: Sequence[str]) -> int:
    from carpsidecar.cli.kubectl.overview import overview, read

    seen, problems = read(cluster, pods)
    return overview(seen, problems, group=given["group"], as_json=given["json"])


def _doctor(cluster: Kubectl, pods: list[Pod], _: dict[str, Any], __: Sequence[str]) -> int:
    found = False
    command = ["doctor", "--config", "/etc/carpsidecar/carpsidecar.yaml"]
    for pod, ended in cluster.on_each(pods, command, within_s=120):
        print(f"{pod.node} (pod {pod.name} in namespace {pod.namespace}):")
        said = ended.stdout or ended.stderr
        print("".join(f"  {line}\n" for line in said.splitlines()))
        found = found or ended.returncode != 0
    return 4 if found else 0


def _command(cluster: Kubectl, pods: list[Pod], given: dict[str, Any], _: Sequence[str]) -> int:
    command = given["command"]
    chosen = _on(pods, given["node"]) if given["node"] else [pod for pod in pods if "master" in pod.roles.values()]
    if not chosen:
        raise AccessError("no pod is labelled master: name a node, or see `kubectl carp status`")
    words = [command]
    if given["group"]:
        words += ["--group", given["group"]]
    if given["reason"]:
        words += ["--reason", given["reason"]]
    failed = False
    for pod, ended in cluster.on_each(chosen, words):
        for line in (ended.stdout + ended.stderr).splitlines():
            print(f"{pod.node}: {line}", file=sys.stderr if ended.returncode else sys.stdout)
        failed = failed or ended.returncode != 0
    return FAILED if failed else 0


def _capture(cluster: Kubectl, pods: list[Pod], given: dict[str, Any], options: Sequence[str]) -> int:
    [pod, *_] = _on(pods, given["node"])
    return cluster.hand_over(pod, ["capture", *options])


def _on(pods: list[Pod], node: str) -> list[Pod]:
    chosen = [pod for pod in pods if pod.node == node]
    if not chosen:
        raise AccessError(
            f"no pod of carpsidecar on node {node}: there is one on {', '.join(sorted({p.node for p in pods}))}"
        )
    return chosen


_COMMANDS: dict[str, Callable[[Kubectl, list[Pod], dict[str, Any], Sequence[str]], int]] = {
    "status": _status,
    "doctor": _doctor,
    "drain": _command,
    "undrain": _command,
    "step-down": _command,
    "promote": _command,
    "capture": _capture,
}
