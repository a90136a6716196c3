"""DnsAsked: queries that clients send to the connector's own DNS address, as far as the data plane could not answer them.

Journey: the worker's listener hands over a bare message and its peer; DnsService decides as for any other query; what it
would let through goes to the listener's gateway, since no other server was asked. Answers leave by the listener's socket.
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


class DnsAsked:
    """Answers what the listener hands over."""

    def __init__(self, settings: DnsSettings, service: DnsService, gateways: Gateways, fd: int) -> None:
        """Compose.

        Args:
            fd: the listener's socket; -1 = there is none, and nothing will be asked.
        """
        self._gateway = None if settings.listen is None else settings.listen.gateway
        self._service = service
        self._gateways = gateways
        self._socket = None if fd < 0 else socket.socket(fileno=os.dup(fd))
        self._tasks: set[asyncio.Task[None]] = set()

    def query(self, punt: Punt) -> None:
        """Take a query; over the limit it is dropped, as a full socket would."""
        if len(self._tasks) >= ASKED_LIMIT:
            self._service.counts["asked_dropped"] += 1
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

    async def _answer(self, punt: Punt) -> None:
        client, wire = IPv4Address(punt.peer[0]), punt.packet
        origin = Origin(Asker(punt.namespace, client, punt.peer[1], NO_SERVER), punt.location, "UDP")
        question = parse_question(wire)
        message = await self._service.resolve(origin, wire)
        if message is None and isinstance(question, Question):
            message = await self._onward(origin, wire, question)
        if message is None or self._socket is None:
            return  # no query: a stranger's bytes get no answer
        if isinstance(question, Question):
            message = answers.fitted(question, message)
        try:
            self._socket.sendto(message, socket.MSG_DONTWAIT, (str(client), punt.peer[1]))
        except OSError:
            self._service.counts["asked_unsent"] += 1

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
