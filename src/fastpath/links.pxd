# Sessions of the far ends of tunnels, found by the address that a datagram comes from, and by number. Row 2. One thread.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.buckets cimport Buckets
from fastpath.flowkey cimport FlowKey, HashKey

cdef enum:
    LINKS_MAX = 1 << 16

# 64 bytes. It begins as buckets.pxd wants it: the key is a FlowKey, a = the peer.
cdef struct LinkPlace:
    FlowKey key              # 0
    uint64_t hash            # 40
    void* link               # 48, borrowed: Link; NULL: nobody's
    uint64_t pad             # 56

@cython.final
cdef class Link:
    cdef readonly object record          # dtls.Session or stream.Stream
    cdef readonly object owner           # the control plane's own
    cdef void* session                   # the record, if that is a Session
    cdef void* stream                    # if it is a Stream
    cdef readonly uint32_t number
    cdef readonly uint32_t address       # of the peer; a stream's is its number
    cdef readonly uint16_t port          # a stream's is 0
    cdef public uint16_t mtu             # the largest inner packet that goes by it
    cdef public uint64_t last_ns         # when something was opened in it
    cdef public uint64_t received        # packets and bytes of workloads
    cdef public uint64_t received_bytes
    cdef public uint64_t sent            # records, and bytes inside them
    cdef public uint64_t sent_bytes
    cdef public bint moved               # its flows' packets go by another session
    cdef public bint outlived            # its connector has a newer one too

@cython.final
cdef class Links:
    cdef readonly int capacity
    cdef uint32_t _mask                  # the place of number n is n & _mask
    cdef uint32_t _last                  # number given out
    cdef dict _held                      # Link by number
    cdef LinkPlace* _places
    cdef Buckets _index
    cdef HashKey _secret
    # Borrowed Link or NULL: of datagrams from an address; port 0: of the session of that number.
    cdef void* find(self, uint32_t address, uint16_t port) noexcept nogil
    cdef void* numbered(self, uint32_t number) noexcept nogil
    cdef uint64_t _key_of(self, FlowKey* key, uint32_t address, uint16_t port) noexcept nogil
