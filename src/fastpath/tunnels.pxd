# The worker's DTLS sessions to internet edges, by slot. Row 2. One thread once the worker runs.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns, PacketBatch
from fastpath.dtls cimport Session
from fastpath.packetio cimport Port
from fastpath.parts cimport PARTS_WHOLE, Parts

cdef enum:
    TUNNEL_SLOTS = 8                  # one an edge
    TUNNEL_PLACES = 16                # and one beside each, TUNNEL_SLOTS further: a session that comes or goes, received from only
    TUNNEL_NONE = 255
    GATEWAYS = 2048                   # the one without a name is 0: all edges
    TUNNEL_HEADER_BYTES = 28          # Geneve base 8, location option 8, flow hash option 12
    TUNNEL_OPTION_CLASS = 0xFF5A
    TUNNEL_OPTION_LOCATION = 1
    TUNNEL_OPTION_FLOW_HASH = 3

cdef struct Slot:
    void* session                     # borrowed: dtls.Session; NULL: a stream's is its socket's own
    void* socket                      # borrowed: packetio.UdpSocket, connected; or stream.Stream
    int fd                            # -1 = empty
    uint16_t mtu                      # largest inner packet that its path carries
    bint takes_parts                  # the edge puts together what comes in parts
    void* parts                       # borrowed: parts.Parts
    uint64_t sealed                   # records of the session, sent and received
    uint64_t opened

# Edges that rules choose together.
cdef struct Gateway:
    uint8_t active                    # slot for new flows, or TUNNEL_NONE
    uint8_t edges                     # bit n: slot n is one of them

# Put a tunnel's Geneve header in front of the inner packet of row i.
cdef void encapsulate(Columns* b, int i, uint32_t location, uint64_t flow_hash) noexcept nogil

cdef class Tunnels:
    cdef Slot slots[16]
    cdef Gateway gateways[2048]
    cdef list sessions                # what the slots borrow from
    cdef list sockets
    cdef list parts
    cdef PacketBatch apart            # parts on their way
    # `wanted` if it is up and one of the gateway's, else the gateway's active one, else TUNNEL_NONE.
    cdef uint8_t choose(self, uint8_t wanted, uint16_t gateway) noexcept nogil
    # New flows of a gateway use this slot; another number of a gateway than 0 … 2,047 is ignored.
    cdef void activate(self, uint32_t gateway, uint8_t slot, uint8_t edges) noexcept nogil
    # The largest inner packet for a slot, `ceiling` at most.
    cdef uint16_t largest(self, uint8_t slot, uint16_t ceiling) noexcept nogil
    # Whether a packet that is larger than that goes all the same, in parts.
    cdef bint carries(self, uint8_t slot, int inner_length) noexcept nogil
    # Take row i, a Geneve packet with a critical option, decoded, that came by a place. True: it is a whole packet now. *lost grows by
    # the parts that were given up.
    cdef bint join(self, int place, Columns* b, int i, uint64_t* lost) noexcept nogil
    # Seal each row's frame in place and send it; what the path does not carry, in parts. Rows that fail are dropped.
    cdef void send(self, int slot, Columns* b, const uint16_t* rows, int n) noexcept nogil
    cdef void _send_whole(self, int slot, Columns* b, const uint16_t* rows, int n) noexcept nogil
    cdef void _send_apart(self, int slot, Columns* b, const uint16_t* rows, int n) noexcept nogil
    # Seal and send one Geneve packet from outside a batch. 1 if it left.
    cdef int send_bytes(self, int slot, const uint8_t* packet, int n) noexcept nogil
    # Receive and open: rows hold plain Geneve packets; records that carry none are dropped rows. *closed: session ended.
    cdef int recv(self, int slot, Columns* b, int* closed) noexcept nogil
    cdef int _streamed(self, int slot, Columns* b, int n, int* closed) noexcept nogil
    cdef _put(self, int at, Session session, Port socket, uint16_t mtu)
    cdef int _open(self, int slot, const uint8_t* datagram, int n, uint8_t* out, int room) noexcept nogil
    # Whether a slot has received more than it has handed out.
    cdef bint held(self) noexcept nogil
    cdef void detach(self, int slot) noexcept nogil
