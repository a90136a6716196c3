# The ways out of a worker, and which one a row of a flow takes. Row 3, between admission and worker.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

from fastpath.action cimport ACTION_LOCAL, FRAGMENT_NONE
from fastpath.admission cimport Admission
from fastpath.askers cimport AskerTable
from fastpath.batch cimport Columns, PacketBatch, row
from fastpath.flowtable cimport FlowEntry
from fastpath.message cimport FlowView
from fastpath.identification cimport Identifications
from fastpath.packet cimport PROTOCOL_TCP, PROTOCOL_UDP, TCP_SYN, clamp_mss
from fastpath.packetio cimport Device, GenevePort
from fastpath.quote cimport Quote
from fastpath.refusal cimport Limit

cdef enum:
    DNS_PORT = 53
    IPV4_TCP_BYTES = 40    # headers that the MSS does not count (RFC 9293 §3.7.1)
    IPV6_TCP_BYTES = 60

# Row numbers on their way to one device.
cdef struct Rows:
    int n
    uint16_t index[4096]

cdef class Egress:
    cdef readonly GenevePort geneve
    cdef readonly Device device
    cdef readonly Admission admission
    cdef Rows to_geneve
    cdef Rows to_device
    cdef Rows to_tunnel[8]
    cdef PacketBatch pieces        # of one packet that is too large, on their way
    cdef Limit[3] limits           # of refusals, by Refusal
    cdef AskerTable told           # how many each source is told
    cdef Identifications identifications
    cdef int datagram              # that the row at hand is a fragment of, by admission.fragments; -1 none
    # Forget the rows of the batch before.
    cdef void begin(self) noexcept nogil
    # Send the rows of this batch, and count its dropped ones.
    cdef void flush(self, Columns* b) noexcept nogil
    # Outer headers, from address:peer_port to peer_address:port, in front of the rows that wait to go to GWLB.
    cdef void encode(self, Columns* b, uint32_t address, uint16_t port) noexcept nogil
    # Row i, sent by the initiator of its flow, goes where the flow's action says, which is not LOCAL.
    cdef void forward(self, Columns* b, int i, FlowEntry* entry) noexcept nogil
    # Row i, restored, goes to the initiator.
    cdef void deliver(self, Columns* b, int i, int32_t index) noexcept nogil
    # Row i, an ICMP error about a packet of the flow that went to the initiator: where the flow's own packets go.
    cdef void forward_error(self, Columns* b, int i, FlowEntry* entry, Quote* quote) noexcept nogil
    # Row i, an ICMP error about a packet of the flow's initiator, goes to it.
    cdef void deliver_error(self, Columns* b, int i, int32_t index, Quote* quote) noexcept nogil
    # Row i, as GWLB sent it and not rewritten, goes no further for `reason`, and its sender is told a Refusal.
    cdef void tell(self, Columns* b, int i, int refusal, uint16_t mtu, uint8_t reason) noexcept nogil
    # Rewrite one side of row i; False: dropped.
    cdef bint rewrite_side(self, Columns* b, int i, int side, const uint8_t* address, uint16_t port) noexcept nogil

    cdef void _refuse(self, Columns* b, int i, FlowEntry* entry) noexcept nogil
    cdef void _translate(self, Columns* b, int i, FlowEntry* entry) noexcept nogil
    cdef void _into_tunnel(self, Columns* b, int i, FlowEntry* entry) noexcept nogil
    cdef void _home(self, Columns* b, int i, int32_t index) noexcept nogil
    # Row i, too large for mtu, leaves in pieces, by a tunnel or (slot < 0) the device; or it is dropped.
    cdef void _in_pieces(self, Columns* b, int i, FlowEntry* entry, uint16_t mtu, int slot, uint8_t reason) noexcept nogil
    cdef void _identify(self, Columns* b, int i) noexcept nogil
    cdef void _tell_size(self, Columns* b, int i, FlowEntry* entry, uint16_t mtu, uint8_t reason) noexcept nogil
    cdef void _alias_of(self, FlowView* f, uint8_t* alias) noexcept nogil


cdef inline void add(Rows* rows, int i) noexcept nogil:
    rows.index[rows.n] = i
    rows.n += 1


cdef inline bint is_dns(Columns* b, int i, uint16_t port) noexcept nogil:
    return port == DNS_PORT and b.protocol[i] == PROTOCOL_UDP and b.fragment[i] == FRAGMENT_NONE


cdef inline void clamp(Columns* b, int i, int mtu) noexcept nogil:
    if b.protocol[i] == PROTOCOL_TCP and b.tcp_flags[i] & TCP_SYN:
        clamp_mss(row(b, i) + b.inner_start[i], b.inner_length[i], b.l4_start[i] - b.inner_start[i],
                  mtu - (IPV4_TCP_BYTES if b.ip_version[i] == 4 else IPV6_TCP_BYTES))


cdef inline void forward_row(Egress egress, Columns* b, int i, int32_t index) noexcept nogil:
    """egress.forward; what goes LOCAL, the frame as it came, header and all, needs no call."""
    cdef FlowEntry* entry = &egress.admission.flows.entries[index]
    b.entry[i], b.rule[i], b.action[i] = index, entry.rule, entry.action
    if entry.action == ACTION_LOCAL:
        add(&egress.to_geneve, i)
    else:
        egress.forward(b, i, entry)
