"""What the database's page needs and a lab has not, as short scripts: DRBD's kernel module, a volume, systemd.

Each writes what it was asked for to one log. The units, their commands and their order are the page's own.
"""

from pathlib import Path

from tests.support.manual.machine import Machine

_DRBDADM = """\
# One primary at a time, as DRBD has it while its hosts hear each other.
case $1 in
primary)
    mkdir {shared}/primary 2>/dev/null || [ "$(cat {shared}/primary/host)" = "$(hostname)" ] || exit 11
    hostname >{shared}/primary/host ;;
secondary)
    if [ "$(cat {shared}/primary/host 2>/dev/null)" = "$(hostname)" ]; then rm -r {shared}/primary; fi ;;
dstate)
    cat {shared}/dstate-"$(hostname)" 2>/dev/null || echo UpToDate/UpToDate
    exit ;;
*) exit 1 ;;
esac
"""
_MOUNT = """\
[ ! -e {shared}/mount-fails-on-"$(hostname)" ] || exit 32
touch /run/mounted
"""
_UMOUNT = "rm /run/mounted\n"
_MOUNTPOINT = "test -e /run/mounted; exit\n"
_SYSTEMCTL = """\
# Starts and stops units as systemd does oneshot ones, one job at a time.
command() { sed -n "s/^$1=//p" "$file"; }
verb=$1
shift
for unit; do
    file=/etc/systemd/system/$unit.service
    active=/run/active-$unit
    case $verb in
    start)
        [ ! -e "$active" ] || continue
        if [ -e "$file" ] && ! flock /run/job $(command ExecStart); then
            flock /run/job $(command ExecStopPost)
            exit 1
        fi
        touch "$active" ;;
    stop)
        [ -e "$active" ] || continue
        [ ! -e "$file" ] || flock /run/job $(command ExecStopPost)
        rm "$active" ;;
    is-active)
        if [ -e "$active" ]; then echo active; else echo inactive; fi ;;
    disable) ;;
    *) exit 1 ;;
    esac
done
case $verb in start | stop) [ ! -e "$file" ] || exit 0 ;; *) exit 0 ;; esac
"""
STAND_INS = {
    "drbdadm": _DRBDADM,
    "mount": _MOUNT,
    "umount": _UMOUNT,
    "mountpoint": _MOUNTPOINT,
    "systemctl": _SYSTEMCTL,
}


def install(machine: Machine, shared: Path) -> None:
    """`shared` is a folder that all hosts see."""
    for name, script in STAND_INS.items():
        path = f"/usr/local/sbin/{name}"
        lines = ["#!/bin/sh", f'line="$(hostname): {name} $*"', script.replace("{shared}", str(shared))]
        machine.write(path, "\n".join([*lines, f'echo "$line" >>{shared}/log', ""]))
        machine.run(f"chmod 755 {path}")
