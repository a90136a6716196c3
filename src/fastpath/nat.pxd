# Address and port translation: bindings of (protocol, local, remote) to flows. Row 2. One thread.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.flowkey cimport HashKey
from fastpath.rewrite cimport NAT_DESTINATION, NAT_SOURCE, decrement_ttl, rewrite

cdef class NatTable:
    cdef readonly int capacity
    cdef readonly int size
    cdef readonly uint16_t port_low, port_high
    cdef readonly uint64_t looked          # ports that were looked at, free or not, where `wanted` was not to be had
    cdef void* _index
    cdef void* _bindings                   # the module's own: Binding[capacity]
    cdef void* _starts                     # where the search for a port goes on
    cdef int32_t _free
    cdef int32_t _fresh
    cdef uint32_t _looks                   # ports that may be looked at now
    cdef int _taken                        # by a call that gave the interpreter lock up
    cdef HashKey _secret
    # Binds (protocol, local, port; remote, remote_port) to flow. Tries `wanted` first if it lies in the range, then others
    # from a keyed start, as many as time allows. ICMP echo: the identifier is the port, remote_port 0. Returns 0 and *port,
    # or a DropReason.
    cdef uint8_t bind(self, uint8_t protocol, const uint8_t* local, const uint8_t* remote, uint16_t remote_port,
                      uint16_t wanted, int32_t flow, uint16_t* port) noexcept nogil
    cdef int32_t find(self, uint8_t protocol, const uint8_t* local, uint16_t port,
                      const uint8_t* remote, uint16_t remote_port) noexcept nogil      # flow or -1
    cdef int release(self, uint8_t protocol, const uint8_t* local, uint16_t port,
                     const uint8_t* remote, uint16_t remote_port) noexcept nogil       # 1 if it was there

    cdef uint8_t _look(self, void* begin, void* at, int32_t flow, uint16_t* port) noexcept nogil
    cdef int _take(self, const void* key, uint64_t hash, int32_t flow) noexcept nogil

# Bind outbound row i to a flow, local its new source: 1, and *port; 0: dropped.
cdef bint bind_row(NatTable table, Columns* b, int i, const uint8_t* local, int32_t flow, uint16_t* port) noexcept nogil
# The flow of inbound row i, or -1 (also for a dead row or one without ports).
cdef int32_t find_row(NatTable table, Columns* b, int i) noexcept nogil
