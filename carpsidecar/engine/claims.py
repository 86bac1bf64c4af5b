"""Foreign claims of a group's addresses: said, and contested while we are master."""

import asyncio
from collections.abc import Callable
from logging import WARNING

from carpsidecar.engine.group_log import GroupLog
from carpsidecar.engine.holding import Holding
from carpsidecar.ipc.messages import Notice
from carpsidecar.protocol.packet import IPAddress

ANSWER_AFTER_S = 0.05
"""A ucarp that preempts us announces the address before it advertises: that is no claim to contest."""


class Claims:
    """Answers them.

    Args:
        notice: called with what somebody should look at.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        holding: Holding,
        log: GroupLog,
        is_master: Callable[[], bool],
        notice: Callable[[Notice], None],
    ) -> None:
        self.count = 0
        self._loop = loop
        self._holding = holding
        self._log = log
        self._is_master = is_master
        self._notice = notice
        self._answering: asyncio.TimerHandle | None = None

    def heard(self, address: IPAddress, mac: bytes) -> None:
        """Another machine says by ARP or NDP that it has one of our addresses."""
        self.count += 1
        if self._is_master() and self._answering is None:
            self._answering = self._loop.call_later(ANSWER_AFTER_S, self._answer, address, mac)

    def forget(self) -> None:
        if self._answering is not None:
            self._answering.cancel()

    def _answer(self, address: IPAddress, mac: bytes) -> None:
        self._answering = None
        if not self._is_master():
            return
        peer = mac.hex(":")
        text = f"{peer} claims {address} while we hold it: announced again; is it configured there by hand?"
        if self._log.log_sometimes(WARNING, "conflict", text, about=mac, address=str(address), mac=peer):
            group, interface = self._log.group, self._log.interface
            self._notice(Notice(kind="conflict", group=group, interface=interface, peer=peer, text=text))
        self._holding.defend(self._loop.time())
