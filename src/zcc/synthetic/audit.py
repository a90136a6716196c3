"""Who held which address when: the ledger's records read as spans of time. Pure.

The question of an audit, "whose address was 10.254.3.7 when this packet went by", is answered from what was
stored before anybody was told of the lease, so it holds also for leases that are long gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from zcc.synthetic.record import Record, RecordKind

__all__ = ["Tenure", "tenures"]


@dataclass(frozen=True, slots=True)
class Tenure:
    """One name's time at one address."""

    name: str
    address: int  # IPv4, host order
    configured: bool  # spelled out in the configuration at last; else under a wildcard
    since: float  # seconds since 1970, of the lease
    until: float | None  # of the release; None = still held

    def covers(self, at: float) -> bool:
        """Whether the name held the address at this time, seconds since 1970."""
        return self.since <= at and (self.until is None or at < self.until)


def tenures(records: Iterable[Record]) -> list[Tenure]:
    """Return all spans in the order of their leases.

    Args:
        records: all that are stored, by sequence.

    Raises:
        ValueError: a record releases or configures what nobody holds.
    """
    spans: list[Tenure] = []
    open_at: dict[int, int] = {}  # address → its open span's place in spans
    for record in records:
        if record.kind is RecordKind.LEASED:
            if record.address in open_at:
                # Its pool was gone for a while, and its name got an address of another one then.
                spans[open_at[record.address]] = replace(spans[open_at[record.address]], until=record.at)
            open_at[record.address] = len(spans)
            spans.append(Tenure(record.name, record.address, record.configured, record.at, None))
            continue
        place = open_at.get(record.address)
        if place is None or spans[place].name != record.name:
            raise ValueError(f"record {record.sequence}: {record.name} does not hold that address")
        if record.kind is RecordKind.CONFIGURED:
            spans[place] = replace(spans[place], configured=True)
        else:
            spans[place] = replace(spans[place], until=record.at)
            del open_at[record.address]
    return spans
