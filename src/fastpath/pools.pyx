"""Pools: the networks that synthetic addresses are taken from.

Journey: admission asks of first packets, egress of refused ones. Up to 256 networks, searched by halves: eight steps at most,
and one comparison where there is one pool. One thread makes and replaces them, any thread asks: a set of networks is never
changed, readers find another one behind the pointer. One that was replaced is kept until 64 more were, which no search outlasts.
"""

cimport cython
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

import ipaddress

from fastpath.memory cimport load_pointer, store_pointer


@cython.final
cdef class Pools:
    """Args:
        networks: IPv4Network objects, 1 … 256, in any order; none overlaps another.
    Raises:
        ValueError: there are none or too many, or two overlap.
        TypeError: one is no IPv4Network.
    """

    def __cinit__(self, networks):
        self.now = _made(networks)

    def __dealloc__(self):
        cdef int i
        free(self.now)
        for i in range(POOLS_KEPT):
            free(self.kept[i])

    def replace(self, networks):
        """Have other networks instead; an address is asked of the old ones or of the new ones, never of a mixture.

        Raises:
            ValueError, TypeError: as the constructor; nothing is changed then.
        """
        cdef Networks* made = _made(networks)
        cdef int place = self.replaced % POOLS_KEPT
        free(self.kept[place])
        self.kept[place] = self.now
        self.replaced += 1
        store_pointer(<void**> &self.now, made)

    @property
    def size(self):
        """How many networks there are."""
        return self.now.size

    def __contains__(self, address):
        if not isinstance(address, ipaddress.IPv4Address):
            raise TypeError(f"address must be an IPv4Address, not {type(address).__name__}")
        return bool(self.holds(int(address)))

    cdef bint holds(self, uint32_t address) noexcept nogil:
        cdef const Networks* now = <const Networks*> load_pointer(<void**> &self.now)
        cdef int first = 0, n = now.size, half
        while n > 1:                       # the last network that begins at the address or below it
            half = n >> 1
            first += half if now.low[first + half] <= address else 0
            n -= half
        return now.low[first] <= address and address <= now.high[first]


cdef Networks* _made(networks) except NULL:
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
    cdef Networks* made = <Networks*> calloc(1, sizeof(Networks))
    if made == NULL:
        raise MemoryError("no memory for the networks")
    made.size = len(ordered)
    cdef int i
    for i in range(made.size):
        made.low[i] = int(ordered[i].network_address)
        made.high[i] = int(ordered[i].broadcast_address)
    return made
