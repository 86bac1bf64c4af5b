"""Gives up every privilege that is not needed, and being dumped.

Source: capabilities(7), capget(2), prctl(2), linux/capability.h. These calls are for the calling thread, so they
come before any other thread is started.
"""

from collections.abc import Collection

_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
)
_NUMBERS = {f"CAP_{name}": number for number, name in enumerate(_NAMES.split())}
_VERSION_3 = 0x20080522
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38


def keep_only(names: Collection[str], bounding: bool) -> None:
    """Reduce effective, permitted and inheritable capabilities to `names`, of those that are there.

    With `bounding`, programs started from here cannot have more either. The bounding set takes CAP_SETPCAP to
    change; without that, as in most containers, no_new_privs alone sees to it.
    """
    kept = sum(1 << _number(name) for name in names)
    effective, permitted, inheritable = _read()
    if bounding:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        if effective >> _NUMBERS["CAP_SETPCAP"] & 1:
            _shrink_bounding_set(kept)
    _write(permitted & kept, permitted & kept, inheritable & kept)


def forbid_core_dumps() -> None:
    """Neither a core file nor a debugger of the same user is to show a passphrase that is in memory.

    Programs that are started from here may be dumped again, once they raise their limit. Source: core(5), prctl(2).
    """
    import resource

    _prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def become(uid: int, gid: int) -> None:
    """Another user, with no capability and no way to get one.

    Raises:
        OSError: CAP_SETUID or CAP_SETGID is missing.
    """
    import os

    effective, _, _ = _read()
    if effective >> _NUMBERS["CAP_SETPCAP"] & 1:
        _shrink_bounding_set(0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    keep_only((), bounding=True)


def missing(names: Collection[str]) -> list[str]:
    """Which of these capabilities the process lacks."""
    effective, _permitted, _inheritable = _read()
    return [name for name in names if not effective >> _number(name) & 1]


def _number(name: str) -> int:
    if name not in _NUMBERS:
        raise ValueError(f"no such capability: {name!r}; they are written like CAP_NET_ADMIN")
    return _NUMBERS[name]


def _shrink_bounding_set(kept: int) -> None:
    number = 0
    while (there := _prctl(_PR_CAPBSET_READ, number, fails=True)) >= 0:
        if there and not kept >> number & 1:
            _prctl(_PR_CAPBSET_DROP, number)
        number += 1


def _read() -> tuple[int, int, int]:
    import ctypes

    data = (ctypes.c_uint32 * 6)()
    _call("capget", _header(), data)
    low, high = data[:3], data[3:]
    effective, permitted, inheritable = (a | b << 32 for a, b in zip(low, high, strict=True))
    return effective, permitted, inheritable


def _write(effective: int, permitted: int, inheritable: int) -> None:
    import ctypes

    sets = (effective, permitted, inheritable)
    words = [s & 0xFFFFFFFF for s in sets] + [s >> 32 for s in sets]
    _call("capset", _header(), (ctypes.c_uint32 * 6)(*words))


def _header() -> object:
    import ctypes

    return (ctypes.c_uint32 * 2)(_VERSION_3, 0)


def _prctl(option: int, value: int, fails: bool = False) -> int:
    import ctypes

    unsigned = ctypes.c_ulong
    return _call("prctl", option, unsigned(value), unsigned(0), unsigned(0), unsigned(0), fails=fails)


def _call(name: str, *arguments: object, fails: bool = False) -> int:
    import ctypes
    import os

    libc = ctypes.CDLL(None, use_errno=True)
    result = int(getattr(libc, name)(*arguments))
    if result < 0 and not fails:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
