"""Carrier: what an internet edge does with every packet, without the GIL; what needs thought it leaves to who has lent it all this.

    tunnel ─▶ UDP ─▶ outward ─▶ device ─▶ net
    tunnel ◀─ UDP ◀─ inward ◀── device ◀─ net

A batch goes from stage to stage as a whole, so packets of a flow keep their order. Where one of its rows needs thought (a stranger,
a control message, a fragment, an ICMP error, no TTL, no session) the batch stops before the stage that comes next and says what it
wants; go_on() takes it further. Few batches do. Handshakes, control messages, ends of flows and records are the control plane's.
One thread: all that it has been lent is its own while a call lasts. The clock is read once a turn.
"""

cimport cython
from libc.stdint cimport INT32_MAX, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from fastpath.action cimport DROP_NONE, DROP_REASONS
from fastpath.arguments cimport integer, several, uint64
from fastpath.batch cimport Columns, PacketBatch, inside
from fastpath.inward cimport Inward
from fastpath.outward cimport Outward
from fastpath.packet cimport all_parsed
from fastpath.packetio cimport Port
from fastpath.stages cimport (STAGE_ACCOUNT, STAGE_DECODE, STAGE_ENTER, STAGE_ENTERED, STAGE_FIND, STAGE_LEAVE, STAGE_LEFT,
                              STAGE_LOOK_UP, STAGE_OPEN, STAGE_PARSE, STAGE_REOPEN, STAGE_RESTORE, WANT_NOTHING)
from fastpath.tunnels cimport TUNNEL_HEADER_BYTES
from fastpath.turn cimport take_turn

import numpy as np

cdef extern from "poll.h" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    int ppoll(pollfd* fds, unsigned long n, const timespec* timeout, const void* signals)
    enum:
        POLLIN

cdef enum:
    BURSTS = 4                # batches from one side before the other has its turn
    FEW = 16                  # rows; fewer messages than a system call brings


cdef uint64_t now() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t> t.tv_sec * 1_000_000_000 + t.tv_nsec


@cython.final
cdef class Carrier:
    """The walk of batches.

    Args:
        batch: rows to work in, at most as many as the datagrams of `outward`.
        outward, inward: the two ways, over the same tables.
        others: two descriptors, -1 = none: a run ends when one is readable.
    Raises:
        ValueError, TypeError: an argument is out of range.
    """

    def __cinit__(self, PacketBatch batch not None, Outward outward not None, Inward inward not None, others=(-1, -1)):
        cdef int k
        both = [integer(fd, "others", -1, INT32_MAX) for fd in several(others, "others", "two descriptors", 2)]
        if batch.columns.capacity > outward._datagrams.shape[0]:
            raise ValueError(f"batch must have at most {outward._datagrams.shape[0]} rows, not {batch.columns.capacity}")
        if outward.links is not inward.links or outward.outlet is not inward.outlet:
            raise ValueError("inward must have the links and the outlet of outward")
        self.batch, self.outward, self.inward = batch, outward, inward
        for k in range(2):
            self._others[k] = both[k]
        self._drops = self.drops = np.zeros(DROP_REASONS + 1, np.int64)
        self.stage = STAGE_LEFT

    def run(self, until_ns):
        """Carry packets until `until_ns` (monotonic), or one of `others` is readable, or a batch wants something; return its Want.

        Each side has its turn at least once. The batch before must be done with.
        """
        cdef uint64_t until = uint64(until_ns, "until_ns")
        cdef int want
        take_turn(&self._taken, "Carrier")
        with nogil:
            want = self._run(until)
        self._taken = 0
        return want

    def step(self, now_ns):
        """Take what is there from both sides at the time now_ns, once, without waiting; return a Want as run() does."""
        cdef uint64_t at = uint64(now_ns, "now_ns")
        cdef int want
        take_turn(&self._taken, "Carrier")
        with nogil:
            want = self._step(True, True, at)
        self._taken = 0
        return want

    def go_on(self, now_ns):
        """Take the batch further, from where it stopped; return what it wants next."""
        return self._from(self.stage, now_ns)

    def begin(self, stage, now_ns):
        """Walk a batch that was filled by another: STAGE_DECODE: Geneve packets of peers; STAGE_PARSE: inner packets. Return a Want."""
        first = integer(stage, "stage", STAGE_OPEN, STAGE_ENTERED)
        if first != STAGE_DECODE and first != STAGE_PARSE:
            raise ValueError(f"stage must be STAGE_DECODE or STAGE_PARSE, not {stage}")
        if first == STAGE_DECODE:
            self.outward.originate(&self.batch.columns)
        return self._from(<int> first, now_ns)

    cdef _from(self, int stage, object now_ns):
        cdef uint64_t at = uint64(now_ns, "now_ns")
        cdef int want
        self._check(stage)
        take_turn(&self._taken, "Carrier")
        with nogil:
            want = self._walk(stage, at)
        self._taken = 0
        return want

    cdef int _check(self, int stage) except -1:
        """What a stage takes for granted, where others may have written to the batch before it."""
        cdef Columns* b = &self.batch.columns
        cdef int i
        if stage <= STAGE_DECODE or stage == STAGE_ENTER:
            inside(b, b.start, b.length, "start and length")
            return 0
        inside(b, b.inner_start, b.inner_length, "inner_start and inner_length")
        if stage <= STAGE_ACCOUNT:
            inside(b, b.geneve_start, b.geneve_length, "geneve_start and geneve_length")
        if stage == STAGE_LOOK_UP or stage == STAGE_PARSE:
            return 0
        all_parsed(b)
        for i in range(b.count):
            if b.reason[i] == DROP_NONE and (b.entry[i] >= 0 or stage == STAGE_RESTORE or stage == STAGE_LEAVE):
                self.outward.outlet.flows._check(b.entry[i], "batch: entry")
            if b.reason[i] == DROP_NONE and stage == STAGE_RESTORE and b.inner_start[i] < TUNNEL_HEADER_BYTES:
                raise ValueError(f"batch: row {i} has no room for a header in front of its packet")
        return 0

    # ---- the loop ----

    cdef int _run(self, uint64_t until_ns) noexcept nogil:
        cdef pollfd[4] fds
        cdef timespec longest
        cdef uint64_t at = now(), wait
        cdef int k, want
        fds[0].fd, fds[1].fd, fds[2].fd, fds[3].fd = self.inward.udp.fd, self.outward.device.fd, self._others[0], self._others[1]
        while True:
            wait = 0 if at >= until_ns or self.inward.udp.holds() or self.outward.device.holds() else until_ns - at
            longest.tv_sec, longest.tv_nsec = wait // 1_000_000_000, wait % 1_000_000_000
            for k in range(4):
                fds[k].events, fds[k].revents = POLLIN, 0
            ppoll(fds, 4, &longest, NULL)
            at = now()
            want = self._step(fds[0].revents or self.inward.udp.holds(), fds[1].revents or self.outward.device.holds(), at)
            if want != WANT_NOTHING or at >= until_ns or fds[2].revents or fds[3].revents:
                return want

    cdef int _step(self, bint outward, bint inward, uint64_t now_ns) noexcept nogil:
        """Each side in turn; one that is interrupted has its next turn behind the other, or a flood of strangers would be all."""
        cdef int _, want = WANT_NOTHING
        for _ in range(2):
            self._side = not self._side
            if self._side and outward:
                want = self._take(self.inward.udp, STAGE_OPEN, now_ns)
            elif not self._side and inward:
                want = self._take(self.outward.device, STAGE_PARSE, now_ns)
            if want != WANT_NOTHING:
                break
        return want

    cdef int _take(self, Port port, int stage, uint64_t now_ns) noexcept nogil:
        """Carry what a port has; a small batch was all of it, and a system call that finds nothing costs as much as a packet."""
        cdef int _, n = FEW, want = WANT_NOTHING
        for _ in range(BURSTS):
            if n >= FEW and want == WANT_NOTHING:
                n = port.recv_rows(&self.batch.columns)
                if n:
                    want = self._walk(stage, now_ns)
        return want

    cdef int _walk(self, int stage, uint64_t now_ns) noexcept nogil:
        cdef int want
        while stage != STAGE_LEFT and stage != STAGE_ENTERED:
            want = self._do(stage, now_ns)
            stage += 1
            if want != WANT_NOTHING:
                self.stage = stage
                return want
        self._count()
        self.stage = stage
        return WANT_NOTHING

    cdef int _do(self, int stage, uint64_t now_ns) noexcept nogil:
        cdef Columns* b = &self.batch.columns
        if stage == STAGE_OPEN:
            return self.outward.open(b, now_ns)
        if stage == STAGE_REOPEN:
            return self.outward.reopen(b, now_ns)
        if stage == STAGE_DECODE:
            return self.outward.decode(b)
        if stage == STAGE_LOOK_UP:
            return self.outward.look_up(b, now_ns)
        if stage == STAGE_ACCOUNT:
            return self.outward.account(b, now_ns)
        if stage == STAGE_LEAVE:
            return self.outward.leave(b)
        if stage == STAGE_PARSE:
            return self.inward.parse(b)
        if stage == STAGE_FIND:
            return self.inward.find(b, now_ns)
        if stage == STAGE_RESTORE:
            return self.inward.restore(b, now_ns)
        return self.inward.enter(b)

    cdef void _count(self) noexcept nogil:
        cdef Columns* b = &self.batch.columns
        cdef int i
        for i in range(b.count):
            self._drops[b.reason[i]] += b.reason[i] != DROP_NONE
        b.count = 0
