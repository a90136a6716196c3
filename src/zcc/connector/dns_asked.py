"""DnsAsked: queries that clients send to the connector's own DNS address, as far as the data plane could not answer them.

Journey: the worker's listener hands over a bare message and its peer; DnsService decides as for any other query; what it
would let through goes to the listener's gateway, since no other server was asked. Answers leave by the listener's socket;
those that are too long for it are asked for again over TCP, of `dns_asked_tcp`.
One thread, the event loop's.
"""

import asyncio
import os
import socket
from ipaddress import IPv4Address

from zcc.connector.dns import NO_SERVER, DnsService
from zcc.connector.dns_gateways import Gateways
from zcc.connector.dns_journal import Origin
from zcc.connector.ports import Punt
from zcc.connector.shares import Shares
from zcc.dns import answers
from zcc.dns.pending import Asker
from zcc.dns.question import Question, parse_question
from zcc.dns.settings import DnsSettings

__all__ = ["DnsAsked", "is_bare"]

ASKED_LIMIT = 2048  # queries under way
NOBODY = "no DNS gateway is configured for this listener"
SILENCE = "no server of the listener's DNS gateway answers"


def is_bare(punt: Punt) -> bool:
    """Whether a DNS punt is the listener's: a message without IP header."""
    return punt.value != 0


def whose(punt: Punt) -> tuple[int, int]:
    """Return whose share of the room a query takes."""
    return punt.namespace, punt.peer[0]


class DnsAsked:
    """Answers what the listener hands over."""

    def __init__(self, settings: DnsSettings, service: DnsService, gateways: Gateways, fd: int) -> None:
        """Compose.

        Args:
            fd: the listener's socket; -1 = there is none, and nothing will be asked.
        """
        self.counts = service.counts
        self._gateway = None if settings.listen is None else settings.listen.gateway
        self._service = service
        self._gateways = gateways
        self._socket = None if fd < 0 else socket.socket(fileno=os.dup(fd))
        self._shares = Shares(ASKED_LIMIT)
        self._tasks: set[asyncio.Task[None]] = set()

    def query(self, punt: Punt) -> None:
        """Take a query; one for which its client has no room is dropped, as a full socket would."""
        if not self._shares.take(*whose(punt)):
            self.counts["asked_dropped"] += 1
            return
        task = asyncio.ensure_future(self._answer(punt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def answer(self, origin: Origin, wire: bytes) -> bytes | None:
        """Answer a message, however long the answer is; None = it is no query, and a stranger's bytes get no answer."""
        message = await self._service.resolve(origin, wire)
        question = parse_question(wire) if message is None else None
        return await self._onward(origin, wire, question) if isinstance(question, Question) else message

    async def _answer(self, punt: Punt) -> None:
        client, wire = IPv4Address(punt.peer[0]), punt.packet
        origin = Origin(Asker(punt.namespace, client, punt.peer[1], NO_SERVER), punt.location, "UDP")
        try:
            message = await self.answer(origin, wire)
        finally:
            self._shares.give_back(*whose(punt))
        if message is None or self._socket is None:
            return
        question = parse_question(wire)
        if isinstance(question, Question):
            message = answers.fitted(question, message)
        try:
            self._socket.sendto(message, socket.MSG_DONTWAIT, (str(client), punt.peer[1]))
        except OSError:
            self.counts["asked_unsent"] += 1

    async def _onward(self, origin: Origin, wire: bytes, question: Question) -> bytes:
        if self._gateway is None:
            return answers.refused(question, NOBODY)
        found = await self._gateways.answer(self._gateway, wire, question)
        if found is None:
            return answers.failure(question, SILENCE)
        heard = self._service.hear(origin, found.message)
        if heard.learned is not None:
            await self._service.tell_group(origin.asker.namespace, heard.learned)
        return heard.message
