"""What one group has to say, at most as often as somebody can read it."""

import asyncio
from typing import Any

from carpsidecar.engine.throttle import Throttle
from carpsidecar.logs import log

_SAY_EVERY_S = 60.0
_SAY_BURST = 10


class GroupLog:
    """Lines of one group on its interface."""

    def __init__(self, loop: asyncio.AbstractEventLoop, group: str, interface: str) -> None:
        self.group = group
        self.interface = interface
        self._loop = loop
        self._throttle = Throttle(_SAY_EVERY_S, _SAY_BURST)

    def log(self, level: int, event: str, message: str, **keys: Any) -> None:
        log(level, event, message, group=self.group, interface=self.interface, **keys)

    def log_sometimes(self, level: int, event: str, message: str, about: bytes = b"", **keys: Any) -> bool:
        """For what may happen with every packet; once in a while for each thing that it is about. Whether now."""
        if self._throttle.allow(self._loop.time(), (event, about)) is None:
            return False
        self.log(level, event, message, **keys)
        return True
