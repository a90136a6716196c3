# Several datagrams for one pass through the kernel: UDP segmentation offload on the way out, receive offload on the way in. Row 1,
# below packetio, its only user.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastpath.batch cimport Columns
from fastpath.mmsg cimport NAME_BYTES, RING, iovec, mmsghdr

cdef enum:
    SEGMENTS = 64            # datagrams a message, the kernel's limit up to Linux 6.8
    MERGED_BYTES = 65536     # what one received message may hold
    MERGED = 16              # such messages a system call
    CONTROL_BYTES = 32       # a control message with a number in it

# One message received, until it is rows.
cdef struct Receipt:
    int length
    int size                         # bytes a datagram, but for the last
    uint32_t address                 # of its sender, if that is IPv4
    uint16_t port
    uint8_t cut                      # it was longer than MERGED_BYTES

# Everything both ways need, made once; every call fills it anew, but for what is left of receipts.
cdef struct Segments:
    mmsghdr messages[RING]
    iovec vectors[RING]
    uint8_t names[RING * NAME_BYTES]
    uint8_t control[RING * CONTROL_BYTES]
    uint16_t rows[RING]              # in the order sent
    uint16_t first[RING + 1]         # of each message, in rows
    uint8_t refused                  # the kernel or the device does not segment: one datagram a message from now on
    uint8_t* merged                  # MERGED messages received; NULL = the socket has no receive offload
    Receipt receipts[MERGED]
    int got                          # of them
    int taken                        # of those, made into rows
    int at                           # bytes of the one in hand that are rows already

cdef Segments* new_segments(bint receiving) except NULL
cdef void free_segments(Segments* s) noexcept
# Rows to their peers (or the connected one), runs of one length to one peer as one message. Returns how many left.
cdef int send_segments(int fd, Segments* s, Columns* b, const uint16_t* rows, int n, bint connected) noexcept nogil
# Rows from what has come, merged datagrams taken apart; what finds no row stays, and comes first the next time. Returns the rows
# filled.
cdef int receive_segments(int fd, Segments* s, Columns* b) noexcept nogil
