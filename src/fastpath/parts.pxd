# Packets that a tunnel carries in parts, because its path is too small for them. Row 2. One session's, one thread.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns

cdef enum:
    PARTS_WHOLE = 1280       # bytes of the largest inner packet that goes in parts: IPv6's least MTU (RFC 8200 §5)
    PARTS_MAX = 4            # of one packet: the smallest path that is searched for carries it in three
    PARTS_OPEN = 32          # packets that may be incomplete at a time
    PARTS_HEADER = 48        # bytes of a packet's own Geneve header, at most
    PART_OPTION_BYTES = 12   # what a part's header has more

# A packet of which some parts are here.
cdef struct Open:
    uint32_t number          # 0: there was none yet
    uint16_t whole           # bytes of the inner packet
    uint16_t seen
    uint8_t parts            # that are here; 0: the packet has gone on, or there was none yet
    uint8_t header_length
    uint8_t header[48]
    uint16_t first[4]        # of each part: its first byte, and the one behind its last
    uint16_t behind[4]
    uint8_t bytes[1280]

cdef class Parts:
    cdef Open* open          # packet n is at n % PARTS_OPEN
    cdef uint32_t number     # of the last packet sent
    cdef readonly uint64_t lost      # parts that were here and whose packet was given up
    # Append the parts of the Geneve packet in row i to the rows of out, each of at most `size` bytes. Returns how many; 0: it is too
    # large, or `size` too small. There must be PARTS_MAX rows left.
    cdef int split(self, Columns* b, int i, int size, Columns* out) noexcept nogil
    # Take row i, a Geneve packet with a critical option, decoded. True: it is the whole packet now, decoded. Else it has a reason.
    cdef bint join(self, Columns* b, int i) noexcept nogil
    cdef uint8_t _take(self, Columns* b, int i, const uint8_t* option) noexcept nogil
