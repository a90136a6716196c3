"""memoryport: a load balancer's packets from memory, again and again; for simulations, and to measure workers without a network.

Journey: in the place of any other GenevePort. A received frame is copied into its row, a sent one is written with its outer
headers into a ring, as AF_XDP does both; what is saved is the kernel. There is always something to receive. One thread an object.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastpath.arguments cimport SHORT_MAX, integer, ipv4, listed, octets
from fastpath.action cimport DROP_IO_SEND, DROP_IO_TRUNCATED, DROP_NONE
from fastpath.batch cimport HEADROOM, Columns, reset, row
from fastpath.memory cimport give_pages, take_pages
from fastpath.outer cimport OUTER_BYTES, write_outer
from fastpath.packetio cimport GenevePort

import os

cdef enum:
    BATCH = 256
    SLOTS = 1024
    SLOT_BYTES = 9216
    FRAMES_MAX = 1 << 24
    BYTES_MAX = 1 << 30


@cython.final
cdef class MemoryPort(GenevePort):
    """Frames that are received in turn, for ever.

    Args:
        frames: Geneve packets as bytes, 1 … 2^24, together at most 1 GiB.
        address: own IPv4 address in dotted form, the source of what is sent; port: UDP port.
        peers: IPv4 addresses that frames come from, as numbers, one a frame; None: all from 127.0.0.1.
    Raises:
        ValueError: too few or too many frames, or another number of peers.
        MemoryError, OSError: no memory, no event descriptor.
    """

    def __cinit__(self, frames, str address not None="127.0.0.1", port=6081, *, peers=None):
        cdef bytes data
        cdef uint64_t total = 0
        cdef int k
        parts = [octets(frame, "frames") for frame in listed(frames, "frames", "a list of bytes")]
        from_ = [0x7F000001] * len(parts) if peers is None else listed(peers, "peers", "a list of numbers")
        self.address, self.port = ipv4(address, "address"), <uint16_t> integer(port, "port", 0, SHORT_MAX)
        self.count = <int> integer(len(parts), "frames", 1, FRAMES_MAX)
        integer(sum([len(part) for part in parts]), "frames: their bytes", 0, BYTES_MAX)
        if len(from_) != self.count or max([len(part) for part in parts]) > SHORT_MAX:
            raise ValueError(f"peers must be one a frame, not {len(from_)}, and a frame at most {SHORT_MAX} bytes")
        self.places = <uint64_t*> calloc(self.count + 1, sizeof(uint64_t))
        self.peers = <uint32_t*> calloc(self.count, sizeof(uint32_t))
        self.lengths = <uint16_t*> calloc(SLOTS, sizeof(uint16_t))
        self.room = <uint8_t*> take_pages(SLOTS, SLOT_BYTES)
        for part in parts:
            total += len(part)
        self.frames = <uint8_t*> calloc(1, total + 1)
        if self.places is NULL or self.peers is NULL or self.lengths is NULL or self.room is NULL or self.frames is NULL:
            raise MemoryError()
        for k in range(self.count):
            data = parts[k]
            self.peers[k] = <uint32_t> integer(from_[k], "peers", 0, 0xFFFFFFFF)
            self.places[k + 1] = self.places[k] + len(data)
            memcpy(self.frames + self.places[k], <const uint8_t*> data, len(data))
        self.fd = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)      # nobody reads it: it is always readable

    def __dealloc__(self):
        self.close()
        free(self.places)
        free(self.peers)
        free(self.lengths)
        free(self.frames)
        give_pages(self.room, SLOTS, SLOT_BYTES)

    def lost(self):
        """Return 0: it waits for its worker."""
        return 0

    def last(self, n):
        """Return the last `n` packets sent, oldest first, with their outer headers; 1,024 at most are kept."""
        cdef int k
        cdef uint64_t many = min(<uint64_t> integer(n, "n", 0, SLOTS), self.sent)
        out = []
        for k in range(<int> many):
            slot = (self.next_room - <int> many + k) % SLOTS
            slot += SLOTS if slot < 0 else 0
            out.append((self.room + <size_t> slot * SLOT_BYTES)[:self.lengths[slot]])
        return out

    cdef int recv_rows(self, Columns* b) noexcept nogil:
        cdef int i, n = min(b.capacity, <int> BATCH)
        cdef uint64_t at
        if self.fd < 0:
            n = 0
        reset(b, n)
        for i in range(n):
            at = self.places[self.next]
            b.start[i], b.length[i] = HEADROOM, <uint16_t> (self.places[self.next + 1] - at)
            b.peer_address[i], b.peer_port[i] = self.peers[self.next], <uint16_t> (0xC000 | self.next & 0x3FFF)
            if HEADROOM + b.length[i] > b.room:
                b.reason[i] = DROP_IO_TRUNCATED
            else:
                memcpy(row(b, i) + HEADROOM, self.frames + at, b.length[i])
            self.next = self.next + 1 if self.next + 1 < self.count else 0
        return n

    cdef int send_rows(self, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        cdef uint8_t* at
        cdef int k, i, left = 0
        for k in range(n):
            i = rows[k]
            if b.reason[i] != DROP_NONE or b.length[i] == 0 or b.start[i] + b.length[i] > b.room:
                continue
            if OUTER_BYTES + b.length[i] > SLOT_BYTES:
                b.reason[i] = DROP_IO_SEND
                continue
            at = self.room + <size_t> self.next_room * SLOT_BYTES
            write_outer(at, self.address, b.peer_port[i], b.peer_address[i], self.port, b.length[i])
            memcpy(at + OUTER_BYTES, row(b, i) + b.start[i], b.length[i])
            self.lengths[self.next_room] = <uint16_t> (OUTER_BYTES + b.length[i])
            self.next_room = self.next_room + 1 if self.next_room + 1 < SLOTS else 0
            left += 1
        self.sent += left
        return left
