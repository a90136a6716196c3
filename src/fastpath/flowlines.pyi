import enum
from collections.abc import Sequence
from typing import Self, final

from fastpath.labeltable import LabelTable
from fastpath.ring import Ring

class Column(enum.IntEnum):
    COLUMN_SOURCE = 0
    COLUMN_DESTINATION = 1
    COLUMN_SOURCE_PORT = 2
    COLUMN_DESTINATION_PORT = 3
    COLUMN_PACKETS = 4
    COLUMN_PACKETS_BACK = 5
    COLUMN_BYTES = 6
    COLUMN_BYTES_BACK = 7
    COLUMN_DURATION_MS = 8
    COLUMN_NAT_PORT = 9
    COLUMN_NAME = 10
    COLUMN_NAMING = 11
    COLUMN_ACTION = 12
    COLUMN_RULE = 13
    COLUMN_PROTOCOL = 14
    COLUMN_SERVICE = 15
    COLUMN_TUNNEL = 16
    COLUMN_LOCATION = 17
    COLUMN_NAMESPACE = 18

class Left(enum.IntEnum):
    LEFT_NOTHING = 0
    LEFT_MORE = 1
    LEFT_OTHER = 2

_Part = bytes | Column | tuple[Column, LabelTable]

@final
class FlowLines:
    def __new__(
        cls,
        start: bytes,
        parts: Sequence[_Part],
        more: dict[tuple[int, int], Sequence[_Part]] | None = None,
        end: bytes = b"\n",
    ) -> Self: ...
    def take(self, ring: Ring, number: int, head: bytes, limit: int = 512) -> tuple[bytes, int, Left]: ...
