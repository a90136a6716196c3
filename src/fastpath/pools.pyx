"""Pools: the networks that synthetic addresses are taken from.

Journey: admission asks of first packets, egress of refused ones. Up to 256 networks, searched by halves: eight steps at most,
and one comparison where there is one pool. Immutable; any thread.
"""

cimport cython
from libc.stdint cimport uint32_t

import ipaddress


@cython.final
cdef class Pools:
    """Args:
        networks: IPv4Network objects, 1 … 256, in any order; none overlaps another.
    Raises:
        ValueError: there are none or too many, or two overlap.
        TypeError: one is no IPv4Network.
    """

    def __cinit__(self, networks):
        cdef list ordered = list(networks)
        for network in ordered:
            if not isinstance(network, ipaddress.IPv4Network):
                raise TypeError(f"networks must be IPv4Network objects, not {type(network).__name__}")
        if not 1 <= len(ordered) <= POOLS_MAX:
            raise ValueError(f"networks must be 1 to {POOLS_MAX}, not {len(ordered)}")
        ordered.sort()
        for one, other in zip(ordered, ordered[1:]):
            if one.overlaps(other):
                raise ValueError(f"networks {one} and {other} overlap; they must be apart")
        self.size = len(ordered)
        cdef int i
        for i in range(self.size):
            self.low[i] = int(ordered[i].network_address)
            self.high[i] = int(ordered[i].broadcast_address)

    def __contains__(self, address):
        if not isinstance(address, ipaddress.IPv4Address):
            raise TypeError(f"address must be an IPv4Address, not {type(address).__name__}")
        return bool(self.holds(int(address)))

    cdef bint holds(self, uint32_t address) noexcept nogil:
        cdef int first = 0, n = self.size, half
        while n > 1:                       # the last network that begins at the address or below it
            half = n >> 1
            first += half if self.low[first + half] <= address else 0
            n -= half
        return self.low[first] <= address and address <= self.high[first]
