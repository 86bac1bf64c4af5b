"""kubectl, with the user's own configuration: our pods, and commands in them."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import Struct

SELECTOR = "app.kubernetes.io/name=carpsidecar"
CONTAINER = "carpsidecar"
_AT_ONCE = 16
_LIST_S, _EXEC_S = 30.0, 20.0
_ROLE_LABEL = "carp-role"
_FORBIDDEN = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<what>[^"]*)"')
_LOG_LINE = re.compile(r"[IWEF]\d{4} [\d:.]+ +\d+ \S+\] ")
"""What kubectl's libraries log, many times over, before kubectl reports the error itself."""
_NAMESPACE = re.compile(r'in the namespace "([^"]*)"')


class AccessError(Exception):
    """Why the cluster can't be asked, in one line; where a right is missing, which."""


class Forbidden(AccessError):
    """A right is missing."""


class Pod(Struct, frozen=True):
    """One of ours, as the API shows it."""

    name: str
    namespace: str
    node: str
    labels: dict[str, str]
    annotations: dict[str, str]
    running: bool

    @property
    def roles(self) -> dict[str, str]:
        """By the label's suffix: the group's name, or nothing for the first."""
        return {
            name.removeprefix(_ROLE_LABEL).removeprefix("-"): role
            for name, role in self.labels.items()
            if name == _ROLE_LABEL or name.startswith(f"{_ROLE_LABEL}-")
        }


class Kubectl:
    def __init__(self, *, context: str | None, kubeconfig: str | None) -> None:
        self._kubectl = ["kubectl"]
        if context:
            self._kubectl.append(f"--context={context}")
        if kubeconfig:
            self._kubectl.append(f"--kubeconfig={kubeconfig}")

    def pods(self, namespace: str | None) -> list[Pod]:
        """Our pods, by node; without a namespace those of all, or, where that is not allowed, of the context's.

        Raises:
            AccessError: they can't be listed.
        """
        listing = ["get", "pods", "--selector", SELECTOR, "--output", "json"]
        if namespace:
            return _pods(self._run([*listing, "--namespace", namespace]))
        try:
            return _pods(self._run([*listing, "--all-namespaces"]))
        except Forbidden:
            return _pods(self._run(listing))

    def on_each(
        self, pods: Sequence[Pod], command: Sequence[str], *, within_s: float = _EXEC_S
    ) -> "Iterator[tuple[Pod, subprocess.CompletedProcess[str]]]":
        """Run a carpsidecar command in each pod, all at once, and give them in order. What can't be run has an exit
        status and says why on its standard error.

        Raises:
            Forbidden: there is no right to do so.
        """

        def run(pod: Pod) -> "subprocess.CompletedProcess[str]":
            words = [*self._kubectl, *_exec(pod), "--", "carpsidecar", *command]
            try:
                done = subprocess.run(words, capture_output=True, text=True, timeout=within_s, check=False)
            except subprocess.TimeoutExpired:
                return subprocess.CompletedProcess(words, 1, "", f"no answer within {within_s:g} s\n")
            if done.returncode and (missing := _missing_right(done.stderr)):
                raise Forbidden(missing)
            return done

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            yield from zip(pods, pool.map(run, pods), strict=True)

    def hand_over(self, pod: Pod, command: Sequence[str]) -> int:
        """Run it in the pod with our own input and output, until it or the user ends it; the exit status."""
        words = [*self._kubectl, *_exec(pod), "--", "carpsidecar", *command]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            try:
                said = running.stderr.read()
                status = running.wait()
            except KeyboardInterrupt:
                running.terminate()
                return 0
        if status and (missing := _missing_right(said)):
            raise Forbidden(missing)
        print(said, end="", flush=True)
        return status

    def _run(self, arguments: Sequence[str]) -> str:
        try:
            done = subprocess.run(
                [*self._kubectl, *arguments], capture_output=True, text=True, timeout=_LIST_S, check=False
            )
        except FileNotFoundError:
            raise AccessError("kubectl is not in PATH: install it, for this goes through it") from None
        except subprocess.TimeoutExpired:
            raise AccessError(f"kubectl has no answer within {_LIST_S:g} s: is the API server in reach?") from None
        if done.returncode:
            if missing := _missing_right(done.stderr):
                raise Forbidden(missing)
            raise AccessError(_reason(done.stderr) or f"kubectl ended with exit status {done.returncode}")
        return done.stdout


def _exec(pod: Pod) -> list[str]:
    return ["exec", "--namespace", pod.namespace, pod.name, "--container", CONTAINER]


def _reason(said: str) -> str:
    """kubectl's error, in one line."""
    lines = [line for line in said.splitlines() if not _LOG_LINE.match(line)]
    return " ".join(" ".join(lines).split()).removeprefix("error: ")


def _missing_right(said: str) -> str:
    """The right that the API server says is missing; empty where it says nothing of that kind."""
    found = _FORBIDDEN.search(said)
    if not found:
        return ""
    namespace = _NAMESPACE.search(said)
    where = f"in namespace {namespace[1]}" if namespace else "in all namespaces"
    return (
        f"{found['user']} lacks a right: {found['verb']} {found['what']} {where}:"
        f" give it by a {'Role' if namespace else 'ClusterRole'}, or name another --context"
    )


def _pods(text: str) -> list[Pod]:
    return sorted((_pod(item) for item in json.loads(text)["items"]), key=lambda pod: (pod.namespace, pod.node))


def _pod(item: dict[str, Any]) -> Pod:
    metadata = item["metadata"]
    return Pod(
        name=metadata["name"],
        namespace=metadata["namespace"],
        node=item["spec"].get("nodeName", ""),
        labels=metadata.get("labels", {}),
        annotations=metadata.get("annotations", {}),
        running=item.get("status", {}).get("phase") == "Running",
    )
