"""One line of the ledger: what happened to a name and an address, when. Written once, never changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Record", "RecordKind"]


class RecordKind(IntEnum):
    """What happened."""

    LEASED = 1  # the name got the address
    RELEASED = 2  # the name lost it; the address rests before anybody else gets it
    CONFIGURED = 3  # a name leased under a wildcard is now spelled out in the configuration


@dataclass(frozen=True, slots=True)
class Record:
    """An event; the ledger is the fold of all of them in the order of their sequence."""

    sequence: int  # from 1, without gaps
    kind: RecordKind
    name: str  # lower case, no trailing dot
    address: int  # IPv4, host order
    configured: bool  # spelled out in the configuration when it was leased; else under a wildcard
    at: float  # seconds since 1970-01-01 UTC
