"""The slow, obvious lines of flows: a message is taken apart with struct, and a line is put together from str()."""

import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from fastpath.action import Action, PuntReason
from fastpath.flowlines import Column, Left
from model.ring import Ring

# Message and the FlowView in it, as message.pxd has them.
MESSAGE = struct.Struct("<QQIIIHHHBBBB2x16s48s")
FLOW = struct.Struct("<16s16sQQQQQQIIIiHHHHBBBBB3x")
SIZE = MESSAGE.size + FLOW.size


class LabelTable:
    """fastpath.labeltable.LabelTable."""

    def __init__(self, given: dict[int, bytes] | None = None, *, tell: Callable[[int], bytes] | None = None,
                 most: int = 1 << 18) -> None:  # fmt: skip
        self._given, self._tell, self._most = dict(given or {}), tell, most
        self.forget()

    def __len__(self) -> int:
        return len(self._known)

    def forget(self) -> None:
        """Begin anew with what was given."""
        self._known = dict(self._given)

    def label(self, number: int) -> bytes:
        """What a number is called."""
        if number not in self._known:
            if self._tell is None:
                return b""
            text = bytes(self._tell(number))
            if len(self._known) >= self._most:
                self.forget()
            self._known[number] = text
        return self._known[number]


class FlowLines:
    """fastpath.flowlines.FlowLines."""

    def __init__(self, start: bytes, parts: Sequence[Any], more: dict[tuple[int, int], Sequence[Any]] | None = None,
                 end: bytes = b"\n") -> None:  # fmt: skip
        self._start, self._parts, self._more, self._end = start, parts, more or {}, end

    def take(self, ring: Ring, number: int, head: bytes, limit: int = 512) -> tuple[bytes, int, Left]:
        """Write the lines of the flows' ends at the ring's front."""
        text, made = b"", 0
        while made < limit:
            if not ring._records:
                return text, made, Left.LEFT_NOTHING
            values = values_of(ring._records[0][2])
            if values is None:
                return text, made, Left.LEFT_OTHER
            version = 4 if isinstance(values[Column.COLUMN_SOURCE], IPv4Address) else 6
            more = self._more.get((values[Column.COLUMN_ACTION], version), ())
            try:
                line = b"".join(written(part, values) for part in (*self._parts, *more))
            except Exception:
                if made == 0:
                    raise
                break
            text += self._start + str(number + made).encode() + head + line + self._end
            made += 1
            ring.drain(1)
        return text, made, Left.LEFT_MORE


def written(part: Any, values: dict[Column, Any]) -> bytes:
    """A part of a line."""
    if isinstance(part, bytes):
        return part
    return part[1].label(values[part[0]] & 0xFFFFFFFF) if isinstance(part, tuple) else str(values[part]).encode()


def values_of(record: bytes) -> dict[Column, Any] | None:
    """A flow's values by column; None = it is no flow's end that makes a line."""
    if len(record) < SIZE:
        return None
    message = MESSAGE.unpack_from(record)
    kind, header_length, has_flow = message[8], message[10], message[11]
    if len(record) != SIZE + message[7] or header_length > 48 or kind != PuntReason.PUNT_FLOW_CLOSED or not has_flow:
        return None
    (source, destination, packets, packets_back, octets, octets_back, started, last, word, location, _slot, rule, source_port,
     destination_port, namespace, nat_port, version, protocol, action, tunnel, _state) = FLOW.unpack_from(record, MESSAGE.size)
    if action == Action.ACTION_ZPA:
        return None
    number, naming = word & (1 << 26) - 1, word >> 26
    of = (lambda packed: IPv4Address(packed[12:])) if version == 4 else IPv6Address
    return dict(zip(Column, (
        of(source), of(destination), source_port, destination_port, packets, packets_back, octets, octets_back,
        max(0, last - started) // 1_000_000, nat_port, number, naming + 1 if word else 0, action, max(rule, -1) + 1, protocol,
        protocol << 16 | destination_port, tunnel, location, namespace), strict=True))  # fmt: skip


def closed(**fields: Any) -> bytes:
    """The record of a flow's end; `fields` in the words of FlowView, all others zero."""
    of = {"kind": PuntReason.PUNT_FLOW_CLOSED, "has_flow": 1, "ip_version": 4, "action": Action.ACTION_LOCAL, "packets": (0, 0),
          "bytes": (0, 0), "source": bytes(16), "destination": bytes(16), "packet": b""} | fields  # fmt: skip
    get = lambda name: of.get(name, 0)  # noqa: E731
    message = MESSAGE.pack(0, 0, get("location"), 0, 0, 0, get("namespace"), len(of["packet"]), of["kind"], get("tunnel"),
                           get("header_length"), of["has_flow"], bytes(16), bytes(48))
    flow = FLOW.pack(of["source"], of["destination"], *of["packets"], *of["bytes"], get("started_ns"), get("last_seen_ns"),
                     get("name_id"), get("location"), get("nat_slot"), get("rule"), get("source_port"), get("destination_port"),
                     get("namespace"), get("nat_port"), of["ip_version"], get("protocol"), of["action"], get("tunnel"),
                     get("state"))  # fmt: skip
    return message + flow + of["packet"]
