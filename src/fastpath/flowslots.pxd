# The slots of a flow table: an entry and a path for each flow, their memory, and the header that a flow keeps. Row 2.
#
# An index from key to slot, and lists through the entries, stand in the same structure; flows.pxd says what they do.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath.buckets cimport Buckets, bytes_of, close_buckets, open_buckets, prepare_buckets
from fastpath.flowkey cimport FlowKey
from fastpath.memory cimport fill_pages, give_pages, take_small_pages

cdef enum:
    FLOW_HEADER_MAX = 48
    FLOW_HEADER_NEAR = 40    # GWLB's header today: base and three options
    TIMEOUT_CLASSES = 6
    RANKS = 3
    LISTS = 18               # RANKS × TIMEOUT_CLASSES
    JOIN_EVERY = 1 << 18     # flows: 16 huge pages of entries and 7 of paths
    FLOWS_MAX = 1 << 30

# 128 bytes, two cache lines: what a search and the lists touch, then what every packet counts.
cdef struct FlowEntry:
    FlowKey key              # 0
    uint64_t hash            # 40
    uint64_t last_seen_ns    # 48
    int32_t previous         # 56, in its list; -1 ends
    int32_t next             # 60, in its list, or in the chain of free slots; -1 ends
    uint32_t generation      # 64, of the policy that decided
    int32_t rule             # 68, index of the deciding rule; -1 none
    uint8_t action           # 72, Action
    uint8_t state            # 73, FlowState bits
    uint8_t initiator        # 74, Direction of packets from the side that began
    uint8_t timeout_class    # 75
    uint8_t tunnel           # 76, ZIA: slot of the session; 255 none
    uint8_t used             # 77, 0 = no flow in this slot, else 1 + Rank of the list it is in
    uint16_t nat_port        # 78, valid iff FLOW_BOUND
    uint64_t packets[2]      # 80, [0] from the initiator, [1] to it
    uint64_t bytes[2]        # 96, inner bytes
    uint32_t nat_slot        # 112, which local address the binding uses; the owner's index
    uint32_t name_id         # 116, name that decided; 0 none
    uint32_t location        # 120
    uint32_t owner           # 124, free for the owner

# 56 bytes: how the flow came, and under what its packets go back.
cdef struct FlowPath:
    uint64_t started_ns      # 0
    uint32_t peer_address    # 8, outer address the newest Geneve packet came from
    uint16_t peer_port       # 12
    uint8_t header_length    # 14, Geneve header to echo, at most FLOW_HEADER_MAX; 0 none
    uint8_t marked           # 15, it goes first when too much comes: see flowmarks
    uint8_t header[40]       # 16, its first FLOW_HEADER_NEAR bytes

cdef struct Flows:
    FlowEntry* entries       # capacity of them; a slot that holds no flow has used == 0
    FlowPath* paths          # by the same index
    uint64_t* far            # by the same index: header bytes from FLOW_HEADER_NEAR on; no memory until one is that long
    Buckets index
    uint64_t idle_ns[6]      # by TimeoutClass; the owner sets them before the first flow
    int32_t heads[18]        # of the lists: least recently used; -1 none
    int32_t tails[18]
    int32_t capacity
    int32_t size
    int32_t free             # chain of slots given back; -1 none
    int32_t fresh            # slots from here on were never used
    int32_t ready            # slots up to here have had their memory from the beginning


cdef inline int open_flows(Flows* flows, int32_t capacity) noexcept nogil:
    """Make a table of at most `capacity` flows, 1 … 2^30; 0: no memory, and nothing to close."""
    cdef int k
    memset(flows, 0, sizeof(Flows))
    flows.capacity, flows.free = capacity, -1
    for k in range(LISTS):
        flows.heads[k] = flows.tails[k] = -1
    flows.entries = <FlowEntry*> take_small_pages(capacity, sizeof(FlowEntry))
    flows.paths = <FlowPath*> take_small_pages(capacity, sizeof(FlowPath))
    flows.far = <uint64_t*> take_small_pages(capacity, sizeof(uint64_t))
    if flows.entries is not NULL and flows.paths is not NULL and flows.far is not NULL and \
            open_buckets(&flows.index, capacity, flows.entries, sizeof(FlowEntry)):
        return 1
    close_flows(flows)
    return 0


cdef inline int prepare_flows(Flows* flows, int32_t ready) noexcept nogil:
    """Before the first flow: take the memory for `ready` flows now, in huge pages; 0: no memory, nothing has changed."""
    if not prepare_buckets(&flows.index, ready):
        return 0
    flows.ready = ready
    fill_pages(flows.entries, <size_t> ready * sizeof(FlowEntry))
    fill_pages(flows.paths, <size_t> ready * sizeof(FlowPath))
    return 1


cdef inline void close_flows(Flows* flows) noexcept nogil:
    close_buckets(&flows.index)
    give_pages(flows.entries, flows.capacity, sizeof(FlowEntry))
    give_pages(flows.paths, flows.capacity, sizeof(FlowPath))
    give_pages(flows.far, flows.capacity, sizeof(uint64_t))
    flows.entries, flows.paths, flows.far = NULL, NULL, NULL


cdef inline size_t flow_bytes(const Flows* flows) noexcept nogil:
    """The memory taken so far: slots that were made ready or ever held a flow, and the index."""
    cdef size_t slots = flows.fresh if flows.fresh > flows.ready else flows.ready
    return sizeof(Flows) - sizeof(Buckets) + bytes_of(&flows.index) + slots * (sizeof(FlowEntry) + sizeof(FlowPath))


cdef inline FlowPath* path_of(const Flows* flows, const FlowEntry* entry) noexcept nogil:
    return &flows.paths[entry - flows.entries]


cdef inline void keep_header(Flows* flows, int32_t index, const uint8_t* header, uint8_t length) noexcept nogil:
    """Remember the header that the flow's packets go back under; at most FLOW_HEADER_MAX bytes."""
    cdef FlowPath* path = &flows.paths[index]
    path.header_length = length
    memcpy(path.header, header, length if length < FLOW_HEADER_NEAR else FLOW_HEADER_NEAR)
    if length > FLOW_HEADER_NEAR:
        memcpy(&flows.far[index], header + FLOW_HEADER_NEAR, length - FLOW_HEADER_NEAR)


cdef inline const uint8_t* header_of(const Flows* flows, int32_t index, uint8_t* room) noexcept nogil:
    """The flow's header in one piece: where it lies, or copied to `room`, FLOW_HEADER_MAX bytes."""
    cdef FlowPath* path = &flows.paths[index]
    if path.header_length <= FLOW_HEADER_NEAR:
        return path.header
    memcpy(room, path.header, FLOW_HEADER_NEAR)
    memcpy(room + FLOW_HEADER_NEAR, &flows.far[index], FLOW_HEADER_MAX - FLOW_HEADER_NEAR)
    return room
