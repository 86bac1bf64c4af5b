"""Entering a network namespace from this process, and getting the right to make some.

A namespace belongs to a thread, so a socket or a process made inside `in_namespace` lives there for good,
while the thread itself is home again afterwards.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

NAMESPACES = Path("/run/netns")

_CLONE_NEWNET = 0x4000_0000
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21
_T = TypeVar("_T")
_libc = ctypes.CDLL(None, use_errno=True)

# /run is covered because `ip netns` and nft write there, and a plain user may not.
_OWN_USER_NAMESPACE = (
    *("unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c"),
    'mount -t tmpfs tmpfs /run && mkdir /run/netns && exec "$0" "$@"',
)
_SETTINGS_THAT_FORBID = (
    ("user/max_user_namespaces", "0"),
    ("kernel/unprivileged_userns_clone", "0"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1"),
)


@contextmanager
def in_namespace(name: str) -> Iterator[None]:
    """The calling thread is inside the namespace for the length of the block."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(NAMESPACES / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # Ctrl-C may strike between any two lines, so the way back is laid before the way in.
            _enter(there)
            yield
        finally:
            _enter(home)
            os.close(there)
    finally:
        os.close(home)


def run_in(name: str, function: Callable[[], _T]) -> _T:
    """What `function` returns when called inside the namespace: a socket, usually."""
    with in_namespace(name):
        return function()


def has_privileges() -> bool:
    """Whether this process may make namespaces, links and mounts: being root in a container is not enough."""
    status = Path("/proc/self/status").read_text()
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
    return all(effective >> capability & 1 for capability in (_CAP_NET_ADMIN, _CAP_SYS_ADMIN))


def ensure_privileges() -> None:
    """Return with the privileges the lab needs, if need be as a new process in a user namespace of its own.

    The command line runs again from its start, so call this first. Under pytest suspend the output capture before.
    """
    if has_privileges():
        return
    try:
        trial = subprocess.run([*_OWN_USER_NAMESPACE, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        _refuse("`unshare` (util-linux) is not installed")
    if trial.returncode:
        _refuse(_reason_it_is_forbidden() or trial.stderr.strip().replace("\n", "; "))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp(_OWN_USER_NAMESPACE[0], [*_OWN_USER_NAMESPACE, sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter the network namespace: {os.strerror(number)}")


def _reason_it_is_forbidden() -> str | None:
    for setting, forbids in _SETTINGS_THAT_FORBID:
        file = Path("/proc/sys") / setting
        if file.exists() and file.read_text().strip() == forbids:
            return f"this kernel forbids it to users ({setting.replace('/', '.')}={forbids})"
    return None


def _refuse(reason: str) -> NoReturn:
    print(f"the lab needs network namespaces, but {reason}; run it with sudo", file=sys.stderr)
    raise SystemExit(1)
