"""Shard: which of several workers a packet belongs to, and how one that came to another gets there.

    both ends of a packet, addresses and ports ─▶ one number, the same both ways ─▶ worker
    a fragment: addresses alone ─▶ worker A ─ first fragment's ports ─▶ worker B, the later ones after it
    an ICMP error: by the packet that it speaks of
    from an internet edge: where it comes; if its flow is not there, as one from the workload
    from the kernel: by the port or the alias that it is sent to; each worker gives out its own

Journey: between packet.parse and flowkey.build, and between the device and the flow. The kernel steers by the same numbers where
it can (fastpath.steering), so next to nothing is handed over; what it steers otherwise (a network card by its own
hash, a TUN device by the flow's last queue) is still right, and costs a copy. From each worker to each other one ring: one
thread writes, one reads. A full ring drops the packet and counts it; nobody waits.

Of what every worker must know before a packet may leave (a name before the DNS answer), `told` keeps how far each has come.
One object a worker, for its thread; made together by `shards`.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath.action cimport *
from fastpath.arguments cimport SHORT_MAX, WORD_MAX, integer, ip, ipv4, mapped, several, writable_int32
from fastpath.batch cimport HEADROOM, Columns, PacketBatch, drop, reset, row
from fastpath.fragments cimport ORIGIN_EDGE, ORIGIN_KERNEL, ORIGIN_WORKLOAD, FragmentTable
from fastpath.memory cimport give_pages, load_word, store_word, take_pages
from fastpath.packet cimport PROTOCOL_TCP, PROTOCOL_UDP, all_parsed
from fastpath.quote cimport Quote, quote_of
from fastpath.ring cimport Ring
from fastpath.wire cimport load_be32

cdef enum:
    ELSEWHERE = 2            # direction of a datagram in fragments whose flow is another worker's: `flow` is that worker
    WORDS_A_LINE = 8

# Before each frame in a ring.
cdef struct Handed:
    uint32_t peer_address
    uint16_t peer_port
    uint8_t origin
    uint8_t pad


@cython.final
cdef class Told:
    """Made by `shards`."""

    def __cinit__(self):
        self.words = <uint64_t*> take_pages(SHARDS_MAX * WORDS_A_LINE, sizeof(uint64_t))
        if self.words is NULL:
            raise MemoryError()

    def __dealloc__(self):
        give_pages(self.words, SHARDS_MAX * WORDS_A_LINE, sizeof(uint64_t))


@cython.final
cdef class Shard:
    """One worker's end of it; made by `shards`.

    Args:
        number: of the worker.
        told: all workers' own.
        rings: rings[of][to], None where both are one.
        ports, aliases: of all workers together, as `shards` takes them.
    Raises:
        ValueError, TypeError: number, or how many rings there are; what is in them.
    """

    def __cinit__(self, number, Told told not None, list rings not None, ports, aliases):
        cdef int other
        low, high = ports
        self.count = <int> integer(len(rings), "rings", 1, SHARDS_MAX)
        self.number, self.told, self.rings = <int> integer(number, "number", 0, self.count - 1), told, rings
        self.port_low, self.ports = low, (high - low + 1) // self.count
        self.alias_base, self.aliases = aliases[0], aliases[1] // self.count
        self.waiting = 0
        for other in range(self.count):
            if other != self.number:
                self.out[other] = <void*> <Ring?> rings[self.number][other]
                self.back[other] = <void*> <Ring?> rings[other][self.number]

    @property
    def port_range(self):
        """(lowest, highest) local port of this worker's flows."""
        low = self.port_low + self.number * self.ports
        return low, low + self.ports - 1

    @property
    def alias_range(self):
        """(first, how many) aliases of this worker's workloads; the first as a number."""
        return self.alias_base + self.number * self.aliases, self.aliases

    @property
    def lost(self):
        """Packets that the rings from this worker had no room for."""
        return sum([ring.lost for ring in self.rings[self.number] if ring is not None])

    def owners_batch(self, PacketBatch batch not None, out):
        """Write which worker each live row from GWLB, parsed, belongs to, a fragment by its addresses alone; -1 for a dead one.

        Args:
            out: int32[≥ count].
        Returns:
            Rows that belong to another worker than this one.
        Raises:
            TypeError, ValueError: out is of another dtype or order, too short or read-only.
        """
        cdef int32_t[::1] view = writable_int32(out, "out")
        cdef Columns* b = &batch.columns
        cdef int i, others = 0
        if view.shape[0] < b.count:
            raise ValueError(f"out must have room for {b.count} rows, not {view.shape[0]}")
        all_parsed(b)
        with nogil:
            for i in range(b.count):
                view[i] = -1 if b.reason[i] != DROP_NONE else self._owner(b, i, b.fragment[i] == FRAGMENT_NONE)
                others += view[i] >= 0 and view[i] != self.number
        return others

    # ---- whose ----

    cdef int _owner(self, Columns* b, int i, bint by_ports) noexcept nogil:
        cdef Quote quote
        if quote_of(b, i, &quote):
            by_ports = quote.protocol == PROTOCOL_TCP or quote.protocol == PROTOCOL_UDP
            return shard_among(self.count, quote.ip_version, quote.source, quote.source_port if by_ports else 0,
                               quote.destination, quote.destination_port if by_ports else 0)
        by_ports = by_ports and (b.protocol[i] == PROTOCOL_TCP or b.protocol[i] == PROTOCOL_UDP)
        return shard_among(self.count, b.ip_version[i], b.source + 16 * i, b.source_port[i] if by_ports else 0,
                           b.destination + 16 * i, b.destination_port[i] if by_ports else 0)

    cdef int _of_port(self, uint16_t port) noexcept nogil:
        cdef int of = (<int> port - <int> self.port_low) // <int> self.ports
        return of if port >= self.port_low and of < self.count else self.number

    cdef int _of_alias(self, uint32_t address) noexcept nogil:
        """-1: it is no alias."""
        cdef uint32_t at = address - self.alias_base
        return <int> (at // self.aliases) if at < self.aliases * <uint32_t> self.count else -1

    cdef int _kernel_owner(self, Columns* b, int i, bint by_ports) noexcept nogil:
        cdef Quote quote
        cdef int of
        if b.ip_version[i] == 4:
            of = self._of_alias(load_be32(b.destination + 16 * i + 12))
            if of < 0:
                of = self._of_alias(load_be32(b.source + 16 * i + 12))
            if of >= 0:
                return of
        if quote_of(b, i, &quote):
            return self._of_port(quote.source_port)
        if by_ports:
            return self._of_port(b.destination_port[i])
        return shard_among(self.count, b.ip_version[i], b.source + 16 * i, 0, b.destination + 16 * i, 0)

    # ---- over to it ----

    cdef void sort(self, Columns* b) noexcept nogil:
        cdef int i, owner
        for i in range(b.count):
            if b.reason[i] == DROP_NONE:
                owner = self._owner(b, i, b.fragment[i] == FRAGMENT_NONE)
                if owner != self.number:
                    self._give(owner, b, i, ORIGIN_WORKLOAD)

    cdef bint move_kernel_row(self, Columns* b, int i) noexcept nogil:
        cdef int owner = self._kernel_owner(b, i, b.fragment[i] == FRAGMENT_NONE)
        if owner == self.number:
            return False
        self._give(owner, b, i, ORIGIN_KERNEL)
        return True

    cdef bint move_fragment(self, FragmentTable fragments, int number, Columns* b, int i, uint8_t origin) noexcept nogil:
        cdef int owner
        if b.fragment[i] == FRAGMENT_LATER:
            return self.follow_fragment(fragments, number, b, i, origin)
        owner = self._kernel_owner(b, i, True) if origin == ORIGIN_KERNEL else self._owner(b, i, True)
        if owner == self.number:
            return False
        fragments.settle(number, owner, 0, ELSEWHERE, DROP_NONE)
        self._give(owner, b, i, origin)
        return True

    cdef bint follow_fragment(self, FragmentTable fragments, int number, Columns* b, int i, uint8_t origin) noexcept nogil:
        cdef int32_t owner
        cdef uint64_t flow_hash
        cdef uint8_t direction
        if fragments.datagrams[number].direction != ELSEWHERE:
            return False
        fragments.follow(number, &owner, &flow_hash, &direction)
        self._give(owner, b, i, origin)
        return True

    cdef bint move_edge_row(self, FragmentTable fragments, int number, Columns* b, int i) noexcept nogil:
        cdef int owner = self._owner(b, i, True)
        if owner == self.number:
            return False
        if b.fragment[i] == FRAGMENT_FIRST:
            fragments.settle(number, owner, 0, ELSEWHERE, DROP_NONE)
        self._give(owner, b, i, ORIGIN_EDGE)
        return True

    cdef void _give(self, int owner, Columns* b, int i, uint8_t origin) noexcept nogil:
        cdef uint8_t* at = (<Ring> self.out[owner]).reserve(sizeof(Handed) + b.length[i])
        cdef Handed* head = <Handed*> at
        if at == NULL:
            drop(b, i, DROP_SHARD_FULL)
            return
        head.peer_address, head.peer_port, head.origin, head.pad = b.peer_address[i], b.peer_port[i], origin, 0
        memcpy(at + sizeof(Handed), row(b, i) + b.start[i], b.length[i])
        (<Ring> self.out[owner]).commit()
        self.waiting |= <uint32_t> 1 << owner
        drop(b, i, DROP_SHARD_MOVED)

    cdef void wake(self) noexcept nogil:
        cdef int other
        for other in range(self.count if self.waiting else 0):
            if self.waiting >> other & 1:
                (<Ring> self.out[other]).notify()
        self.waiting = 0

    cdef int watch(self, int* fds) noexcept nogil:
        cdef int other, n = 0
        for other in range(self.count):
            if other != self.number:
                fds[n] = (<Ring> self.back[other]).event_fd
                n += 1
        return n

    cdef int take(self, int other, Columns* b, uint8_t* origin) noexcept nogil:
        cdef uint32_t bytes_
        cdef uint8_t* at
        cdef Handed* head
        cdef int n = 0
        reset(b, b.capacity)
        while n < b.capacity:
            at = (<Ring> self.back[other]).peek(&bytes_)
            head = <Handed*> at
            if at == NULL or n and head.origin != origin[0]:
                break
            origin[0] = head.origin
            b.start[n] = b.inner_start[n] = HEADROOM
            b.length[n] = b.inner_length[n] = <uint16_t> (bytes_ - sizeof(Handed))
            b.peer_address[n], b.peer_port[n] = head.peer_address, head.peer_port
            if HEADROOM + b.length[n] > b.room:
                drop(b, n, DROP_IO_TRUNCATED)
            else:
                memcpy(row(b, n) + HEADROOM, at + sizeof(Handed), b.length[n])
            (<Ring> self.back[other]).consume()
            n += 1
        b.count = n
        return n

    # ---- what all are told ----

    cdef void has_done(self, uint64_t number) noexcept nogil:
        if number > self.told.words[WORDS_A_LINE * self.number]:
            store_word(&self.told.words[WORDS_A_LINE * self.number], number)

    cdef bint all_have_done(self, uint64_t number) noexcept nogil:
        cdef int other
        for other in range(self.count):
            if load_word(&self.told.words[WORDS_A_LINE * other]) < number:
                return False
        return True


def shards(count, *, ring_bytes=1 << 20, ports=(1024, 65535), aliases=(0, 1 << 16)):
    """Return one Shard for each of `count` workers.

    Args:
        count: 1 … 32.
        ring_bytes: of each of the count × (count - 1) rings, a power of two from 4,096 on; a packet takes its length and 16.
        ports: lowest and highest local port of translated flows; each worker gives out an equal part of them.
        aliases: (first, how many) addresses that stand for workloads, likewise; the first an IPv4Address or what makes one.
    Raises:
        ValueError: a number out of range; fewer ports or aliases than workers.
    """
    cdef int n = <int> integer(count, "count", 1, SHARDS_MAX)
    cdef int64_t size = integer(ring_bytes, "ring_bytes", 4096, 1 << 30)
    if size & (size - 1):
        raise ValueError(f"ring_bytes must be a power of two, not {ring_bytes}")
    low, high = [integer(port, "ports", 1, SHORT_MAX) for port in several(ports, "ports", "(low, high)", 2)]
    first, many = several(aliases, "aliases", "(first, how many)", 2)
    many = integer(many, "aliases: how many", n, WORD_MAX)
    if high - low + 1 < n:
        raise ValueError(f"ports must be one a worker at least, low first, not {ports!r}")
    told = Told()
    rings = [[Ring(size) if to != of else None for to in range(n)] for of in range(n)]
    return [Shard(number, told, rings, (low, high), (ipv4(first, "aliases: first"), many)) for number in range(n)]


def shard_of(count, source, source_port, destination, destination_port):
    """Return which of `count` workers packets between two ends belong to, either way.

    Args:
        count: 1 … 32.
        source, destination: addresses of one family.
        source_port, destination_port: of TCP or UDP; 0 for all else, and for fragments.
    Raises:
        ValueError: a number out of range, or no address; two families.
    """
    here, there = ip(source, "source"), ip(destination, "destination")
    if here.version != there.version:
        raise ValueError(f"source and destination must be of one family, not {source} and {destination}")
    cdef bytes a = mapped(here), b = mapped(there)
    return shard_among(<int> integer(count, "count", 1, SHARDS_MAX), here.version, a,
                       <uint16_t> integer(source_port, "source_port", 0, SHORT_MAX), b,
                       <uint16_t> integer(destination_port, "destination_port", 0, SHORT_MAX))
