"""FlowTable: flows by key, each in the list of its timeout class, least recently used first.

Journey: lookup after flowkey.build; insert for the misses that classify decided; account for every packet of a flow;
expire between batches. One thread: the worker that owns the shard. Address space for all flows is taken when the table is
made; memory follows the flows, a bounded step at a time. `now_ns` is any clock that never goes back. It does not decide what
becomes of a flow, and reads no packet. The table itself is flows.pxd.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint64_t
from libc.string cimport memcpy
from cpython.buffer cimport PyBuffer_FillInfo

import numpy as np

from fastpath.arguments cimport apart, byte_rows, int32s, integer, same_size, uint8s, uint64, uint64s, writable_int32
from fastpath.batch cimport KEY_BYTES, Columns, PacketBatch
from fastpath.buckets cimport Bucket
from fastpath.flowbatch cimport enter_misses, look_up_batch
from fastpath.flowkey cimport FlowKey
from fastpath.flows cimport (FLOWS_MAX, account_flow, close_flows, due_flows, find_flow, first_wrong, flow_bytes,
                             insert_flow, insert_rows, look_up, oldest_flow, open_flows, pin_flow, prepare_flows,
                             remove_flow, remove_rows, touch_flow)
from fastpath.turn cimport check_turn, take_turn

from fastpath.flowentry import ENTRY, PATH, described, idle_seconds
from fastpath.flows import FlowState, TimeoutClass

__all__ = ["ENTRY", "PATH", "FlowState", "FlowTable", "TimeoutClass"]

if sizeof(FlowEntry) != 128 or sizeof(FlowPath) != 56 or sizeof(Bucket) != 64:
    raise ImportError("fastpath.flowtable was built for another layout of FlowEntry: build fastpath again")
if ENTRY.itemsize != sizeof(FlowEntry) or PATH.itemsize != sizeof(FlowPath):
    raise ImportError("fastpath.flowtable: ENTRY and PATH do not describe FlowEntry and FlowPath: build fastpath again")


@cython.final
cdef class FlowTable:
    """Up to `capacity` flows.

    Args:
        capacity: flows, 1 … 2^30; at most 192 bytes each when the table is full, and memory only for those that were there.
        idle: seconds by TimeoutClass after which a flow is due; classes left out keep the default.
        ready: flows whose memory is taken at once, in huge pages where the kernel grants them; those beyond it come in
            small pages, so that no insert is held up, and become huge ones when the kernel finds the time.
    Raises:
        ValueError: capacity, ready, a class or its seconds out of range.
        RuntimeError: of every method: another thread is inside (turn.pxd).
        MemoryError: the system has not that much memory.
    """

    def __cinit__(self, capacity, idle=None, ready=0):
        cdef int32_t most = <int32_t> integer(capacity, "capacity", 1, FLOWS_MAX)
        cdef int32_t begin = <int32_t> integer(ready, "ready", 0, most)
        cdef dict seconds = idle_seconds(idle)
        if not open_flows(&self.core, most) or begin and not prepare_flows(&self.core, begin):
            raise MemoryError(f"no memory for {most} flows of {sizeof(FlowEntry) + sizeof(FlowPath)} bytes")
        self._set_idle(seconds)
        self.capacity, self.entries = most, self.core.entries

    def __dealloc__(self):
        close_flows(&self.core)

    def __len__(self):
        return self.core.size

    @property
    def size(self):
        """The number of flows."""
        return self.core.size

    @property
    def nbytes(self):
        """Memory taken so far, in bytes: slots that were made ready or ever held a flow, and the index."""
        return flow_bytes(&self.core)

    cdef int _set_idle(self, dict idle) except -1:
        for timeout_class, idle_s in idle.items():
            self.core.idle_ns[<int> timeout_class] = <uint64_t> (idle_s * 1e9)
        return 0

    cdef int lookup(self, Columns* b) noexcept nogil:
        return look_up_batch(&self.core, b)

    cdef int32_t find(self, const FlowKey* key, uint64_t hash) noexcept nogil:
        return find_flow(&self.core, key, hash)

    cdef int32_t insert(self, const FlowKey* key, uint64_t hash, uint8_t timeout_class, uint64_t now_ns) noexcept nogil:
        return insert_flow(&self.core, key, hash, timeout_class, now_ns)

    cdef void touch(self, int32_t index, uint8_t timeout_class, uint64_t now_ns) noexcept nogil:
        touch_flow(&self.core, index, timeout_class, now_ns)

    cdef void remove(self, int32_t index) noexcept nogil:
        remove_flow(&self.core, index)

    cdef int32_t oldest(self) noexcept nogil:
        return oldest_flow(&self.core)

    cdef int due(self, uint64_t now_ns, int32_t* out, int room) noexcept nogil:
        return due_flows(&self.core, now_ns, out, room)

    cdef void account(self, Columns* b, int i, uint64_t now_ns) noexcept nogil:
        cdef int32_t index = b.entry[i]
        account_flow(&self.core, index, b.direction[i] != self.entries[index].initiator, b.inner_length[i], b.tcp_flags[i],
                     now_ns)

    @property
    def entries_view(self):
        """All slots as a structured array (dtype ENTRY) over the table's own memory; slots not in use have used == 0.

        Writable, for what the owner decides: generation, rule, action, tunnel, NAT, location, owner, name_id, and the
        FLOW_BOUND and FLOW_KERNEL_INSIDE bits. Writing key, hash, times, class, used or the list breaks the table.
        """
        return self._view(<uint8_t*> self.core.entries, ENTRY)

    @property
    def paths_view(self):
        """Beside entries_view, by the same index: dtype PATH, when a flow began and the header its packets go back under.

        A header written here has at most 40 bytes.
        """
        return self._view(<uint8_t*> self.core.paths, PATH)

    cdef object _view(self, uint8_t* at, object dtype):
        cdef Window window = Window.__new__(Window)
        window.table, window.at = self, at
        window.size = <Py_ssize_t> self.capacity * <Py_ssize_t> dtype.itemsize
        return np.frombuffer(window, np.uint8).view(dtype)

    def lookup_batch(self, PacketBatch batch not None):
        """Set `entry` of every live row (-1 = miss); needs key and hash. Touches no flow.

        Returns:
            The number of misses.
        """
        cdef int misses
        take_turn(&self._taken, "FlowTable")
        with nogil:
            misses = self.lookup(&batch.columns)
        self._taken = 0
        return misses

    def lookup_keys(self, keys, hashes, out):
        """Look up keys that lie in no PacketBatch. Touches no flow.

        Args:
            keys: uint8[n, 40].
            hashes: uint64[n], by the function that the flows were inserted with.
            out: int32[n]; becomes the flow's index, -1 = miss.
        Returns:
            The number of misses.
        Raises:
            TypeError, ValueError: an array has another dtype, shape or order, or out is read-only.
        """
        cdef const uint8_t[:, ::1] asked = byte_rows(keys, "keys", KEY_BYTES)
        cdef const uint64_t[::1] hashed = uint64s(hashes, "hashes")
        cdef int32_t[::1] found = writable_int32(out, "out")
        cdef int n = sizes(asked.shape[0], hashed.shape[0], found.shape[0]), misses
        if n == 0:
            return 0
        apart_of(&found[0], &asked[0, 0], &hashed[0], n)
        take_turn(&self._taken, "FlowTable")
        with nogil:
            misses = look_up(&self.core, &asked[0, 0], &hashed[0], &found[0], n)
        self._taken = 0
        return misses

    def insert_keys(self, keys, hashes, now_ns, timeout_class, out):
        """Find or make the flow of keys that lie in no PacketBatch; a full table gives way as in insert_misses.

        Args:
            keys, hashes: as in lookup_keys; the protocol in the key is not looked at.
            now_ns: the clock, read once.
            timeout_class: a TimeoutClass, for those that are made.
            out: int32[n]; becomes the flow's index, -1 = the table is full of flows that may not give way.
        Returns:
            The number of flows made.
        Raises:
            TypeError, ValueError: as in lookup_keys; timeout_class is not a TimeoutClass.
        """
        cdef const uint8_t[:, ::1] wanted = byte_rows(keys, "keys", KEY_BYTES)
        cdef const uint64_t[::1] hashed = uint64s(hashes, "hashes")
        cdef int32_t[::1] found = writable_int32(out, "out")
        cdef int n = sizes(wanted.shape[0], hashed.shape[0], found.shape[0]), made
        cdef uint8_t kind = kind_of(timeout_class)
        cdef uint64_t now = uint64(now_ns, "now_ns")
        if n == 0:
            return 0
        apart_of(&found[0], &wanted[0, 0], &hashed[0], n)
        take_turn(&self._taken, "FlowTable")
        with nogil:
            made = insert_rows(&self.core, &wanted[0, 0], &hashed[0], &found[0], n, kind, now)
        self._taken = 0
        return made

    def remove_flows(self, indexes):
        """Forget many flows; their slots may be used again at once.

        Returns:
            How many flows there were; one that is named twice counts once.
        Raises:
            TypeError, ValueError: indexes is no int32[n], or one is not a flow of this table; none is removed.
        """
        cdef const int32_t[::1] gone = int32s(indexes, "indexes")
        cdef int n = <int> min(gone.shape[0], FLOWS_MAX), wrong, removed
        if n == 0:
            return 0
        take_turn(&self._taken, "FlowTable")
        with nogil:
            wrong = first_wrong(&self.core, &gone[0], n)
            removed = remove_rows(&self.core, &gone[0], n) if wrong < 0 else 0
        self._taken = 0
        if wrong >= 0:
            raise ValueError(f"indexes: {gone[wrong]} is not a flow of this table")
        return removed

    def insert_misses(self, PacketBatch batch not None, now_ns, timeout_class=None):
        """Make a flow for every live row whose entry is -1, this row being its initiator; rows of one flow share it.

        A full table gives up the least recently used of its young flows (no answer seen, or closing; not pinned), never one
        that was answered, nor one that this batch uses: the hits of the batch count as used now, so that no row is left
        pointing at another flow's slot.

        Args:
            now_ns: the clock, read once for the batch.
            timeout_class: a TimeoutClass for all; None = by protocol, TCP opening.
        Returns:
            The number of flows made.
        Raises:
            ValueError: timeout_class is not a TimeoutClass.
        Drops:
            FLOW_TABLE_FULL: every flow is answered, pinned or was used at now_ns.
        """
        cdef int wanted = -1 if timeout_class is None else kind_of(timeout_class)
        cdef uint64_t now = uint64(now_ns, "now_ns")
        cdef Columns* b = &batch.columns
        cdef int made
        self._check_entries(b)
        take_turn(&self._taken, "FlowTable")
        with nogil:
            made = enter_misses(&self.core, b, wanted, now)
        self._taken = 0
        return made

    def account_batch(self, PacketBatch batch not None, now_ns):
        """Count every live row that has an entry in its flow, move the TCP state on, and touch the flow.

        Returns:
            The number of rows counted.
        Raises:
            ValueError: an entry is not a flow of this table.
        """
        cdef uint64_t now = uint64(now_ns, "now_ns")
        cdef Columns* b = &batch.columns
        cdef int i, n = 0
        self._check_entries(b)
        take_turn(&self._taken, "FlowTable")
        with nogil:
            for i in range(b.count):
                if b.reason[i] == 0 and b.entry[i] >= 0:
                    self.account(b, i, now)
                    n += 1
        self._taken = 0
        return n

    def find_one(self, key, hash):
        """Return the index of the flow with this 40-byte key and its hash, or -1.

        Raises:
            ValueError: key is not 40 bytes.
        """
        cdef FlowKey words
        cdef const uint8_t[::1] data = uint8s(key, "key")
        cdef uint64_t asked = uint64(hash, "hash")
        if data.shape[0] != KEY_BYTES:
            raise ValueError(f"key must be {KEY_BYTES} bytes, not {data.shape[0]}")
        memcpy(&words, &data[0], KEY_BYTES)
        check_turn(&self._taken, "FlowTable")
        return self.find(&words, asked)

    def touch_one(self, index, timeout_class, now_ns):
        """Note a use of a flow now, in a class that may be another one.

        Raises:
            ValueError: index is not a flow of this table, timeout_class not a TimeoutClass.
        """
        cdef uint8_t kind = kind_of(timeout_class)
        cdef uint64_t now = uint64(now_ns, "now_ns")
        self.touch(flow_of(self, index), kind, now)

    def remove_one(self, index):
        """Forget a flow; its slot may be used again at once.

        Raises:
            ValueError: index is not a flow of this table.
        """
        self.remove(flow_of(self, index))

    def pin_one(self, index, bint pinned, now_ns):
        """Have a flow never give way to new ones, or again give way; a use now. It still ends when idle for too long.

        Raises:
            ValueError: index is not a flow of this table.
        """
        cdef uint64_t now = uint64(now_ns, "now_ns")
        pin_flow(&self.core, flow_of(self, index), pinned, now)

    def oldest_one(self):
        """Return the index of the least recently used flow that may give way to a new one, or -1: none may."""
        check_turn(&self._taken, "FlowTable")
        return self.oldest()

    def due_flows(self, now_ns, out):
        """Write the indexes of flows idle for longer than their class allows to `out`; they stay until removed.

        Args:
            out: int32, as many as are wanted at once.
        Returns:
            How many were written.
        """
        cdef uint64_t now = uint64(now_ns, "now_ns")
        cdef int32_t[::1] due = writable_int32(out, "out")
        check_turn(&self._taken, "FlowTable")
        return self.due(now, &due[0], <int> min(due.shape[0], FLOWS_MAX)) if due.shape[0] else 0

    def expire(self, now_ns):
        """Remove all flows idle for longer than their class allows; return how many."""
        cdef uint64_t now = uint64(now_ns, "now_ns")
        cdef int32_t out[64]
        cdef int n = 64, removed = 0
        take_turn(&self._taken, "FlowTable")
        with nogil:
            while n == 64:
                n = self.due(now, out, 64)
                removed += remove_rows(&self.core, out, n)
        self._taken = 0
        return removed

    def get(self, index):
        """Return a copy of a flow as a dict by the names of ENTRY and PATH; addresses and header as bytes.

        Raises:
            ValueError: index is not a flow of this table.
        """
        cdef int32_t at = flow_of(self, index)
        cdef uint8_t[FLOW_HEADER_MAX] room
        cdef const uint8_t* header = header_of(&self.core, at, room)
        return described(self.entries_view[at], self.paths_view[at], header[:self.core.paths[at].header_length])

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


cdef class Window:
    """Memory of a table as a buffer; holds the table."""

    cdef FlowTable table
    cdef uint8_t* at
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.at, self.size, 0, flags)


cdef int32_t flow_of(FlowTable table, object index) except -1:
    cdef int32_t at = <int32_t> integer(index, "index", 0, table.capacity - 1)
    check_turn(&table._taken, "FlowTable")
    table._check(at, "index")
    return at


cdef int sizes(Py_ssize_t keys, Py_ssize_t hashes, Py_ssize_t out) except -1:
    """How many keys there are, as many as of all else."""
    if keys > FLOWS_MAX:
        raise ValueError(f"keys must be at most {FLOWS_MAX}, not {keys}")
    same_size(hashes, "hashes", keys, "keys")
    same_size(out, "out", keys, "keys")
    return <int> keys


cdef int apart_of(const int32_t* out, const uint8_t* keys, const uint64_t* hashes, int n) except -1:
    apart(out, <size_t> n * sizeof(int32_t), "out", keys, <size_t> n * KEY_BYTES, "keys")
    return apart(out, <size_t> n * sizeof(int32_t), "out", hashes, <size_t> n * sizeof(uint64_t), "hashes")


cdef int kind_of(object timeout_class) except -1:
    return <int> integer(timeout_class, "timeout_class", 0, TIMEOUT_CLASSES - 1)
