# Flows by key: 192 bytes each, in timeout-class lists ordered by last use. Row 2. One thread.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.flowkey cimport FlowKey

cdef enum:
    FLOW_HEADER_MAX = 48
    TIMEOUT_CLASSES = 6

cpdef enum TimeoutClass:
    TIMEOUT_TCP = 0          # established
    TIMEOUT_TCP_OPENING = 1  # no answer seen yet
    TIMEOUT_TCP_CLOSING = 2  # both FIN, or RST
    TIMEOUT_UDP = 3
    TIMEOUT_ICMP = 4
    TIMEOUT_OTHER = 5

cpdef enum FlowState:
    FLOW_SEEN_REPLY = 1      # bits of FlowEntry.state
    FLOW_FIN_FORWARD = 2     # FIN from the initiator
    FLOW_FIN_REVERSE = 4
    FLOW_RESET = 8
    FLOW_KERNEL_INSIDE = 16  # the connector's own kernel started it on behalf of a workload; no Geneve header
    FLOW_BOUND = 32          # holds a NAT binding
    FLOW_PINNED = 64         # never evicted as oldest

# 192 bytes, three cache lines; first what every packet touches.
cdef struct FlowEntry:
    FlowKey key              # 0
    uint64_t hash            # 40
    uint64_t last_seen_ns    # 48
    uint32_t generation      # 56, of the policy that decided
    int32_t rule             # 60, index of the deciding rule; -1 none
    uint8_t action           # 64, Action
    uint8_t state            # 65, FlowState bits
    uint8_t initiator        # 66, Direction of packets from the side that began
    uint8_t timeout_class    # 67
    uint8_t tunnel           # 68, ZIA: slot of the session; 255 none
    uint8_t header_length    # 69, Geneve header to echo; 0 none
    uint8_t punted           # 70, free for the owner
    uint8_t used             # 71, 1 = this slot holds a flow
    uint64_t packets[2]      # 72, [0] from the initiator, [1] to it
    uint64_t bytes[2]        # 88, inner bytes
    uint64_t started_ns      # 104
    uint32_t peer_address    # 112, outer address the newest Geneve packet came from
    uint16_t peer_port       # 116
    uint16_t nat_port        # 118, valid iff FLOW_BOUND
    uint32_t nat_slot        # 120, which local address the binding uses; the owner's index
    uint32_t name_id         # 124, name that decided; 0 none
    int32_t previous         # 128, list of the timeout class; -1 ends
    int32_t next             # 132
    uint32_t location        # 136
    uint32_t owner           # 140, free for the owner
    uint8_t header[48]       # 144

cdef class FlowTable:
    cdef FlowEntry* entries
    cdef readonly int capacity
    cdef readonly int size
    cdef uint64_t idle_ns[6]
    cdef void* _index                                              # the module's own
    cdef int32_t _heads[6]                                         # of the timeout classes; least recently used; -1 none
    cdef int32_t _tails[6]
    cdef int32_t _free                                             # chain of slots given back; -1 none
    cdef int32_t _fresh                                            # slots from here on were never used
    # Sets entry of every live row (-1 = miss); returns the number of misses. Does not touch.
    cdef int lookup(self, Columns* b) noexcept nogil
    cdef int32_t find(self, const FlowKey* key, uint64_t hash) noexcept nogil
    # A zeroed entry (key, hash, times, class, used set), or -1: full. Key must not be present.
    cdef int32_t insert(self, const FlowKey* key, uint64_t hash, uint8_t timeout_class, uint64_t now_ns) noexcept nogil
    # last_seen_ns, and to the tail of the class's list (class may change).
    cdef void touch(self, int32_t index, uint8_t timeout_class, uint64_t now_ns) noexcept nogil
    cdef void remove(self, int32_t index) noexcept nogil
    # The least recently used entry that is not pinned; -1 if there is none.
    cdef int32_t oldest(self) noexcept nogil
    # Up to `room` indexes of flows idle for longer than their class allows, in out; they stay until removed. O(due).
    cdef int due(self, uint64_t now_ns, int32_t* out, int room) noexcept nogil
    # Row i belongs to flow b.entry[i] (≥ 0): counts it in its direction, moves the TCP state on, touches.
    cdef void account(self, Columns* b, int i, uint64_t now_ns) noexcept nogil
    cdef void _link(self, int32_t index, uint8_t timeout_class) noexcept nogil
    cdef void _unlink(self, int32_t index) noexcept nogil
    cdef int _set_idle(self, dict idle) except -1
    cdef int _check(self, int32_t index, str name) except -1       # ValueError unless index is a flow of this table
    cdef int _check_entries(self, Columns* b) except -1

# The class of a flow of this protocol in this state (FlowState bits).
cdef inline uint8_t class_of(uint8_t protocol, uint8_t state) noexcept nogil:
    if protocol == 6:                                  # TCP
        if state & FLOW_RESET or state & FLOW_FIN_FORWARD and state & FLOW_FIN_REVERSE:
            return TIMEOUT_TCP_CLOSING
        return TIMEOUT_TCP if state & FLOW_SEEN_REPLY else TIMEOUT_TCP_OPENING
    if protocol == 17:                                 # UDP
        return TIMEOUT_UDP
    return TIMEOUT_ICMP if protocol == 1 or protocol == 58 else TIMEOUT_OTHER
