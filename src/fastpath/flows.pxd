# Flows: what a FlowTable is made of, for callers that are not Python. Row 2. One thread.
#
#     index: one cache line a bucket (buckets.pxd) ──slot──▶ entries: 128 bytes a flow ◀──▶ list of its timeout class and rank
#                                                            paths:    56 bytes a flow, by the same slot
#
# Nothing here raises, logs or takes the GIL. A slot never moves. `now_ns` is any clock that never goes back.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath.buckets cimport (PLACES, Bucket, Buckets, add_slot, after, drop_slot, find_key, home_of, lowest, match12, same_key,
                               tag_of)
from fastpath.flowkey cimport FlowKey
from fastpath.flowslots cimport (FLOW_HEADER_MAX, FLOWS_MAX, JOIN_EVERY, LISTS, TIMEOUT_CLASSES, FlowEntry, FlowPath, Flows,
                                 close_flows, flow_bytes, header_of, keep_header, open_flows, path_of, prepare_flows)
from fastpath.memory cimport join_pages, prefetch

cdef enum:
    LOOK_UP_CHUNK = 512      # rows of a look-up whose second candidates are fetched together
    LOOK_AHEAD = 16          # rows of a look-up between the fetch of a line and its use
    AHEAD = 12               # rows whose memory is fetched before it is their turn
    TURN_BITS = 30           # see same_turn
    TCP_FLAG_FIN = 0x01
    TCP_FLAG_RST = 0x04
    TCP_FLAG_ACK = 0x10

cpdef enum TimeoutClass:
    TIMEOUT_TCP = 0          # established
    TIMEOUT_TCP_OPENING = 1  # no answer seen yet, or no ACK of its initiator: a SYN may have any source
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
    FLOW_ACKNOWLEDGED = 128  # TCP: the initiator has sent an ACK

# What a flow is to a table that is full. Each has a list for every timeout class, least recently used first.
cdef enum Rank:
    RANK_YOUNG = 0           # no answer seen, TCP opening or closing: gives way to new flows
    RANK_ANSWERED = 1        # stays for as long as it is not idle for too long
    RANK_PINNED = 2

cdef inline uint8_t class_of(uint8_t protocol, uint8_t state) noexcept nogil:
    """The class of a flow of this protocol in this state (FlowState bits)."""
    if protocol == 6:                                  # TCP
        if state & FLOW_RESET or state & FLOW_FIN_FORWARD and state & FLOW_FIN_REVERSE:
            return TIMEOUT_TCP_CLOSING
        return TIMEOUT_TCP if state & FLOW_SEEN_REPLY and state & FLOW_ACKNOWLEDGED else TIMEOUT_TCP_OPENING
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
    """One row's bucket, an earlier row's candidate, the comparison of one before that: as a line comes, another is asked for.

    So the processor has about as many lines on their way as it can keep track of, and at no time more, or none. The few rows
    that need a second candidate or bucket come last, together.
    """
    cdef Bucket* at[LOOK_UP_CHUNK]
    cdef uint16_t mask[LOOK_UP_CHUNK]
    cdef uint16_t rows[LOOK_UP_CHUNK]
    cdef Buckets index = flows.index            # copies, which what is written here can not change
    cdef const FlowEntry* entries = flows.entries
    cdef int i, k, left = 0
    for i in range(-2 * LOOK_AHEAD, n):
        k = i + 2 * LOOK_AHEAD
        if k < n:
            at[k] = home_of(&index, hashes[k])
            prefetch(at[k])
        k = i + LOOK_AHEAD
        if 0 <= k < n:
            mask[k] = <uint16_t> match12(at[k].tags, tag_of(hashes[k]))
            out[k] = at[k].slots[lowest(mask[k] | 0x800)]      # of no meaning where the mask is 0
            prefetch(&entries[out[k]])
        if i >= 0:
            rows[left] = <uint16_t> i
            left += (mask[i] == 0) | (not same_key(&entries[out[i]], keys + 40 * <size_t> i))
    return look_further(flows, keys, hashes, out, at, mask, rows, left) if left else 0


cdef inline int look_further(const Flows* flows, const uint8_t* keys, const uint64_t* hashes, int32_t* out, Bucket** at,
                             uint16_t* mask, uint16_t* rows, int left) noexcept nogil:
    """Go round with the rows whose first candidate was another flow's, or whose bucket sends them on; returns the misses.

    A round takes a row one candidate or one bucket further, so after `rounds` of them it has seen the whole index: a small one
    can have sent keys on from each of its buckets, and would never say that a search ends.
    """
    cdef int i, k, open_rows, misses = 0
    cdef uint64_t rounds = <uint64_t> (PLACES + 1) * (flows.index.count + flows.index.older_count)
    while left:
        if rounds == 0:
            for k in range(left):
                out[rows[k]] = -1
            return misses + left
        rounds -= 1
        open_rows = 0
        for k in range(left):
            i = rows[k]
            mask[i] &= mask[i] - 1 if mask[i] else 0
            if mask[i] == 0:
                if at[i].passed == 0:
                    out[i] = -1
                    misses += 1
                    continue
                at[i] = after(&flows.index, at[i])
                prefetch(at[i])
            rows[open_rows] = <uint16_t> i
            open_rows += 1
        left, open_rows = open_rows, 0
        for k in range(left):
            i = rows[k]
            if mask[i] == 0:
                mask[i] = <uint16_t> match12(at[i].tags, tag_of(hashes[i]))
            out[i] = at[i].slots[lowest(mask[i] | 0x800)]
            prefetch(&flows.entries[out[i]])
        for k in range(left):
            i = rows[k]
            if mask[i] == 0 or not same_key(&flows.entries[out[i]], keys + 40 * <size_t> i):
                rows[open_rows] = <uint16_t> i
                open_rows += 1
        left = open_rows
    return misses


cdef inline int32_t find_flow(const Flows* flows, const FlowKey* key, uint64_t hash) noexcept nogil:
    return find_key(&flows.index, hash, key.words)


cdef inline void fetch_flow(const Flows* flows, int32_t index) noexcept nogil:
    """Have the processor fetch what a packet of this flow will touch, the key excepted, which the search has fetched."""
    prefetch(&flows.entries[index].generation)
    prefetch(&flows.paths[index])
    prefetch(&flows.paths[index].header[39])


cdef inline void fetch_neighbours(const Flows* flows, int32_t index, uint64_t now_ns) noexcept nogil:
    """Likewise what touch_flow will touch of others. Reads the flow."""
    cdef const FlowEntry* entry = &flows.entries[index]
    if not same_turn(entry, now_ns):
        prefetch(&flows.entries[entry.previous if entry.previous >= 0 else index])
        prefetch(&flows.entries[entry.next if entry.next >= 0 else index])


# ---- the lists ----

cdef inline int rank_of(uint8_t state, uint8_t timeout_class) noexcept nogil:
    if state & FLOW_PINNED:
        return RANK_PINNED
    if timeout_class == TIMEOUT_TCP_OPENING or timeout_class == TIMEOUT_TCP_CLOSING:
        return RANK_YOUNG
    return RANK_ANSWERED if state & FLOW_SEEN_REPLY else RANK_YOUNG


cdef inline void link_flow(Flows* flows, int32_t index, uint8_t timeout_class) noexcept nogil:
    """To the tail of the list of this class and of the rank that the flow has now."""
    cdef FlowEntry* entry = &flows.entries[index]
    cdef int rank = rank_of(entry.state, timeout_class)
    cdef int which = rank * TIMEOUT_CLASSES + timeout_class, tail = flows.tails[which]
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


cdef inline bint same_turn(const FlowEntry* entry, uint64_t now_ns) noexcept nogil:
    """Whether a flow that is used again keeps its place: its last use is of the same 2^30 ns, counted from an instant of its own.

    A move takes a cache miss at each neighbour, more than all else that a packet does here, so a busy flow moves once in
    2^30 ns and not with every packet. Lists are then in order of last use but for that much, and a flow may be due that much
    late. The instants differ by flow, or all would move at once. Young flows always move: which one gives way is exact.
    """
    cdef uint64_t phase = entry.hash & ((1 << TURN_BITS) - 1)
    return entry.used != 1 + RANK_YOUNG and (now_ns + phase) >> TURN_BITS == (entry.last_seen_ns + phase) >> TURN_BITS


cdef inline void touch_flow(Flows* flows, int32_t index, uint8_t timeout_class, uint64_t now_ns) noexcept nogil:
    """Note a use now: last_seen_ns, and to the tail of the list that its state and class (which may change) ask for."""
    cdef FlowEntry* entry = &flows.entries[index]
    cdef bint stays = same_turn(entry, now_ns) and timeout_class == entry.timeout_class and \
        rank_of(entry.state, timeout_class) == entry.used - 1
    entry.last_seen_ns = now_ns
    if not stays:
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
        if flows.fresh % JOIN_EVERY == 0:
            join_pages(flows.entries, (flows.fresh - JOIN_EVERY) * sizeof(FlowEntry), flows.fresh * sizeof(FlowEntry))
            join_pages(flows.paths, (flows.fresh - JOIN_EVERY) * sizeof(FlowPath), flows.fresh * sizeof(FlowPath))
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
    # Without a branch on the way a packet goes, which no processor can guess.
    cdef uint8_t acknowledged = (tcp_flags & TCP_FLAG_ACK) * (FLOW_ACKNOWLEDGED // TCP_FLAG_ACK)
    cdef uint8_t state = entry.state | (FLOW_SEEN_REPLY if answer else acknowledged)
    entry.packets[answer] += 1
    entry.bytes[answer] += length
    if tcp_flags & TCP_FLAG_FIN:
        state |= FLOW_FIN_REVERSE if answer else FLOW_FIN_FORWARD
    if tcp_flags & TCP_FLAG_RST:
        state |= FLOW_RESET
    if state == entry.state and same_turn(entry, now_ns):
        entry.last_seen_ns = now_ns
        return
    entry.state = state
    touch_flow(flows, index, class_of(entry.key.fields.protocol, state), now_ns)


# ---- many at once, their memory fetched ahead ----

cdef inline int first_wrong(const Flows* flows, const int32_t* indexes, int n) noexcept nogil:
    """The first row whose index is not a flow of this table, or -1."""
    cdef int i
    for i in range(n):
        if i + AHEAD < n and 0 <= indexes[i + AHEAD] < flows.capacity:
            prefetch(&flows.entries[indexes[i + AHEAD]])
        if not 0 <= indexes[i] < flows.capacity or not flows.entries[indexes[i]].used:
            return i
    return -1


cdef inline void fetch_followers(const Flows* flows, int32_t victim) noexcept nogil:
    """Have the memory of those on its way that will give way next: a flow's successors in the list."""
    cdef int32_t following = flows.entries[victim].next
    cdef FlowEntry* entry
    if following >= 0:
        entry = &flows.entries[following]
        prefetch(home_of(&flows.index, entry.hash))
        prefetch(&flows.paths[following])
        if entry.next >= 0:
            prefetch(&flows.entries[entry.next])


cdef inline void give_way(Flows* flows, int32_t victim) noexcept nogil:
    """Remove a flow for a new one."""
    fetch_followers(flows, victim)
    remove_flow(flows, victim)


cdef inline int32_t enter_flow(Flows* flows, const FlowKey* key, uint64_t hash, uint8_t timeout_class,
                               uint64_t now_ns) noexcept nogil:
    """insert_flow; a full table gives up its oldest young flow, unless that was used at now_ns."""
    cdef int32_t victim, index = insert_flow(flows, key, hash, timeout_class, now_ns)
    if index >= 0:
        return index
    victim = oldest_flow(flows)
    if victim < 0 or flows.entries[victim].last_seen_ns >= now_ns:
        return -1
    give_way(flows, victim)
    return insert_flow(flows, key, hash, timeout_class, now_ns)


cdef inline int insert_rows(Flows* flows, const uint8_t* keys, const uint64_t* hashes, int32_t* out, int n,
                            uint8_t timeout_class, uint64_t now_ns) noexcept nogil:
    """out[i] = the flow of keys[40 * i] and hashes[i], found or made, or -1: full; returns the number made."""
    cdef FlowKey key
    cdef int i, made = 0
    for i in range(n):
        if i + AHEAD < n:
            prefetch(home_of(&flows.index, hashes[i + AHEAD]))
        memcpy(&key, keys + 40 * <size_t> i, 40)
        out[i] = find_flow(flows, &key, hashes[i])
        if out[i] < 0:
            out[i] = enter_flow(flows, &key, hashes[i], timeout_class, now_ns)
            made += out[i] >= 0
    return made


cdef inline int remove_rows(Flows* flows, const int32_t* indexes, int n) noexcept nogil:
    """Remove flows of this table; returns how many there were: one named twice counts once."""
    cdef FlowEntry* entry
    cdef int i, removed = 0
    for i in range(-2 * AHEAD, n):
        if i + 2 * AHEAD < n:
            prefetch(&flows.entries[indexes[i + 2 * AHEAD]])
        if 0 <= i + AHEAD < n:
            entry = &flows.entries[indexes[i + AHEAD]]
            prefetch(home_of(&flows.index, entry.hash))
            prefetch(&flows.entries[entry.previous if entry.previous >= 0 else 0])
            prefetch(&flows.entries[entry.next if entry.next >= 0 else 0])
        if i >= 0 and flows.entries[indexes[i]].used:
            remove_flow(flows, indexes[i])
            removed += 1
    return removed
