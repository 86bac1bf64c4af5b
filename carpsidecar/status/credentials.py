"""Who is at the other end of a Unix socket: the process, as our process namespace counts it, and its user."""

import socket
import struct

_CREDENTIALS = struct.Struct("=iII")


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Process id (0: it is in another namespace) and user id, at the time of connect(), listen() or socketpair().

    Source: unix(7), SO_PEERCRED.
    """
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(found)
    return pid, uid
