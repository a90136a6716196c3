# The IPv4 identification of packets whose source address is ours for many. Row 2. One thread.

from libc.stdint cimport uint8_t, uint16_t

from fastpath.flowkey cimport HashKey

cdef enum:
    IDENTIFICATION_COUNTERS = 2048

cdef class Identifications:
    cdef uint16_t[IDENTIFICATION_COUNTERS] counters
    cdef HashKey secret
    # Another identification for the IPv4 packet at ip_packet, unless it is atomic. kept: that of its datagram's fragments, 0 = none
    # yet, which the first one fills in; NULL: it is no fragment.
    cdef void renew(self, uint8_t* ip_packet, uint16_t* kept) noexcept nogil
    cdef uint16_t _next(self, const uint8_t* ip_packet) noexcept nogil
