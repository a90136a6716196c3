# What the sender of a packet is told that goes no further: a TCP reset or an ICMP error, made in the packet's own row. Row 1.

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.tokens cimport take_token

cpdef enum Refusal:
    REFUSAL_PROHIBITED = 0   # TCP: a reset; else "communication administratively prohibited"
    REFUSAL_TOO_BIG = 1      # with the largest size that fits; not told to an IPv4 sender that allows fragments
    REFUSAL_EXPIRED = 2      # TTL or hop limit

cdef enum:
    REFUSALS = 3
    REFUSALS_A_SECOND = 1000         # RFC 1812 §4.3.2.8 and RFC 4443 §2.4 (f) want a bound; Linux's is the same
    REFUSALS_AT_ONCE = 250

# See tokens.pxd.
cdef struct Limit:
    uint64_t full_ns


cdef inline bint within(Limit* limit, uint64_t now_ns) noexcept nogil:
    """Take one of the answers that may be given now; False: not now."""
    return take_token(&limit.full_ns, now_ns, 1_000_000_000 // REFUSALS_A_SECOND, REFUSALS_AT_ONCE)


# Makes row i (parsed, not rewritten) the answer to itself: inner_start, inner_length and the packet columns are the answer's.
# speaker: 16 bytes, who says it; NULL = the packet's own destination. False: nothing may be said, or there is no room in
# front of it; the row is as it was.
cdef bint refuse_row(Columns* b, int i, int refusal, uint16_t mtu, const uint8_t* speaker) noexcept nogil
