"""What the engine sends the starter of its reporters, over a socket pair (`SOCK_SEQPACKET`).

The starter answers `ended STATUS` when a reporter has ended.
"""

START = b"start"
"""With one end of a socket pair: a reporter is to run on it."""
KILL = b"kill"
"""The reporter that runs is to be killed."""
