# Flows: what a FlowTable is made of, for callers that are not Python. Row 2. One thread.
#
#     index: one cache line a bucket (buckets.pxd) ──slot──▶ entries: 128 bytes a flow ◀──▶ list of its timeout class and rank
#                                                            paths:    56 bytes a flow, by the same slot
#
# Nothing here raises, logs or takes the GIL. A slot never moves. `now_ns` is any clock that never goes back.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath.buckets cimport (Bucket, Buckets, add_slot, after, bytes_of, close_buckets, drop_slot, find_key, home_of,
                               lowest, match12, open_buckets, same_key, tag_of)
from fastpath.flowkey cimport FlowKey
from fastpath.memory cimport give_pages, prefetch, take_pages

cdef enum:
    FLOW_HEADER_MAX = 48
    FLOW_HEADER_NEAR = 40    # GWLB's header today: base and three options
    TIMEOUT_CLASSES = 6
    RANKS = 3
    LISTS = 18               # RANKS × TIMEOUT_CLASSES
    LOOK_UP_CHUNK = 64       # rows whose memory is fetched together
    FLOWS_MAX = 1 << 30
    TCP_FLAG_FIN = 0x01
    TCP_FLAG_RST = 0x04

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
    FLOW_PINNED = 64         # the table's own: see pin_flow

# What a flow is to a table that is full. Each has a list for every timeout class, least recently used first.
cdef enum Rank:
    RANK_YOUNG = 0           # no answer seen, or closing: gives way to new flows
    RANK_ANSWERED = 1        # stays for as long as it is not idle for too long
    RANK_PINNED = 2

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
    uint8_t pad              # 15
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


cdef inline int open_flows(Flows* flows, int32_t capacity) noexcept nogil:
    """Make a table of at most `capacity` flows, 1 … 2^30; 0: no memory, and nothing to close."""
    cdef int k
    memset(flows, 0, sizeof(Flows))
    flows.capacity, flows.free = capacity, -1
    for k in range(LISTS):
        flows.heads[k] = flows.tails[k] = -1
    flows.entries = <FlowEntry*> take_pages(capacity, sizeof(FlowEntry))
    flows.paths = <FlowPath*> take_pages(capacity, sizeof(FlowPath))
    flows.far = <uint64_t*> take_pages(capacity, sizeof(uint64_t))
    if flows.entries is not NULL and flows.paths is not NULL and flows.far is not NULL and \
            open_buckets(&flows.index, capacity, flows.entries, sizeof(FlowEntry)):
        return 1
    close_flows(flows)
    return 0


cdef inline void close_flows(Flows* flows) noexcept nogil:
    close_buckets(&flows.index)
    give_pages(flows.entries, flows.capacity, sizeof(FlowEntry))
    give_pages(flows.paths, flows.capacity, sizeof(FlowPath))
    give_pages(flows.far, flows.capacity, sizeof(uint64_t))
    flows.entries, flows.paths, flows.far = NULL, NULL, NULL


cdef inline size_t flow_bytes(const Flows* flows) noexcept nogil:
    """The memory that has been used so far: slots that ever held a flow, and the index."""
    return sizeof(Flows) - sizeof(Buckets) + bytes_of(&flows.index) + \
        <size_t> flows.fresh * (sizeof(FlowEntry) + sizeof(FlowPath))


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


cdef inline uint8_t class_of(uint8_t protocol, uint8_t state) noexcept nogil:
    """The class of a flow of this protocol in this state (FlowState bits)."""
    if protocol == 6:                                  # TCP
        if state & FLOW_RESET or state & FLOW_FIN_FORWARD and state & FLOW_FIN_REVERSE:
            return TIMEOUT_TCP_CLOSING
        return TIMEOUT_TCP if state & FLOW_SEEN_REPLY else TIMEOUT_TCP_OPENING
    if protocol == 17:                                 # UDP
        return TIMEOUT_UDP
    return TIMEOUT_ICMP if protocol == 1 or protocol == 58 else TIMEOUT_OTHER


# ---- finding ----

cdef inline int look_up(const Flows* flows, const uint8_t* keys, const uint64_t* hashes, int32_t* out, int n) noexcept nogil:
    """out[i] = the flow of keys[40 * i] and hashes[i], or -1; returns the number of -1. Touches no flow."""
    cdef int begin = 0, rows, misses = 0
    while begin < n:
        rows = LOOK_UP_CHUNK if n - begin > LOOK_UP_CHUNK else n - begin
        misses += look_up_chunk(flows, keys + 40 * <size_t> begin, hashes + begin, out + begin, rows)
        begin += rows
    return misses


cdef inline int look_up_chunk(const Flows* flows, const uint8_t* keys, const uint64_t* hashes, int32_t* out,
                              int n) noexcept nogil:
    """Passes over all rows, so that their cache misses overlap: buckets, then candidates, then comparison.

    Rows whose first candidate was another flow's, or whose bucket sends them on, go round again together.
    """
    cdef Bucket* at[LOOK_UP_CHUNK]
    cdef unsigned mask[LOOK_UP_CHUNK]
    cdef uint8_t open_rows[LOOK_UP_CHUNK]
    cdef FlowKey key
    cdef int i, k, left = n, kept, misses = 0
    for i in range(n):
        at[i] = home_of(&flows.index, hashes[i])
        prefetch(at[i])
        mask[i], open_rows[i] = 0, i
    while left:
        for k in range(left):
            i = open_rows[k]
            if mask[i] == 0:
                mask[i] = match12(at[i].tags, tag_of(hashes[i]))
            out[i] = at[i].slots[lowest(mask[i])] if mask[i] else -1
            if mask[i]:
                prefetch(&flows.entries[out[i]])
        kept = 0
        for k in range(left):
            i = open_rows[k]
            memcpy(&key, keys + 40 * <size_t> i, 40)
            if mask[i] and same_key(flows.entries[out[i]].key.words, key.words):
                continue
            mask[i] &= mask[i] - 1
            if mask[i] == 0:
                if at[i].passed == 0:
                    out[i] = -1
                    misses += 1
                    continue
                at[i] = after(&flows.index, at[i])
                prefetch(at[i])
            open_rows[kept] = i
            kept += 1
        left = kept
    return misses


cdef inline int32_t find_flow(const Flows* flows, const FlowKey* key, uint64_t hash) noexcept nogil:
    return find_key(&flows.index, hash, key.words)


# ---- the lists ----

cdef inline void link_flow(Flows* flows, int32_t index, uint8_t timeout_class) noexcept nogil:
    """To the tail of the list of this class and of the rank that the flow has now."""
    cdef FlowEntry* entry = &flows.entries[index]
    cdef int rank = RANK_YOUNG, tail, which
    if entry.state & FLOW_PINNED:
        rank = RANK_PINNED
    elif entry.state & FLOW_SEEN_REPLY and timeout_class != TIMEOUT_TCP_CLOSING:
        rank = RANK_ANSWERED
    which = rank * TIMEOUT_CLASSES + timeout_class
    tail = flows.tails[which]
    entry.timeout_class, entry.used = timeout_class, <uint8_t> (rank + 1)
    entry.previous, entry.next = tail, -1
    if tail >= 0:
        flows.entries[tail].next = index
    else:
        flows.heads[which] = index
    flows.tails[which] = index


cdef inline void unlink_flow(Flows* flows, int32_t index) noexcept nogil:
    cdef FlowEntry* entry = &flows.entries[index]
    cdef int which = (entry.used - 1) * TIMEOUT_CLASSES + entry.timeout_class
    if entry.previous >= 0:
        flows.entries[entry.previous].next = entry.next
    else:
        flows.heads[which] = entry.next
    if entry.next >= 0:
        flows.entries[entry.next].previous = entry.previous
    else:
        flows.tails[which] = entry.previous


cdef inline void touch_flow(Flows* flows, int32_t index, uint8_t timeout_class, uint64_t now_ns) noexcept nogil:
    """Note a use now: last_seen_ns, and to the tail of the list that its state and class (which may change) ask for."""
    flows.entries[index].last_seen_ns = now_ns
    unlink_flow(flows, index)
    link_flow(flows, index, timeout_class)


cdef inline void pin_flow(Flows* flows, int32_t index, bint pinned, uint64_t now_ns) noexcept nogil:
    """Have a flow never give way to new ones, or again give way; a use now. It still ends when it is idle for too long."""
    cdef FlowEntry* entry = &flows.entries[index]
    entry.state = entry.state | FLOW_PINNED if pinned else entry.state & ~<uint8_t> FLOW_PINNED
    touch_flow(flows, index, entry.timeout_class, now_ns)


cdef inline int32_t oldest_flow(const Flows* flows) noexcept nogil:
    """The least recently used young flow, to give way to a new one; -1: none may. O(classes)."""
    cdef int32_t index, found = -1
    cdef int c
    for c in range(TIMEOUT_CLASSES):
        index = flows.heads[c]
        if index >= 0 and (found < 0 or flows.entries[index].last_seen_ns < flows.entries[found].last_seen_ns):
            found = index
    return found


cdef inline int due_flows(const Flows* flows, uint64_t now_ns, int32_t* out, int room) noexcept nogil:
    """Write up to `room` flows idle for longer than their class allows; they stay until removed. O(written)."""
    cdef int32_t index
    cdef uint64_t seen
    cdef int k, n = 0
    for k in range(LISTS):
        index = flows.heads[k]
        while index >= 0 and n < room:
            seen = flows.entries[index].last_seen_ns
            if now_ns <= seen or now_ns - seen <= flows.idle_ns[k % TIMEOUT_CLASSES]:
                break
            out[n] = index
            n += 1
            index = flows.entries[index].next
    return n


# ---- coming and going ----

cdef inline int32_t insert_flow(Flows* flows, const FlowKey* key, uint64_t hash, uint8_t timeout_class,
                                uint64_t now_ns) noexcept nogil:
    """A zeroed flow (key, hash, times, class set), or -1: full. The key must not be there yet."""
    cdef int32_t index = flows.free if flows.free >= 0 else flows.fresh
    cdef FlowEntry* entry
    cdef FlowPath* path
    if flows.size == flows.capacity or not add_slot(&flows.index, hash, index):
        return -1
    entry, path = &flows.entries[index], &flows.paths[index]
    if flows.free >= 0:
        flows.free = entry.next
    else:
        flows.fresh += 1
    memset(entry, 0, sizeof(FlowEntry))
    memset(path, 0, sizeof(FlowPath))
    entry.key = key[0]
    entry.hash = hash
    entry.last_seen_ns = path.started_ns = now_ns
    entry.rule, entry.tunnel = -1, 255
    link_flow(flows, index, timeout_class)
    flows.size += 1
    return index


cdef inline void remove_flow(Flows* flows, int32_t index) noexcept nogil:
    cdef FlowEntry* entry = &flows.entries[index]
    drop_slot(&flows.index, entry.hash, index)
    unlink_flow(flows, index)
    entry.used = 0
    entry.next = flows.free
    flows.free = index
    flows.size -= 1


cdef inline void account_flow(Flows* flows, int32_t index, bint answer, uint32_t length, uint8_t tcp_flags,
                              uint64_t now_ns) noexcept nogil:
    """Count a packet of `length` inner bytes, from the initiator or (answer) to it; the TCP state moves on; a use now."""
    cdef FlowEntry* entry = &flows.entries[index]
    entry.packets[answer] += 1
    entry.bytes[answer] += length
    if answer:
        entry.state |= FLOW_SEEN_REPLY
    if tcp_flags & TCP_FLAG_FIN:
        entry.state |= FLOW_FIN_REVERSE if answer else FLOW_FIN_FORWARD
    if tcp_flags & TCP_FLAG_RST:
        entry.state |= FLOW_RESET
    touch_flow(flows, index, class_of(entry.key.fields.protocol, entry.state), now_ns)
