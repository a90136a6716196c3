"""ask: one query to one DNS server, from a port of its own, and the one answer that belongs to it.

Journey: `dns_gateways` asks here. UDP first; an answer that is cut, or one whose spelling is not ours, is asked for again over
TCP. A forged answer, or one that breaks off, changes nothing: the true one is still waited for; where many come, somebody is
guessing, and the query is asked over TCP.
Source: RFC 5452 §9 (ports and ids by chance), RFC 7766 §5 (TCP after a cut answer). One thread, the event loop's.
"""

import asyncio
import secrets
from ipaddress import IPv4Address

import dns.flags

from zcc.dns.disguise import CHANCE_BYTES, disguised, undisguised
from zcc.dns.octets import records

__all__ = ["PATIENCE_S", "NoAnswer", "ask"]

MISFITS_LIMIT = 16  # datagrams that are no answer; a server's own mistakes are one or two
PATIENCE_S = 1.5  # of each of UDP and TCP; stubs ask again after 5 s
PORT = 53


class NoAnswer(Exception):
    """The server did not answer in time, or can not be reached; caught by dns_gateways."""


class _Waiting(asyncio.DatagramProtocol):
    """Takes the first answer that belongs to the query."""

    def __init__(self, sent: bytes, asked: bytes, answer: asyncio.Future[bytes]) -> None:
        self._sent, self._asked, self._answer = sent, asked, answer
        self._misfits = 0

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._answer.done():
            return
        answer = undisguised(data, self._sent, self._asked)
        if answer is not None and (is_cut(answer) or records(answer) is not None):
            self._answer.set_result(answer)
            return
        self._misfits += 1
        if self._misfits >= MISFITS_LIMIT:
            self._answer.set_exception(NoAnswer(f"{MISFITS_LIMIT} datagrams that are no answer: somebody is guessing"))

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(NoAnswer(str(exc)))


async def ask(server: IPv4Address, wire: bytes, *, over_tcp: bool = False, port: int = PORT) -> bytes:
    """Return a server's answer under the client's own id and spelling; never a cut one.

    Args:
        wire: the client's query; its question is one plain name.

    Raises:
        NoAnswer: there is none in time.
    """
    if not over_tcp:
        try:
            answer = await _ask_udp(server, wire, port)
            if not is_cut(answer):
                return answer
        except NoAnswer:
            pass  # a server that changes the spelling, or a path that loses UDP
    return await _ask_tcp(server, wire, port)


def _disguised(wire: bytes) -> bytes:
    sent = disguised(wire, secrets.token_bytes(CHANCE_BYTES))
    if sent is None:
        raise NoAnswer("the question is not one plain name")
    return sent


async def _ask_udp(server: IPv4Address, wire: bytes, port: int) -> bytes:
    sent = _disguised(wire)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Waiting(sent, wire, answer), remote_addr=(str(server), port)
        )
    except OSError as error:
        raise NoAnswer(str(error)) from error
    try:
        transport.sendto(sent)
        async with asyncio.timeout(PATIENCE_S):
            return await answer
    except TimeoutError:
        raise NoAnswer(f"no answer over UDP within {PATIENCE_S} s") from None
    finally:
        transport.close()


async def _ask_tcp(server: IPv4Address, wire: bytes, port: int) -> bytes:
    writer = None
    # The connection proves who answers; the spelling stays the client's, for servers that change it.
    sent = _disguised(wire)[:2] + wire[2:]
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(str(server), port)
            writer.write(len(sent).to_bytes(2) + sent)
            await writer.drain()
            data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise NoAnswer(str(error) or f"no answer over TCP within {PATIENCE_S} s") from error
    finally:
        if writer is not None:
            writer.close()
    answer = undisguised(data, sent, wire)
    if answer is None or is_cut(answer) or records(answer) is None:
        raise NoAnswer("the answer over TCP is not a whole one to this query")
    return answer


def is_cut(answer: bytes) -> bool:
    """Tell whether an answer says that it is not all (TC)."""
    return bool(int.from_bytes(answer[2:4]) & dns.flags.TC)
