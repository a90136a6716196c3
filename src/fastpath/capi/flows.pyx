"""libfastpath, flow tables: the fastpath_flows functions of fastpath.h over flows.pxd. Rules of the folder: see library.pyx."""

from libc.stdint cimport INT32_MAX, UINT32_MAX, int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastpath.capi.header cimport *
from fastpath.flowkey cimport FlowKey
from fastpath.flows cimport (FLOWS_MAX, TIMEOUT_CLASSES, FlowEntry, Flows, account_flow, close_flows, due_flows, find_flow,
                             flow_bytes, insert_flow, look_up, oldest_flow, open_flows, path_of, remove_flow, touch_flow)

cdef enum:
    EXPIRE_CHUNK = 64


cdef inline bint is_flow(const Flows* flows, int32_t index) noexcept nogil:
    return 0 <= index < flows.capacity and flows.entries[index].used


cdef public int fastpath_flows_create(size_t capacity, const uint64_t* idle_ns, size_t n, fastpath_flows** flows) noexcept nogil:
    cdef Flows* made
    cdef size_t k
    if flows is NULL:
        return FASTPATH_EINVAL
    flows[0] = NULL
    if not 1 <= capacity <= FLOWS_MAX or idle_ns is NULL or n != TIMEOUT_CLASSES:
        return FASTPATH_EINVAL
    for k in range(n):
        if idle_ns[k] == 0:
            return FASTPATH_EINVAL
    made = <Flows*> calloc(1, sizeof(Flows))
    if made is NULL or not open_flows(made, <int32_t> capacity):
        free(made)
        return FASTPATH_ENOMEM
    memcpy(made.idle_ns, idle_ns, sizeof(made.idle_ns))
    flows[0] = <fastpath_flows*> made
    return FASTPATH_OK


cdef public void fastpath_flows_free(fastpath_flows** flows) noexcept nogil:
    if flows is NULL or flows[0] is NULL:
        return
    close_flows(<Flows*> flows[0])
    free(flows[0])
    flows[0] = NULL


cdef public int fastpath_flows_insert(fastpath_flows* flows, const fastpath_flow_key* key, uint64_t hash, int initiator,
                                      int timeout, uint64_t now_ns, int32_t* index) noexcept nogil:
    cdef Flows* table = <Flows*> flows
    cdef FlowKey words
    cdef int32_t slot
    if flows is NULL or key is NULL or index is NULL or not 0 <= timeout < TIMEOUT_CLASSES or not 0 <= initiator <= 1:
        return FASTPATH_EINVAL
    memcpy(&words, key, sizeof(words))
    slot = find_flow(table, &words, hash)
    if slot >= 0:
        index[0] = slot
        return FASTPATH_EEXIST
    if table.size == table.capacity:
        return FASTPATH_EFULL
    slot = insert_flow(table, &words, hash, <uint8_t> timeout, now_ns)
    if slot < 0:
        return FASTPATH_ENOMEM
    table.entries[slot].initiator = <uint8_t> initiator
    index[0] = slot
    return FASTPATH_OK


cdef public int fastpath_flows_find(const fastpath_flows* flows, const fastpath_flow_key* key, uint64_t hash,
                                    int32_t* index) noexcept nogil:
    cdef FlowKey words
    if flows is NULL or key is NULL or index is NULL:
        return FASTPATH_EINVAL
    memcpy(&words, key, sizeof(words))
    index[0] = find_flow(<const Flows*> flows, &words, hash)
    return FASTPATH_OK if index[0] >= 0 else FASTPATH_ENOENT


cdef public int fastpath_flows_lookup_batch(const fastpath_flows* flows, const fastpath_flow_key* keys, const uint64_t* hashes,
                                            int32_t* indexes, size_t n, size_t* misses) noexcept nogil:
    cdef int missed
    if flows is NULL or n > INT32_MAX or n and (keys is NULL or hashes is NULL or indexes is NULL):
        return FASTPATH_EINVAL
    missed = look_up(<const Flows*> flows, <const uint8_t*> keys, hashes, indexes, <int> n)
    if misses is not NULL:
        misses[0] = <size_t> missed
    return FASTPATH_OK


cdef public int fastpath_flows_touch(fastpath_flows* flows, int32_t index, int timeout, uint64_t now_ns) noexcept nogil:
    if flows is NULL or not 0 <= timeout < TIMEOUT_CLASSES:
        return FASTPATH_EINVAL
    if not is_flow(<Flows*> flows, index):
        return FASTPATH_ENOENT
    touch_flow(<Flows*> flows, index, <uint8_t> timeout, now_ns)
    return FASTPATH_OK


cdef public int fastpath_flows_account(fastpath_flows* flows, int32_t index, int direction, unsigned tcp_flags, size_t bytes,
                                       uint64_t now_ns) noexcept nogil:
    cdef Flows* table = <Flows*> flows
    if flows is NULL or not 0 <= direction <= 1 or tcp_flags > 0xFF or bytes > UINT32_MAX:
        return FASTPATH_EINVAL
    if not is_flow(table, index):
        return FASTPATH_ENOENT
    account_flow(table, index, direction != table.entries[index].initiator, <uint32_t> bytes, <uint8_t> tcp_flags, now_ns)
    return FASTPATH_OK


cdef public int fastpath_flows_set_owner(fastpath_flows* flows, int32_t index, uint32_t owner) noexcept nogil:
    if flows is NULL:
        return FASTPATH_EINVAL
    if not is_flow(<Flows*> flows, index):
        return FASTPATH_ENOENT
    (<Flows*> flows).entries[index].owner = owner
    return FASTPATH_OK


cdef public int fastpath_flows_get(const fastpath_flows* flows, int32_t index, fastpath_flow* flow,
                                   size_t flow_size) noexcept nogil:
    cdef const Flows* table = <const Flows*> flows
    cdef const FlowEntry* entry
    cdef fastpath_flow made
    if flows is NULL or flow is NULL or flow_size < sizeof(fastpath_flow):
        return FASTPATH_EINVAL
    if not is_flow(table, index):
        return FASTPATH_ENOENT
    entry = &table.entries[index]
    memset(&made, 0, sizeof(made))
    memcpy(&made.key, &entry.key, sizeof(made.key))
    made.hash, made.last_seen_ns, made.started_ns = entry.hash, entry.last_seen_ns, path_of(table, entry).started_ns
    memcpy(made.packets, entry.packets, sizeof(made.packets))
    memcpy(made.bytes, entry.bytes, sizeof(made.bytes))
    made.owner, made.state, made.initiator, made.timeout = entry.owner, entry.state, entry.initiator, entry.timeout_class
    give(flow, flow_size, &made, sizeof(made))
    return FASTPATH_OK


cdef public int fastpath_flows_remove(fastpath_flows* flows, int32_t index) noexcept nogil:
    if flows is NULL:
        return FASTPATH_EINVAL
    if not is_flow(<Flows*> flows, index):
        return FASTPATH_ENOENT
    remove_flow(<Flows*> flows, index)
    return FASTPATH_OK


cdef public int fastpath_flows_oldest(const fastpath_flows* flows, int32_t* index) noexcept nogil:
    if flows is NULL or index is NULL:
        return FASTPATH_EINVAL
    index[0] = oldest_flow(<const Flows*> flows)
    return FASTPATH_OK if index[0] >= 0 else FASTPATH_ENOENT


cdef public int fastpath_flows_due(const fastpath_flows* flows, uint64_t now_ns, int32_t* indexes, size_t room,
                                   size_t* n) noexcept nogil:
    if flows is NULL or indexes is NULL and room or room > INT32_MAX or n is NULL:
        return FASTPATH_EINVAL
    n[0] = <size_t> due_flows(<const Flows*> flows, now_ns, indexes, <int> room)
    return FASTPATH_OK


cdef public int fastpath_flows_expire(fastpath_flows* flows, uint64_t now_ns, size_t* n) noexcept nogil:
    cdef int32_t due[EXPIRE_CHUNK]
    cdef int k, some = EXPIRE_CHUNK
    cdef size_t removed = 0
    if flows is NULL:
        return FASTPATH_EINVAL
    while some == EXPIRE_CHUNK:
        some = due_flows(<Flows*> flows, now_ns, due, EXPIRE_CHUNK)
        for k in range(some):
            remove_flow(<Flows*> flows, due[k])
        removed += <size_t> some
    if n is not NULL:
        n[0] = removed
    return FASTPATH_OK


cdef public size_t fastpath_flows_size(const fastpath_flows* flows) noexcept nogil:
    return 0 if flows is NULL else <size_t> (<const Flows*> flows).size


cdef public size_t fastpath_flows_capacity(const fastpath_flows* flows) noexcept nogil:
    return 0 if flows is NULL else <size_t> (<const Flows*> flows).capacity


cdef public size_t fastpath_flows_bytes(const fastpath_flows* flows) noexcept nogil:
    return 0 if flows is NULL else flow_bytes(<const Flows*> flows)
