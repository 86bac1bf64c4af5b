"""Whether anybody else may change a file that we take settings, commands or secrets from."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

_OURS = ("/", "/usr/local")
"""Whose user and group are as good as root: Debian's `staff`, and in a user namespace what stands for root."""


def changeable(path: str) -> str | None:
    """Who else may change the file or put another one in its place, with the remedy; None where nobody may.

    That is everybody who may write to it or to a folder above it, and their owners.
    """
    try:
        given, resolved = Path(path).absolute(), Path(path).resolve()
        users, groups = _trusted()
        for one in dict.fromkeys((resolved, *resolved.parents, *given.parents)):
            if os.statvfs(one).f_flag & os.ST_RDONLY:
                # A volume of a ConfigMap is open to everybody by its mode, and mounted so that nobody can write.
                continue
            status = one.stat()
            where = path if one == resolved else f"{path}: its folder {one}"
            if status.st_uid not in users:
                return f"{where} belongs to {_user(status.st_uid)}: chown root {one}"
            if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
                continue
            if status.st_mode & stat.S_IWOTH:
                return f"{where} can be changed by everybody: chmod o-w {one}"
            if status.st_mode & stat.S_IWGRP and status.st_gid not in groups:
                return f"{where} can be changed by group {_group(status.st_gid)}: chmod g-w {one}"
    except (OSError, ValueError):
        pass
    return None


def readable(path: str, status: os.stat_result) -> str | None:
    """Who else may read this file that has a secret in it, and the remedy; None where it is fine."""
    if not stat.S_ISREG(status.st_mode):
        return None
    if status.st_mode & stat.S_IROTH:
        return f"{path} is readable by everybody: chmod 600 {path}"
    if status.st_mode & stat.S_IRGRP and status.st_gid not in _trusted()[1]:
        return f"{path} is readable by group {_group(status.st_gid)}: chmod 600 {path}"
    return None


def changeable_commands(arguments: Iterable[str]) -> Iterator[str]:
    """The same of a command's program, and of each file among its arguments, as in `sh /etc/script`."""
    # Here, since it loads three libraries for archives, and most nodes have no command.
    from shutil import which

    for number, argument in enumerate(arguments):
        path = argument if Path(argument).is_absolute() else which(argument) if number == 0 else None
        if path is not None and Path(path).is_file() and (problem := changeable(path)):
            yield problem


def _trusted() -> tuple[set[int], set[int]]:
    """Users and groups."""
    users, groups = {0, os.geteuid()}, {0, os.getegid()}
    for folder in _OURS:
        try:
            status = Path(folder).stat()
        except OSError:
            continue
        users.add(status.st_uid)
        groups.add(status.st_gid)
    return users, groups


def _user(number: int) -> str:
    import pwd

    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
