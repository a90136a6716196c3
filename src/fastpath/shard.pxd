# Which of several workers a packet belongs to, and the rings that carry it there. Row 2.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.fragments cimport FragmentTable
from fastpath.wire cimport load_be32

cdef enum:
    SHARDS_MAX = 32
    PORT_FACTOR = 0x9E3779B1U    # in what the ends of a packet are mixed by: see steering.py, whose programs do the same
    WORD_FACTOR = 0x01000193

# What every worker of a connector has been told so far, each by the number of what it was told last.
cdef class Told:
    cdef uint64_t* words         # 8 words apart, so that no two workers write to one line of cache

cdef class Shard:
    cdef readonly int number     # of this worker
    cdef readonly int count      # of workers
    cdef readonly uint16_t port_low
    cdef readonly uint16_t ports         # a worker
    cdef readonly uint32_t alias_base
    cdef readonly uint32_t aliases       # a worker
    cdef Told told
    cdef list rings              # keeps the next two
    cdef void* out[32]           # Ring to each other worker
    cdef void* back[32]          # Ring from each
    cdef uint32_t waiting        # a bit for each worker that is to be woken
    # Hand over the live rows of a batch from GWLB, parsed, that belong to others; their reason is then SHARD_MOVED.
    cdef void sort(self, Columns* b) noexcept nogil
    # Row i from the kernel, parsed: handed over (1), or it is this worker's (0).
    cdef bint move_kernel_row(self, Columns* b, int i) noexcept nogil
    # Row i, a fragment that stands in `fragments` under `number` and belongs here only because it is one: 1 = it was handed to
    # the worker that its first fragment's ports name.
    cdef bint move_fragment(self, FragmentTable fragments, int number, Columns* b, int i, uint8_t origin) noexcept nogil
    # The same for a later fragment alone.
    cdef bint follow_fragment(self, FragmentTable fragments, int number, Columns* b, int i, uint8_t origin) noexcept nogil
    # Row i from an internet edge, parsed, of no flow here; `number`, if it is a first fragment: handed over (1), or nobody's (0).
    cdef bint move_edge_row(self, FragmentTable fragments, int number, Columns* b, int i) noexcept nogil
    # Wake those who were handed something since the last call.
    cdef void wake(self) noexcept nogil
    # Make rows of what another worker has handed over, as they were received, all of one Origin; how many.
    cdef int take(self, int other, Columns* b, uint8_t* origin) noexcept nogil
    # Write the descriptors that become readable when there is something to take; how many.
    cdef int watch(self, int* fds) noexcept nogil
    # This worker has done what every worker is told, up to `number`; whether all of them have.
    cdef void has_done(self, uint64_t number) noexcept nogil
    cdef bint all_have_done(self, uint64_t number) noexcept nogil

    cdef int _owner(self, Columns* b, int i, bint by_ports) noexcept nogil
    cdef int _kernel_owner(self, Columns* b, int i, bint by_ports) noexcept nogil
    cdef int _of_port(self, uint16_t port) noexcept nogil
    cdef int _of_alias(self, uint32_t address) noexcept nogil
    cdef void _give(self, int owner, Columns* b, int i, uint8_t origin) noexcept nogil


cdef inline uint32_t mix(uint32_t x) noexcept nogil:
    x ^= x >> 16
    x *= 0x7FEB352DU
    x ^= x >> 15
    x *= 0x846CA68BU
    return x ^ x >> 16


cdef inline uint32_t folded(const uint8_t* address, uint8_t ip_version) noexcept nogil:
    """16 bytes, IPv4-mapped for version 4, in one word."""
    cdef uint32_t word = load_be32(address + 12)
    if ip_version == 4:
        return word
    return ((load_be32(address) * WORD_FACTOR + load_be32(address + 4)) * WORD_FACTOR + load_be32(address + 8)) * WORD_FACTOR + word


cdef inline int shard_among(int count, uint8_t ip_version, const uint8_t* source, uint16_t source_port,
                            const uint8_t* destination, uint16_t destination_port) noexcept nogil:
    """The same for both directions. The ends are mixed before they are added: their difference may be the same for many flows."""
    cdef uint32_t sum_ = mix(folded(source, ip_version) + source_port * <uint32_t> PORT_FACTOR) \
        + mix(folded(destination, ip_version) + destination_port * <uint32_t> PORT_FACTOR)
    return <int> ((sum_ >> 16) * <uint32_t> count >> 16)
