"""Messages over a stream: whole ones out, whole ones in, nothing longer than the bound.

Journey: the control stream of a connection, and the first exchange on every data stream. Used by dial, client
and the roles at either end.
"""

from __future__ import annotations

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

__all__ = ["MessageStream", "read_control", "read_open_reply", "read_open_request", "send"]


class MessageStream(Protocol):
    """What messages need of a stream."""

    async def read_exactly(self, n: int) -> bytes | None:
        """Return n octets; None = finished before the first."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all."""
        ...


async def send(stream: MessageStream, message: Message) -> None:
    """Send one message.

    Raises:
        StreamGone: the stream is gone.
    """
    await stream.write(encode(message))


async def read_control(stream: MessageStream) -> Message | None:
    """Return the next control message; None = the peer finished.

    Raises:
        BadMessage: too long, or none.
        StreamGone: the stream is gone.
    """
    body = await _body(stream)
    return None if body is None else decode_control(body)


async def read_open_request(stream: MessageStream) -> OpenRequest:
    """Return the request that begins a data stream; raises as read_control."""
    return decode_open_request(await _body(stream) or b"")


async def read_open_reply(stream: MessageStream) -> OpenReply:
    """Return the reply to the request; raises as read_control."""
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
