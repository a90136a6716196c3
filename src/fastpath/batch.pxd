# PacketBatch: up to `capacity` packets and what each stage has learned of them, one column a fact. Row 0.
#
# One thread owns a batch at a time. A stage reads and writes rows 0 … count-1 and skips a row whose `reason` is not
# DROP_NONE ("dead"). Decoders overwrite every column they own on every live row, so nothing leaks from earlier use.
# Addresses are 16 bytes; an IPv4 address is held IPv4-mapped (::ffff:a.b.c.d, RFC 4291 §2.5.5.2).
# A stage works on its own copy of the Columns (`cdef Columns c = b[0]`, the address given to inline functions only): a store to
# a uint8_t column may, for all the compiler knows, change the struct behind a pointer, and then every column's address is read
# again for every row.
# Offsets are absolute within the row. Integers are in host order.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

cdef enum:
    HEADROOM = 128         # bytes kept free before a received frame, so that a header can be put in front
    ROOM_DEFAULT = 9216    # bytes a row: 8,568 of GWLB's largest packet, the headroom, and slack
    CAPACITY_DEFAULT = 256
    CAPACITY_MAX = 4096
    KEY_BYTES = 40

cdef struct Columns:
    int capacity
    int room
    int count
    # the frame (packetio)
    uint8_t* data                # capacity × room
    uint16_t* start              # first byte of what was received or is to be sent
    uint16_t* length             # bytes from start
    uint32_t* peer_address       # outer IPv4 source (received) or destination (to send)
    uint16_t* peer_port          # outer UDP source port received; what the reply carries as its source port too
    # geneve
    uint16_t* geneve_start       # of the Geneve base header
    uint16_t* geneve_length      # 8 + options
    uint8_t* geneve_flags        # 0x80 = O (control), 0x40 = C (critical options), as on the wire
    uint32_t* vni                # 24 bits
    # gwlb
    uint64_t* endpoint           # option 1, endpoint ENI id
    uint64_t* attachment         # option 2
    uint32_t* cookie             # option 3
    # packet
    uint16_t* inner_start        # of the IP header
    uint16_t* inner_length       # as the IP header says; never more than what is there
    uint8_t* ip_version          # 4 or 6
    uint8_t* protocol            # after IPv6 extension headers
    uint8_t* fragment            # Fragment
    uint8_t* tcp_flags           # valid iff protocol is TCP and fragment is not FRAGMENT_LATER, else 0
    uint16_t* l4_start           # of the transport header
    uint8_t* source              # capacity × 16
    uint8_t* destination         # capacity × 16
    uint16_t* source_port        # TCP, UDP: port; ICMP(v6) echo: identifier; else 0. 0 in FRAGMENT_LATER
    uint16_t* destination_port   # as source_port (an echo carries its identifier in both)
    # flowkey
    uint16_t* namespace          # set by the caller before flowkey.build
    uint8_t* key                 # capacity × KEY_BYTES
    uint64_t* hash
    uint8_t* direction           # Direction
    # flowtable, classify
    int32_t* entry               # index in the flow table; -1 = miss
    int32_t* rule                # index of the deciding rule; -1 = none yet
    uint8_t* action              # Action
    uint8_t* reason              # DropReason


cdef class PacketBatch:
    cdef Columns columns
    cdef readonly object data, start, length, peer_address, peer_port
    cdef readonly object geneve_start, geneve_length, geneve_flags, vni
    cdef readonly object endpoint, attachment, cookie
    cdef readonly object inner_start, inner_length, ip_version, protocol, fragment, tcp_flags, l4_start
    cdef readonly object source, destination, source_port, destination_port
    cdef readonly object namespace, key, hash, direction
    cdef readonly object entry, rule, action, reason
    cdef _make_frame_columns(self, Columns* b, int capacity)
    cdef _make_packet_columns(self, Columns* b, int capacity)
    cdef _make_flow_columns(self, Columns* b, int capacity)


# For calls from Python, where anybody writes a batch's arrays: ValueError, by these column names, unless start … start+length of
# every live row lies in it. A stage believes what the one before it wrote.
cdef int inside(Columns* b, const uint16_t* start, const uint16_t* length, str names) except -1


cdef inline uint8_t* row(Columns* b, int i) noexcept nogil:
    return b.data + <size_t> i * b.room


cdef inline void drop(Columns* b, int i, uint8_t reason) noexcept nogil:
    b.reason[i] = reason
    b.action[i] = 3   # ACTION_DROP; row 0 modules do not import one another's enums


cdef inline int alive(Columns* b) noexcept nogil:
    """Count the rows that no stage has dropped."""
    cdef int i, n = 0
    for i in range(b.count):
        n += b.reason[i] == 0
    return n


cdef inline void reset(Columns* b, int count) noexcept nogil:
    """Make rows 0 … count-1 fresh: no verdict, no flow, no reason. The bytes stay."""
    b.count = count
    memset(b.action, 0, count)
    memset(b.reason, 0, count)
    memset(b.rule, 0xFF, count * sizeof(int32_t))
    memset(b.entry, 0xFF, count * sizeof(int32_t))
