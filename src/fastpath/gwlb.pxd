# The three AWS Gateway Load Balancer options (class 0x0108, types 1, 2, 3) of a decoded Geneve header. Row 2.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastpath.batch cimport Columns

cdef enum:
    GWLB_CLASS = 0x0108
    GWLB_HEADER_BYTES = 40      # what GWLB sends: base 8 + options 32
    GWLB_HEADER_MAX = 48        # the longest header a flow entry can hold to echo

# After geneve.decode: writes endpoint, attachment, cookie; drops rows in which one is missing, has the wrong length,
# or whose whole header is longer than GWLB_HEADER_MAX.
cdef int decode(Columns* b) noexcept nogil
# Writes a 40-byte header with the three options.
cdef void write_header(uint8_t* at, uint64_t endpoint, uint64_t attachment, uint32_t cookie, uint8_t ip_version) noexcept nogil
