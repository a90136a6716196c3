"""Readers: from a flow's first packets to what they say of its name.

Journey: the connector's service feeds the payloads that its data plane copied; the first answer is the flow's. Bounds:
STREAM_MAX octets a flow are kept, GIVE_UP packets are looked at. A reader that has answered is thrown away.
"""

from __future__ import annotations

from zcc.names.clienthello import HANDSHAKE, read_message, read_records
from zcc.names.httphost import read_request
from zcc.names.pieces import Contradiction, Pieces
from zcc.names.quicinitial import Initials, NotQuic, UnknownVersion
from zcc.names.said import NOT_WEB, UNREAD, How, Said

__all__ = ["GIVE_UP", "STREAM_MAX", "DatagramReader", "StreamReader"]

STREAM_MAX = 16_384  # a ClientHello with post-quantum shares has 2 kB, the fields of a request rarely 8
GIVE_UP = 16  # packets


class StreamReader:
    """The first octets of a TCP connection from its client."""

    def __init__(self) -> None:
        self._pieces, self._packets = Pieces(STREAM_MAX), 0

    def feed(self, offset: int, octets: bytes) -> Said | None:
        """Take the payload of a segment.

        Args:
            offset: of its first octet in the stream, 0 or more.
        Returns:
            The answer; None = not yet.
        """
        self._packets += 1
        try:
            self._pieces.add(offset, octets)
        except Contradiction:
            return UNREAD
        beginning = self._pieces.beginning
        said = None
        if beginning:
            said = read_records(beginning) if beginning[0] == HANDSHAKE else read_request(beginning)
        spent = self._packets >= GIVE_UP or len(beginning) >= STREAM_MAX
        return UNREAD if said is None and spent else said


class DatagramReader:
    """The first datagrams of a UDP flow from its client."""

    def __init__(self) -> None:
        self._initials, self._pieces, self._packets = Initials(), Pieces(STREAM_MAX), 0

    def feed(self, datagram: bytes) -> Said | None:
        """Take the payload of a datagram; None = no answer yet."""
        self._packets += 1
        try:
            for frame in self._initials.read(datagram):
                self._pieces.add(frame.offset, frame.octets)
        except NotQuic:
            # Behind one that was opened it is another packet of the handshake, or a stranger's.
            return NOT_WEB
        except (UnknownVersion, Contradiction):
            return UNREAD
        beginning = self._pieces.beginning
        said = read_message(beginning, How.QUIC)
        spent = self._packets >= GIVE_UP or len(beginning) >= STREAM_MAX
        return UNREAD if said is None and spent else said
