"""Who is at the other end of a Unix socket, and which user the reporter is."""

import pwd
import socket
import struct

REPORTER_USER = "carpsidecar"
REPORTER_UID = 64112
"""Where there is no such user. In the image it has this number; Debian hands out none of this range by itself."""
ENGINE_UID = 0
"""The engine's in a container of its own."""

_CREDENTIALS = struct.Struct("=iII")


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Process id (0: it is in another namespace) and user id, at the time of connect(), listen() or socketpair().

    Source: unix(7), SO_PEERCRED.
    """
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(found)
    return pid, uid


def reporter_ids() -> tuple[int, int]:
    """User and group of the reporter."""
    try:
        found = pwd.getpwnam(REPORTER_USER)
    except KeyError:
        return REPORTER_UID, REPORTER_UID
    return found.pw_uid, found.pw_gid
