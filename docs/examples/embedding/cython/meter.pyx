"""A traffic meter in Cython: bytes by flow, with not one Python object touched for each packet.

It cimports fastpath's flow table and its parsers by the .pxd files of the installed package, whose functions the compiler puts
into this module: nothing is linked, and no call is made through Python.
"""

from libc.stdint cimport int32_t, uint64_t
from libc.string cimport memcpy

from fastpath.batch cimport Columns, PacketBatch
from fastpath.flowkey cimport FlowKey, Secret, build
from fastpath.flowtable cimport FlowTable, class_of
from fastpath.packet cimport parse


cdef class Meter:
    """Counts packets in their flows.

    Args:
        capacity: flows at most; packets of more are counted in `refused`.
        seed: 32 random bytes, so that nobody can aim at one place of the table.
    """

    cdef readonly FlowTable table
    cdef Secret secret
    cdef readonly uint64_t refused, broken

    def __cinit__(self, int capacity, bytes seed not None):
        self.table, self.secret = FlowTable(capacity), Secret(seed)

    def count(self, PacketBatch batch not None, uint64_t now_ns):
        """Count the batch's rows, IP packets at `inner_start` of `inner_length` bytes; return how many had a flow."""
        cdef FlowTable table = self.table
        cdef Secret secret = self.secret
        cdef Columns* b = &batch.columns
        cdef int whole, counted
        with nogil:
            whole = parse(b)
            build(b, &secret.key)
            table.lookup(b)
            counted = count_rows(table, b, now_ns)
        self.broken += b.count - whole
        self.refused += whole - counted
        return counted

    def top(self, int n):
        """Return (bytes, source port, destination port) of the n largest flows as the side that began sees them."""
        entries = self.table.entries_view
        entries = entries[entries["used"] != 0]
        order = entries["bytes"].sum(axis=1).argsort(kind="stable")[::-1][:n]
        ends = [("a_port", "b_port"), ("b_port", "a_port")]
        return [(int(e["bytes"].sum()), *(int(e[port]) for port in ends[e["initiator"]])) for e in entries[order]]


cdef int count_rows(FlowTable table, Columns* b, uint64_t now_ns) noexcept nogil:
    cdef int i, counted = 0
    for i in range(b.count):
        if b.reason[i]:
            continue
        if b.entry[i] < 0:
            b.entry[i] = flow_for(table, b, i, now_ns)
        if b.entry[i] >= 0:
            table.account(b, i, now_ns)
            counted += 1
    return counted


cdef int32_t flow_for(FlowTable table, Columns* b, int i, uint64_t now_ns) noexcept nogil:
    """The flow of a row that the look-up missed: made by an earlier row of the batch, or now; -1 if there is no room."""
    cdef FlowKey key
    cdef int32_t index
    memcpy(&key, b.key + 40 * i, 40)
    index = table.find(&key, b.hash[i])
    if index >= 0:
        return index
    index = table.insert(&key, b.hash[i], class_of(b.protocol[i], 0), now_ns)
    if index >= 0:
        table.entries[index].initiator = b.direction[i]
    return index
