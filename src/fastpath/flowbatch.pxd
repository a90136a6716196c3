# What a flow table does with the rows of a PacketBatch. Row 2. Dead rows stay as they are.

from libc.stdint cimport int32_t, uint8_t, uint64_t
from libc.string cimport memcpy

from fastpath.batch cimport KEY_BYTES, Columns, drop
from fastpath.flowkey cimport FlowKey
from fastpath.flows cimport LOOK_UP_CHUNK, Flows, class_of, enter_flow, find_flow, look_up, touch_flow

cdef enum:
    REASON_FULL = 15        # DROP_FLOW_TABLE_FULL


cdef inline int look_up_batch(const Flows* flows, Columns* b) noexcept nogil:
    """entry of every live row: its flow, or -1; returns the misses."""
    cdef int begin = 0, rows, i, misses = 0
    cdef uint8_t dead
    while begin < b.count:
        rows = LOOK_UP_CHUNK if b.count - begin > LOOK_UP_CHUNK else b.count - begin
        dead = 0
        for i in range(begin, begin + rows):
            dead |= b.reason[i]
        if dead:
            misses += look_up_live(flows, b, begin, rows)
        else:
            misses += look_up(flows, b.key + <size_t> begin * KEY_BYTES, b.hash + begin, b.entry + begin, rows)
        begin += rows
    return misses


cdef inline int look_up_live(const Flows* flows, Columns* b, int begin, int rows) noexcept nogil:
    """Look up all rows, dead ones too, but leave these as they are."""
    cdef int32_t found[LOOK_UP_CHUNK]
    cdef int i, misses = 0
    look_up(flows, b.key + <size_t> begin * KEY_BYTES, b.hash + begin, found, rows)
    for i in range(rows):
        if b.reason[begin + i] == 0:
            b.entry[begin + i] = found[i]
            misses += found[i] < 0
    return misses


cdef inline int enter_misses(Flows* flows, Columns* b, int timeout_class, uint64_t now_ns) noexcept nogil:
    """A flow for every live row that has none; timeout_class -1: by protocol. Returns how many were made."""
    cdef int i, made = 0
    if flows.size > flows.capacity - b.count:
        for i in range(b.count):
            if b.reason[i] == 0 and b.entry[i] >= 0:
                touch_flow(flows, b.entry[i], flows.entries[b.entry[i]].timeout_class, now_ns)
    for i in range(b.count):
        if b.reason[i] == 0 and b.entry[i] < 0:
            made += enter_row(flows, b, i, timeout_class, now_ns)
    return made


cdef inline int enter_row(Flows* flows, Columns* b, int i, int timeout_class, uint64_t now_ns) noexcept nogil:
    """The flow of row i, found (an earlier row of the batch made it) or made: 1 if made."""
    cdef FlowKey key
    memcpy(&key, b.key + <size_t> i * KEY_BYTES, KEY_BYTES)
    b.entry[i] = find_flow(flows, &key, b.hash[i])
    if b.entry[i] >= 0:
        return 0
    b.entry[i] = enter_flow(flows, &key, b.hash[i], class_of(b.protocol[i], 0) if timeout_class < 0 else timeout_class, now_ns)
    if b.entry[i] < 0:
        drop(b, i, REASON_FULL)
        return 0
    flows.entries[b.entry[i]].initiator = b.direction[i]
    return 1
