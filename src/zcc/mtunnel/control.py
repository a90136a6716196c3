"""Messages over a stream: whole ones out, whole ones in, nothing longer than the bound.

Journey: the control stream of a connection, and the first exchange on every data stream. Used by dial, client
and the roles at either end.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from zcc.mtunnel.messages import (
    LENGTH_BYTES,
    MESSAGE_LIMIT,
    BadMessage,
    Message,
    OpenReply,
    OpenRequest,
    decode_control,
    decode_open_reply,
    decode_open_request,
    encode,
)
from zcc.mtunnel.stream import MuxStream

__all__ = ["ControlChannel", "MessageStream", "read_open_reply", "read_open_request", "send"]


class MessageStream(Protocol):
    """What messages need of a stream."""

    async def read_exactly(self, n: int) -> bytes | None:
        """Return n octets; None = finished before the first."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all."""
        ...


class ControlChannel:
    """The control stream of a connection: any number of senders, one receiver."""

    def __init__(self, stream: MuxStream) -> None:
        """Speak over this stream, and nobody else."""
        self._stream = stream
        self._lock = asyncio.Lock()

    async def send(self, message: Message) -> None:
        """Send one message whole.

        Cancelled in the middle of a message it resets the stream, since the rest could not be told apart.

        Raises:
            StreamGone: the stream is gone.
        """
        data = encode(message)
        async with self._lock:
            before = self._stream.bytes_out
            try:
                await self._stream.write(data)
            except asyncio.CancelledError:
                if self._stream.bytes_out != before:
                    self._stream.reset()
                raise

    async def receive(self) -> Message | None:
        """Return the next message; None = the peer finished.

        Raises:
            BadMessage: too long, or none.
            StreamGone: the stream is gone.
        """
        body = await _body(self._stream)
        return None if body is None else decode_control(body)


async def send(stream: MessageStream, message: OpenRequest | OpenReply) -> None:
    """Send the message that a data stream begins with.

    Raises:
        StreamGone: the stream is gone.
    """
    await stream.write(encode(message))


async def read_open_request(stream: MessageStream) -> OpenRequest:
    """Return the request that begins a data stream; raises as ControlChannel.receive."""
    return decode_open_request(await _body(stream) or b"")


async def read_open_reply(stream: MessageStream) -> OpenReply:
    """Return the reply to the request; raises as ControlChannel.receive."""
    return decode_open_reply(await _body(stream) or b"")


async def _body(stream: MessageStream) -> bytes | None:
    head = await stream.read_exactly(LENGTH_BYTES)
    if head is None:
        return None
    size = int.from_bytes(head, "big")
    if size > MESSAGE_LIMIT:
        raise BadMessage(f"a message of {size} octets, at most {MESSAGE_LIMIT} are read")
    body = await stream.read_exactly(size)
    if body is None:
        raise BadMessage("a length without its message")
    return body
