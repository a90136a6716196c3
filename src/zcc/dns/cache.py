"""AnswerCache: answers of DNS gateways, for as long as they say, and for a while longer when no gateway answers.

Journey: a redirected query looks here first; an answer that came is kept; with no server left, what has run out is better
than nothing (`stale`), with a short TTL and the reason. Bounded in bytes: what was not asked for longest goes first. One
thread; time is an argument. Pure.
Source: RFC 2308 §5 (negative answers), RFC 8767 §4 (stale data), RFC 8914 §4.4.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import dns.edns
import dns.flags
import dns.rcode
import dns.rdatatype

from zcc.dns.octets import Record, records
from zcc.dns.question import read_message

__all__ = ["AnswerCache", "lifetime", "with_ttls"]

CEILING_S = 24 * 3600  # the longest that any answer is believed
STALE_S = 24 * 3600.0  # RFC 8767 §5: one to three days
STALE_TTL = 30  # RFC 8767 §4
BYTES_LIMIT = 16 << 20
ENTRY_BYTES = 256  # of an entry beside its message, as measured with CPython 3.11


@dataclass(frozen=True, slots=True)
class _Kept:
    wire: bytes
    places: tuple[Record, ...]
    since: float
    ttl: int


class AnswerCache:
    """Answers by what was asked and of whom."""

    def __init__(self, limit: int = BYTES_LIMIT) -> None:
        """Begin empty.

        Args:
            limit: bytes.
        """
        self._limit = limit
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: Hashable, wire: bytes, now: float) -> None:
        """Keep an answer, unless it says that it must not be."""
        ttl = lifetime(wire)
        self._forget(key)
        if ttl is None or len(wire) + ENTRY_BYTES > self._limit:
            return
        self._kept[key] = _Kept(wire, tuple(records(wire) or ()), now, ttl)
        self.nbytes += len(wire) + ENTRY_BYTES
        while self.nbytes > self._limit:
            self._forget(next(iter(self._kept)))

    def fresh(self, key: Hashable, now: float) -> bytes | None:
        """Return an answer that still holds, its TTLs counted down; the id and spelling are of the first asker."""
        kept = self._kept.get(key)
        if kept is None or not kept.since <= now < kept.since + kept.ttl:
            return None
        self._kept.move_to_end(key)
        age = int(now - kept.since)
        return with_ttls(kept.wire, kept.places, lambda ttl: max(0, ttl - age))

    def stale(self, key: Hashable, now: float) -> bytes | None:
        """Return an answer that has run out not long ago, marked as such; for when nobody can be asked."""
        kept = self._kept.get(key)
        if kept is None or now >= kept.since + kept.ttl + STALE_S:
            return None
        return _marked(with_ttls(kept.wire, kept.places, lambda ttl: min(ttl, STALE_TTL)))

    def _forget(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.nbytes -= len(kept.wire) + ENTRY_BYTES


def lifetime(wire: bytes) -> int | None:
    """Return for how many seconds an answer holds; None = it must not be kept: cut, failed, or a denial without SOA."""
    found = records(wire)
    if found is None or int.from_bytes(wire[2:4]) & dns.flags.TC:
        return None
    rcode = wire[3] & 0x0F
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    answer = [record.ttl for record in found if record.section == 1]
    if answer and rcode == dns.rcode.NOERROR:
        return min(CEILING_S, *answer)
    return next((
        min(CEILING_S, record.ttl, int.from_bytes(wire[record.data_at + record.data_length - 4 :][:4]))
        for record in found
        if record.section == 2 and record.type == dns.rdatatype.SOA and record.data_length >= 22
    ), None)  # fmt: skip


def with_ttls(wire: bytes, places: tuple[Record, ...], change: Callable[[int], int]) -> bytes:
    """Return a message with every TTL changed."""
    out = bytearray(wire)
    for record in places:
        out[record.ttl_at : record.ttl_at + 4] = change(record.ttl).to_bytes(4)
    return bytes(out)


def _marked(wire: bytes) -> bytes:
    """The answer with the extended error that says it is stale, if the client takes one."""
    message = read_message(wire)
    if message is None or message.errors or message.edns < 0:
        return wire
    why = dns.edns.EDEOption(dns.edns.EDECode.STALE_ANSWER, "no server of the gateway answers")
    message.use_edns(message.edns, message.ednsflags, message.payload, options=[*message.options, why])
    return message.to_wire(max_size=0xFFFF)
