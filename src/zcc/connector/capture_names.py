"""CaptureNames: which name an address has while a capture goes by, under the data plane's rules for it.

Journey: `overheard` learns from DNS answers, `listening` from what flows say → here → `replay` decides by it. A name by DNS
stands above one that flows say, which takes back only itself (fastpath.worker, COMMAND_LEARN and COMMAND_FORGET). Time is the
capture's. Part of the doorway to fastpath. One thread.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from fastpath.nametable import NameTable
from zcc.clock import Clock
from zcc.connector.arrival import Address, mapped

__all__ = ["NAME_BITS", "CaptureNames", "naming_of", "number_of"]

EVERY_NAMESPACE = 0xFFFF
NAMES = 1 << 18
NAME_BITS = 26  # of fastpath.naming


def number_of(word: int) -> int:
    """Return the number of the name in a word of fastpath.naming; 0 = none."""
    return word & (1 << NAME_BITS) - 1


def naming_of(word: int) -> int:
    """Return how that name is known, or why there is none: a place in zcc.policy.objects.unnamed.NAMINGS."""
    return word >> NAME_BITS


class CaptureNames:
    """The names of addresses."""

    def __init__(self, clock: Clock, seed: bytes) -> None:
        """Compose.

        Args:
            seed: of the hash, 32 bytes.
        """
        self._table, self._clock = NameTable(NAMES, seed), clock

    def of(self, namespace: int, address: Address) -> int:
        """Return the word of the name that an address has now; 0 = none."""
        now_ns = self._clock.monotonic_ns()
        packed = mapped(address)
        return self._table.lookup(namespace, packed, now_ns) or self._table.lookup(EVERY_NAMESPACE, packed, now_ns)

    def learn(self, namespace: int | None, address: Address, name_id: int, ttl_s: float, naming: int = 0) -> None:
        """Make an address belong to a name, as zcc.connector.datapath does."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            return
        key, now_ns = EVERY_NAMESPACE if namespace is None else namespace, self._clock.monotonic_ns()
        known = self._table.lookup(key, mapped(address), now_ns)
        if naming and known and not naming_of(known):
            return
        self._table.insert(key, mapped(address), naming << NAME_BITS | name_id, now_ns + int(ttl_s * 1e9))

    def forget(self, namespace: int, address: Address, number: int, naming: int) -> None:
        """Make an address belong to no name, if it is this one that it belongs to."""
        if self._table.lookup(namespace, mapped(address), self._clock.monotonic_ns()) == naming << NAME_BITS | number:
            self._table.remove(namespace, mapped(address))
