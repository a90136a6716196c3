"""FlowTable: flows by key, each in the list of its timeout class, least recently used first.

Journey: lookup after flowkey.build; insert for the misses that classify decided; account for every packet of a flow;
expire between batches. One thread: the worker that owns the shard. All memory is taken when the table is made and none
afterwards. `now_ns` is any clock that never goes back. It does not decide what becomes of a flow, and reads no packet.

    index: one cache line a bucket (buckets.pxd) ──slot──▶ entries: 192 bytes a flow ◀──▶ list of its timeout class
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from cpython.buffer cimport PyBuffer_FillInfo

import numpy as np

from fastpath.batch cimport KEY_BYTES, Columns, PacketBatch, drop
from fastpath.buckets cimport (Bucket, Buckets, add_slot, close_buckets, drop_slot, find_key, home, lowest, match12,
                               open_buckets, same_key, tag_of)
from fastpath.flowkey cimport FlowKey
from fastpath.memory cimport give_pages, prefetch, take_pages

from fastpath.flowentry import ENTRY, IDLE_S, described

__all__ = ["ENTRY", "FlowState", "FlowTable", "TimeoutClass"]

if sizeof(FlowEntry) != 192 or sizeof(Bucket) != 64:
    raise ImportError("fastpath.flowtable was built for another layout of FlowEntry: build fastpath again")

cdef enum:
    CHUNK = 64              # rows whose memory is fetched together
    CAPACITY_MAX = 1 << 30
    REASON_FULL = 15        # DROP_FLOW_TABLE_FULL
    FLAG_FIN = 0x01
    FLAG_RST = 0x04

if ENTRY.itemsize != sizeof(FlowEntry):
    raise ImportError("fastpath.flowtable: ENTRY does not describe FlowEntry: build fastpath again")


@cython.final
cdef class FlowTable:
    """Up to `capacity` flows.

    Args:
        capacity: flows, 1 … 2^30; 201 bytes each.
        idle: seconds by TimeoutClass after which a flow is due; classes left out keep the default.
    Raises:
        ValueError: capacity, a class or its seconds out of range.
        MemoryError: the system has not that much memory.
    """

    def __cinit__(self, int64_t capacity, idle=None):
        if not 1 <= capacity <= CAPACITY_MAX:
            raise ValueError(f"capacity must be 1 to {CAPACITY_MAX}, not {capacity}")
        self.capacity, self.size, self._free, self._fresh = <int> capacity, 0, -1, 0
        cdef int c
        for c in range(TIMEOUT_CLASSES):
            self._heads[c] = self._tails[c] = -1
        self._set_idle({**IDLE_S, **(idle or {})})
        self._index = calloc(1, sizeof(Buckets))
        self.entries = <FlowEntry*> take_pages(self.capacity, sizeof(FlowEntry))
        if self._index is NULL or self.entries is NULL or not open_buckets(<Buckets*> self._index, self.capacity):
            raise MemoryError(f"no memory for {capacity} flows of {sizeof(FlowEntry)} bytes")

    def __dealloc__(self):
        if self._index is not NULL:
            close_buckets(<Buckets*> self._index)
            free(self._index)
        give_pages(self.entries, self.capacity, sizeof(FlowEntry))

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.entries, <Py_ssize_t> self.capacity * sizeof(FlowEntry), 0, flags)

    def __len__(self):
        return self.size

    cdef int _set_idle(self, dict idle) except -1:
        for timeout_class, idle_s in idle.items():
            if not 0 <= timeout_class < TIMEOUT_CLASSES:
                raise ValueError(f"idle: {timeout_class!r} is not a TimeoutClass")
            if not 0 < idle_s <= 1e9:
                raise ValueError(f"idle[{timeout_class!r}] must be above 0 and at most 1e9 seconds, not {idle_s!r}")
            self.idle_ns[<int> timeout_class] = <uint64_t> (idle_s * 1e9)
        return 0

    cdef int lookup(self, Columns* b) noexcept nogil:
        cdef int begin = 0, end, misses = 0
        while begin < b.count:
            end = begin + CHUNK if begin + CHUNK < b.count else b.count
            misses += look_up_chunk(<Buckets*> self._index, self.entries, b, begin, end)
            begin = end
        return misses

    cdef int32_t find(self, const FlowKey* key, uint64_t hash) noexcept nogil:
        return find_key(<Buckets*> self._index, hash, key.words, <uint8_t*> self.entries, sizeof(FlowEntry))

    cdef int32_t insert(self, const FlowKey* key, uint64_t hash, uint8_t timeout_class, uint64_t now_ns) noexcept nogil:
        cdef int32_t index = self._free
        cdef FlowEntry* entry
        if index >= 0:
            self._free = self.entries[index].next
        elif self._fresh < self.capacity:
            index = self._fresh
            self._fresh += 1
        else:
            return -1
        entry = &self.entries[index]
        memset(entry, 0, sizeof(FlowEntry))
        entry.key = key[0]
        entry.hash = hash
        entry.last_seen_ns = entry.started_ns = now_ns
        entry.rule, entry.tunnel, entry.used = -1, 255, 1
        self._link(index, timeout_class)
        add_slot(<Buckets*> self._index, hash, index)
        self.size += 1
        return index

    cdef void touch(self, int32_t index, uint8_t timeout_class, uint64_t now_ns) noexcept nogil:
        self.entries[index].last_seen_ns = now_ns
        if self._tails[timeout_class] == index:
            return
        self._unlink(index)
        self._link(index, timeout_class)

    cdef void remove(self, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.entries[index]
        drop_slot(<Buckets*> self._index, entry.hash, index)
        self._unlink(index)
        entry.used = 0
        entry.next = self._free
        self._free = index
        self.size -= 1

    cdef int32_t oldest(self) noexcept nogil:
        cdef int32_t index, found = -1
        cdef int c
        for c in range(TIMEOUT_CLASSES):
            index = self._heads[c]
            while index >= 0 and self.entries[index].state & FLOW_PINNED:
                index = self.entries[index].next
            if index >= 0 and (found < 0 or self.entries[index].last_seen_ns < self.entries[found].last_seen_ns):
                found = index
        return found

    cdef int due(self, uint64_t now_ns, int32_t* out, int room) noexcept nogil:
        cdef int32_t index
        cdef uint64_t seen
        cdef int c, n = 0
        for c in range(TIMEOUT_CLASSES):
            index = self._heads[c]
            while index >= 0 and n < room:
                seen = self.entries[index].last_seen_ns
                if now_ns <= seen or now_ns - seen <= self.idle_ns[c]:
                    break
                out[n] = index
                n += 1
                index = self.entries[index].next
        return n

    cdef void account(self, Columns* b, int i, uint64_t now_ns) noexcept nogil:
        cdef int32_t index = b.entry[i]
        cdef FlowEntry* entry = &self.entries[index]
        cdef int answer = b.direction[i] != entry.initiator
        entry.packets[answer] += 1
        entry.bytes[answer] += b.inner_length[i]
        if answer:
            entry.state |= FLOW_SEEN_REPLY
        if b.tcp_flags[i] & FLAG_FIN:
            entry.state |= FLOW_FIN_REVERSE if answer else FLOW_FIN_FORWARD
        if b.tcp_flags[i] & FLAG_RST:
            entry.state |= FLOW_RESET
        self.touch(index, class_of(entry.key.fields.protocol, entry.state), now_ns)

    cdef void _link(self, int32_t index, uint8_t timeout_class) noexcept nogil:
        cdef FlowEntry* entry = &self.entries[index]
        cdef int32_t tail = self._tails[timeout_class]
        entry.timeout_class = timeout_class
        entry.previous = tail
        entry.next = -1
        if tail >= 0:
            self.entries[tail].next = index
        else:
            self._heads[timeout_class] = index
        self._tails[timeout_class] = index

    cdef void _unlink(self, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.entries[index]
        if entry.previous >= 0:
            self.entries[entry.previous].next = entry.next
        else:
            self._heads[entry.timeout_class] = entry.next
        if entry.next >= 0:
            self.entries[entry.next].previous = entry.previous
        else:
            self._tails[entry.timeout_class] = entry.previous

    @property
    def entries_view(self):
        """All slots as a structured array (dtype ENTRY) over the table's own memory; slots not in use have used == 0.

        Writable, for what the owner decides: generation, rule, action, tunnel, NAT, header, location, owner, name_id, and
        the FLOW_BOUND, FLOW_PINNED and FLOW_KERNEL_INSIDE bits. Writing key, hash, times, class, used or the list
        breaks the table.
        """
        return np.frombuffer(self, np.uint8).view(ENTRY)

    def lookup_batch(self, PacketBatch batch not None):
        """Set `entry` of every live row (-1 = miss); needs key and hash. Touches no flow.

        Returns:
            The number of misses.
        """
        cdef int misses
        with nogil:
            misses = self.lookup(&batch.columns)
        return misses

    def insert_misses(self, PacketBatch batch not None, uint64_t now_ns, timeout_class=None):
        """Make a flow for every live row whose entry is -1, this row being its initiator; rows of one flow share it.

        A full table gives up its least recently used flow that is neither pinned nor used by this batch: the hits of the
        batch count as used now, so that no row is left pointing at another flow's slot.

        Args:
            now_ns: the clock, read once for the batch.
            timeout_class: a TimeoutClass for all; None = by protocol, TCP opening.
        Returns:
            The number of flows made.
        Raises:
            ValueError: timeout_class is not a TimeoutClass.
        Drops:
            FLOW_TABLE_FULL: every flow is pinned or was used at now_ns.
        """
        cdef int wanted = -1 if timeout_class is None else timeout_class
        if wanted >= TIMEOUT_CLASSES or wanted < -1:
            raise ValueError(f"timeout_class must be 0 to {TIMEOUT_CLASSES - 1}, not {timeout_class!r}")
        cdef Columns* b = &batch.columns
        cdef int i, made = 0
        self._check_entries(b)
        with nogil:
            if self.size > self.capacity - b.count:
                touch_hits(self, b, now_ns)
            for i in range(b.count):
                if b.reason[i] == 0 and b.entry[i] < 0:
                    made += enter_row(self, b, i, wanted, now_ns)
        return made

    def account_batch(self, PacketBatch batch not None, uint64_t now_ns):
        """Count every live row that has an entry in its flow, move the TCP state on, and touch the flow.

        Returns:
            The number of rows counted.
        Raises:
            ValueError: an entry is not a flow of this table.
        """
        cdef Columns* b = &batch.columns
        cdef int i, n = 0
        self._check_entries(b)
        with nogil:
            for i in range(b.count):
                if b.reason[i] == 0 and b.entry[i] >= 0:
                    self.account(b, i, now_ns)
                    n += 1
        return n

    def find_one(self, const uint8_t[::1] key not None, uint64_t hash):
        """Return the index of the flow with this 40-byte key and its hash, or -1.

        Raises:
            ValueError: key is not 40 bytes.
        """
        cdef FlowKey words
        if key.shape[0] != KEY_BYTES:
            raise ValueError(f"key must be {KEY_BYTES} bytes, not {key.shape[0]}")
        memcpy(&words, &key[0], KEY_BYTES)
        return self.find(&words, hash)

    def touch_one(self, int32_t index, int timeout_class, uint64_t now_ns):
        """Note a use of a flow now, in a class that may be another one.

        Raises:
            ValueError: index is not a flow of this table, timeout_class not a TimeoutClass.
        """
        self._check(index, "index")
        if not 0 <= timeout_class < TIMEOUT_CLASSES:
            raise ValueError(f"timeout_class must be 0 to {TIMEOUT_CLASSES - 1}, not {timeout_class!r}")
        self.touch(index, timeout_class, now_ns)

    def remove_one(self, int32_t index):
        """Forget a flow; its slot may be used again at once.

        Raises:
            ValueError: index is not a flow of this table.
        """
        self._check(index, "index")
        self.remove(index)

    def oldest_one(self):
        """Return the index of the least recently used flow that is not pinned, or -1."""
        return self.oldest()

    def due_flows(self, uint64_t now_ns, int32_t[::1] out not None):
        """Write the indexes of flows idle for longer than their class allows to `out`; they stay until removed.

        Args:
            out: int32, as many as are wanted at once.
        Returns:
            How many were written.
        """
        return self.due(now_ns, &out[0], <int> out.shape[0]) if out.shape[0] else 0

    def expire(self, uint64_t now_ns):
        """Remove all flows idle for longer than their class allows; return how many."""
        cdef int32_t out[64]
        cdef int i, n = 64, removed = 0
        with nogil:
            while n == 64:
                n = self.due(now_ns, out, 64)
                for i in range(n):
                    self.remove(out[i])
                removed += n
        return removed

    def get(self, int32_t index):
        """Return a copy of a flow as a dict by the names of ENTRY; addresses, key and header as bytes.

        Raises:
            ValueError: index is not a flow of this table.
        """
        self._check(index, "index")
        return described(self.entries_view[index])

    cdef int _check(self, int32_t index, str name) except -1:
        if not 0 <= index < self.capacity or not self.entries[index].used:
            raise ValueError(f"{name}: {index} is not a flow of this table")
        return 0

    cdef int _check_entries(self, Columns* b) except -1:
        cdef int i
        for i in range(b.count):
            if b.reason[i] == 0 and b.entry[i] >= 0:
                self._check(b.entry[i], "entry")
        return 0


cdef int look_up_chunk(Buckets* index, FlowEntry* entries, Columns* b, int begin, int end) noexcept nogil:
    """Three passes, so that the cache misses of up to 64 rows overlap: buckets, first candidates, comparison."""
    cdef int32_t candidate[CHUNK]
    cdef uint32_t at
    cdef unsigned mask
    cdef FlowKey key
    cdef int i, misses = 0
    for i in range(begin, end):
        prefetch(&index.buckets[home(index, b.hash[i])])
    for i in range(begin, end):
        at = home(index, b.hash[i])
        mask = match12(index.buckets[at].tags, tag_of(b.hash[i]))
        candidate[i - begin] = index.buckets[at].slots[lowest(mask)] if mask else -1
        if mask:
            prefetch(&entries[candidate[i - begin]])
    for i in range(begin, end):
        if b.reason[i]:
            continue
        memcpy(&key, b.key + <size_t> i * KEY_BYTES, KEY_BYTES)
        b.entry[i] = candidate[i - begin]
        if b.entry[i] < 0 or not same_key(entries[b.entry[i]].key.words, key.words):
            b.entry[i] = find_key(index, b.hash[i], key.words, <uint8_t*> entries, sizeof(FlowEntry))
            misses += b.entry[i] < 0
    return misses


cdef int enter_row(FlowTable table, Columns* b, int i, int wanted, uint64_t now_ns) noexcept nogil:
    """The flow of row i, found (an earlier row of the batch made it) or made: 1 if made."""
    cdef FlowKey key
    cdef uint8_t timeout_class
    cdef int32_t victim
    memcpy(&key, b.key + <size_t> i * KEY_BYTES, KEY_BYTES)
    b.entry[i] = table.find(&key, b.hash[i])
    if b.entry[i] >= 0:
        return 0
    timeout_class = class_of(b.protocol[i], 0) if wanted < 0 else <uint8_t> wanted
    b.entry[i] = table.insert(&key, b.hash[i], timeout_class, now_ns)
    if b.entry[i] < 0:
        victim = table.oldest()
        if victim < 0 or table.entries[victim].last_seen_ns >= now_ns:
            drop(b, i, REASON_FULL)
            return 0
        table.remove(victim)
        b.entry[i] = table.insert(&key, b.hash[i], timeout_class, now_ns)
    table.entries[b.entry[i]].initiator = b.direction[i]
    return 1


cdef void touch_hits(FlowTable table, Columns* b, uint64_t now_ns) noexcept nogil:
    cdef int i
    for i in range(b.count):
        if b.reason[i] == 0 and b.entry[i] >= 0:
            table.touch(b.entry[i], table.entries[b.entry[i]].timeout_class, now_ns)
