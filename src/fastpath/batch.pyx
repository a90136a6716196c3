"""PacketBatch: the one container in which packets walk the stages; its columns are NumPy arrays over its own memory.

Journey: filled by packetio (or by hand), read and written by every stage. One thread owns a batch at a time.
It does not parse, decide or send.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath.arguments cimport SHORT_MAX, integer, listed, octets, row_number

import numpy as np

HEADROOM_BYTES = HEADROOM


cdef void* pointer(object array):
    return <void*> <size_t> array.ctypes.data


cdef object column(object shape, object dtype):
    """Zeros, as an array that does not own them: its resize() would give the memory away that `columns` points to."""
    return np.zeros(shape, dtype)[...]


cdef int inside(Columns* b, const uint16_t* start, const uint16_t* length, str names) except -1:
    cdef const uint8_t* reason = b.reason
    cdef uint16_t room = <uint16_t> b.room, outside = 0
    cdef int i, n = b.count
    for i in range(n):                  # in 16 bits and without a branch, so that eight rows are looked at at once
        outside |= <uint16_t> ((start[i] > room) | (length[i] > <uint16_t> (room - start[i]))) & <uint16_t> (reason[i] == 0)
    return refuse_outside(b, start, length, names) if outside else 0


cdef int refuse_outside(Columns* b, const uint16_t* start, const uint16_t* length, str names) except -1:
    cdef int i
    for i in range(b.count):
        if b.reason[i] == 0 and start[i] + length[i] > b.room:
            raise ValueError(f"batch: {names} of row {i} must lie in its {b.room} bytes, not at {start[i]} with {length[i]}")
    return 0


cdef class PacketBatch:
    """Up to `capacity` packets of at most `room` bytes each, headroom included.

    Args:
        capacity: rows, 1 … 4,096.
        room: bytes a row, 256 … 65,535.
    Raises:
        ValueError: capacity or room out of range.
    """

    def __cinit__(self, capacity=CAPACITY_DEFAULT, room=ROOM_DEFAULT):
        cdef int rows = <int> integer(capacity, "capacity", 1, CAPACITY_MAX)
        cdef int width = <int> integer(room, "room", 2 * HEADROOM, SHORT_MAX)
        self.data = column((rows, width), np.uint8)
        self.source = column((rows, 16), np.uint8)
        self.destination = column((rows, 16), np.uint8)
        self.key = column((rows, KEY_BYTES), np.uint8)
        cdef Columns* b = &self.columns
        b.capacity, b.room, b.count = rows, width, 0
        self._make_frame_columns(b, rows)
        self._make_packet_columns(b, rows)
        self._make_flow_columns(b, rows)
        b.data = <uint8_t*> pointer(self.data)
        b.source = <uint8_t*> pointer(self.source)
        b.destination = <uint8_t*> pointer(self.destination)
        b.key = <uint8_t*> pointer(self.key)

    cdef _make_frame_columns(self, Columns* b, int capacity):
        self.start = column(capacity, np.uint16)
        b.start = <uint16_t*> pointer(self.start)
        self.length = column(capacity, np.uint16)
        b.length = <uint16_t*> pointer(self.length)
        self.peer_address = column(capacity, np.uint32)
        b.peer_address = <uint32_t*> pointer(self.peer_address)
        self.peer_port = column(capacity, np.uint16)
        b.peer_port = <uint16_t*> pointer(self.peer_port)
        self.geneve_start = column(capacity, np.uint16)
        b.geneve_start = <uint16_t*> pointer(self.geneve_start)
        self.geneve_length = column(capacity, np.uint16)
        b.geneve_length = <uint16_t*> pointer(self.geneve_length)
        self.geneve_flags = column(capacity, np.uint8)
        b.geneve_flags = <uint8_t*> pointer(self.geneve_flags)
        self.vni = column(capacity, np.uint32)
        b.vni = <uint32_t*> pointer(self.vni)
        self.endpoint = column(capacity, np.uint64)
        b.endpoint = <uint64_t*> pointer(self.endpoint)
        self.attachment = column(capacity, np.uint64)
        b.attachment = <uint64_t*> pointer(self.attachment)
        self.cookie = column(capacity, np.uint32)
        b.cookie = <uint32_t*> pointer(self.cookie)

    cdef _make_packet_columns(self, Columns* b, int capacity):
        self.inner_start = column(capacity, np.uint16)
        b.inner_start = <uint16_t*> pointer(self.inner_start)
        self.inner_length = column(capacity, np.uint16)
        b.inner_length = <uint16_t*> pointer(self.inner_length)
        self.ip_version = column(capacity, np.uint8)
        b.ip_version = <uint8_t*> pointer(self.ip_version)
        self.protocol = column(capacity, np.uint8)
        b.protocol = <uint8_t*> pointer(self.protocol)
        self.fragment = column(capacity, np.uint8)
        b.fragment = <uint8_t*> pointer(self.fragment)
        self.tcp_flags = column(capacity, np.uint8)
        b.tcp_flags = <uint8_t*> pointer(self.tcp_flags)
        self.l4_start = column(capacity, np.uint16)
        b.l4_start = <uint16_t*> pointer(self.l4_start)
        self.source_port = column(capacity, np.uint16)
        b.source_port = <uint16_t*> pointer(self.source_port)
        self.destination_port = column(capacity, np.uint16)
        b.destination_port = <uint16_t*> pointer(self.destination_port)

    cdef _make_flow_columns(self, Columns* b, int capacity):
        self.namespace = column(capacity, np.uint16)
        b.namespace = <uint16_t*> pointer(self.namespace)
        self.hash = column(capacity, np.uint64)
        b.hash = <uint64_t*> pointer(self.hash)
        self.direction = column(capacity, np.uint8)
        b.direction = <uint8_t*> pointer(self.direction)
        self.entry = column(capacity, np.int32)
        b.entry = <int32_t*> pointer(self.entry)
        self.rule = column(capacity, np.int32)
        b.rule = <int32_t*> pointer(self.rule)
        self.action = column(capacity, np.uint8)
        b.action = <uint8_t*> pointer(self.action)
        self.reason = column(capacity, np.uint8)
        b.reason = <uint8_t*> pointer(self.reason)

    @property
    def capacity(self):
        """Rows there are."""
        return self.columns.capacity

    @property
    def room(self):
        """Bytes a row."""
        return self.columns.room

    @property
    def count(self):
        """Rows in use."""
        return self.columns.count

    @count.setter
    def count(self, value):
        self.columns.count = <int> integer(value, "count", 0, self.columns.capacity)

    def reset(self, count):
        """Make rows 0 … count-1 fresh: no verdict, no flow, no drop reason. The bytes stay.

        Raises:
            ValueError: count is not 0 … capacity.
        """
        self.count = count
        reset(&self.columns, self.columns.count)

    def alive(self):
        """Return how many rows no stage has dropped."""
        return alive(&self.columns)

    def load(self, frames):
        """Copy each of `frames` (bytes-like) behind the headroom of a row and reset those rows.

        Args:
            frames: a sequence of at most `capacity` bytes-like objects, each at most `room` - 128 bytes.
        Returns:
            The number of rows.
        Raises:
            ValueError: too many frames, or one too long; the batch is as it was.
        """
        frames = [octets(frame, f"frames[{i}]") for i, frame in enumerate(listed(frames, "frames", "a sequence of bytes-like"))]
        if len(frames) > self.columns.capacity:
            raise ValueError(f"frames must be at most {self.columns.capacity}, not {len(frames)}")
        cdef int limit = self.columns.room - HEADROOM
        for i, frame in enumerate(frames):
            if len(frame) > limit:
                raise ValueError(f"frames[{i}] must be at most {limit} bytes, not {len(frame)}")
        cdef const uint8_t* from_
        cdef Py_ssize_t size
        reset(&self.columns, len(frames))
        for i, frame in enumerate(frames):
            from_, size = frame, len(frame)
            memcpy(self.columns.data + <size_t> i * self.columns.room + HEADROOM, from_, size)
            self.columns.start[i] = HEADROOM
            self.columns.length[i] = size
        return len(frames)

    def frame(self, i):
        """Return the bytes of row i from `start`, `length` long.

        Raises:
            IndexError: no such row in use.
        """
        cdef int row = row_number(i, "i", &self.columns.count)
        begin = self.columns.start[row]
        return self.data[row, begin:begin + self.columns.length[row]].tobytes()
