"""EndpointMap: GWLB endpoint id → namespace and location. "Namespace is the first key everywhere" begins here.

Journey: after gwlb.decode, before flowkey.build. Built once from the configuration, read by workers. A packet of an endpoint
that is not in it is dropped: no customer is guessed.
"""

cimport cython
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from fastpath.arguments cimport SHORT_MAX, WORD_MAX, integer, listed, several, uint64


@cython.final
cdef class EndpointMap:
    """An immutable map made of (endpoint id, namespace id, location id) triples.

    Raises:
        ValueError: an endpoint twice, or a number out of range.
        MemoryError: no memory.
    """

    def __cinit__(self, endpoints):
        entries = [several(entry, "endpoints", "(endpoint, namespace, location) triples", 3)
                   for entry in listed(endpoints, "endpoints", "(endpoint, namespace, location) triples")]
        if len({entry[0] for entry in entries}) != len(entries):
            raise ValueError("endpoints must not name an endpoint twice")
        cdef uint32_t n = 16
        while n < 2 * len(entries):
            n *= 2
        self.mask = n - 1
        self.slots = <Endpoint*> calloc(n, sizeof(Endpoint))
        if self.slots == NULL:
            raise MemoryError()
        for id, namespace, location in entries:
            self._add(uint64(id, "endpoints: endpoint"), <uint16_t> integer(namespace, "endpoints: namespace", 1, SHORT_MAX - 1),
                      <uint32_t> integer(location, "endpoints: location", 0, WORD_MAX))
        self.size = len(entries)

    def __dealloc__(self):
        free(self.slots)

    cdef _add(self, uint64_t id, uint16_t namespace, uint32_t location):
        cdef uint32_t at = <uint32_t> id & self.mask
        while self.slots[at].used:
            at = (at + 1) & self.mask
        self.slots[at] = Endpoint(id, location, namespace, 1)

    cdef Endpoint* find(self, uint64_t id) noexcept nogil:
        cdef uint32_t at = <uint32_t> id & self.mask
        while self.slots[at].used:
            if self.slots[at].id == id:
                return &self.slots[at]
            at = (at + 1) & self.mask
        return NULL

    def get(self, id):
        """Return (namespace id, location id) of an endpoint, or None.

        Raises:
            ValueError: id has more than 64 bits.
        """
        cdef Endpoint* found = self.find(uint64(id, "id"))
        return None if found == NULL else (found.namespace, found.location)
