# The stages of an internet edge's batches, and what a batch may wait for between two of them. Row 2.

from fastpath.action cimport FRAGMENT_NONE
from fastpath.batch cimport Columns
from fastpath.links cimport Link
from fastpath.packet cimport PROTOCOL_ICMP, PROTOCOL_ICMPV6
from fastpath.rewrite cimport has_port

# What a batch waits for; Carrier.go_on when it is done.
cpdef enum Want:
    WANT_NOTHING = 0     # the batch is done with
    WANT_GATE = 1        # strangers: live rows without an origin; or rows of a session that were no records of it
    WANT_CONTROL = 2     # Geneve with O or C bit
    WANT_FLOWS = 3       # from tunnels: fragments, ICMP errors, or no room for new flows
    WANT_EXPIRED = 4     # no TTL left
    WANT_ERRORS = 5      # from the internet: fragments, ICMP errors
    WANT_WAYS = 6        # first fragments to settle, flows whose session may be elsewhere, rows larger than their tunnel
    WANT_CUT = 7         # rows with their header, larger than their tunnel

# In order: of a batch from tunnels, and of one from the internet.
cpdef enum Stage:
    STAGE_OPEN = 0
    STAGE_REOPEN = 1
    STAGE_DECODE = 2
    STAGE_LOOK_UP = 3
    STAGE_ACCOUNT = 4
    STAGE_LEAVE = 5
    STAGE_LEFT = 6
    STAGE_PARSE = 7
    STAGE_FIND = 8
    STAGE_RESTORE = 9
    STAGE_ENTER = 10
    STAGE_ENTERED = 11

cdef enum:
    IPV4_LEAST = 576          # nobody's MSS is clamped below what every host takes, RFC 791 §3.1


cdef inline bint is_odd(Columns* b, int i) noexcept nogil:
    """A fragment, or ICMP that is no echo and may be an error."""
    return b.fragment[i] != FRAGMENT_NONE or \
        (b.protocol[i] == PROTOCOL_ICMP or b.protocol[i] == PROTOCOL_ICMPV6) and not has_port(b, i)


cdef inline int largest(const void* link, int otherwise) noexcept nogil:
    """The largest inner packet of a way; `otherwise`: of one that nobody knows."""
    return otherwise if link is NULL else (<Link> link).mtu


cdef inline int segments_of(int mtu) noexcept nogil:
    """The packet size that TCP is told of."""
    return mtu if mtu > IPV4_LEAST else IPV4_LEAST
