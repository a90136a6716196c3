"""Parts: a packet that is too large for a tunnel's path and must not be refused, carried in several records.

Every path has to carry IPv6 packets of 1,280 bytes (RFC 8200 §5), and QUIC's first datagrams are hardly smaller (RFC 9000 §14).
Where the path outside is too small for that, fragments are not to be relied on, since many networks drop those of UDP; so
the tunnel itself cuts, below IP. Each part has the packet's own Geneve header and one option more, the last one:

    |Ver|  Opt Len  |0|1|    Rsvd.  |          Protocol Type        |   RFC 8926 §3.4, C bit: an option is critical
    |   …                                                           |   as the whole packet has it
    |   class 0xFF5A                |  type 0x84    |0 0 0| length 2|   RFC 8926 §3.5, highest bit of the type: critical
    |   number of the packet in its session, never 0                |
    |   first byte of the part      |  bytes of the whole packet    |   of the inner packet

Who does not know the option has to drop the part, and it is sent only to a peer that has said in its hello that it does.

Journey: after a packet has its Geneve header and before it is sealed; on the other side after geneve and before packet. Parts come
in any order, packets with them. Nothing is timed: a packet that is not whole gives its place to the one PARTS_OPEN numbers
later, and numbers do not come again in a session. All memory is taken when the object is made, so a peer that sends
parts of packets which never become whole fills that, and only its own. Total on any bytes.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from fastpath.action cimport (
    DROP_IO_TRUNCATED, DROP_NONE, DROP_PART_HELD, DROP_PART_ORPHAN, DROP_PART_SHAPE, DROP_ZIA_TOO_BIG,
)
from fastpath.arguments cimport SHORT_MAX, integer, rows_in_use
from fastpath.batch cimport HEADROOM, Columns, PacketBatch, drop, inside, reset, row
from fastpath.geneve cimport GENEVE_BASE_BYTES, GENEVE_FLAG_CRITICAL, decode_row, write_option
from fastpath.wire cimport load_be16, load_be32, store_be16, store_be32

LARGEST = PARTS_WHOLE

cdef enum:
    OPTION_CLASS = 0xFF5A
    OPTION_PART = 0x84
    CRITICAL = 0x80
    WORDS = 0x3F             # of a base header's first byte


cdef const uint8_t* option_of(const uint8_t* header, int n) noexcept nogil:
    """The part option of a header whose options have been walked: the last one, and the only critical one; NULL: it is not."""
    cdef int at = GENEVE_BASE_BYTES
    while at < n - PART_OPTION_BYTES and not header[at + 2] & CRITICAL:
        at += 4 + 4 * (header[at + 3] & 0x1F)
    if at != n - PART_OPTION_BYTES or load_be16(header + at) != OPTION_CLASS or header[at + 2] != OPTION_PART \
            or header[at + 3] & 0x1F != 2:
        return NULL
    return header + at


@cython.final
cdef class Parts:
    """What a session's two directions know of packets in parts: the number that was given last, and what is not whole yet.

    Raises:
        MemoryError: the system has not the 43 KiB.
    """

    def __cinit__(self):
        self.open = <Open*> calloc(PARTS_OPEN, sizeof(Open))
        if self.open == NULL:
            raise MemoryError("parts: no memory for packets that are not whole")
        self.number, self.lost = 0, 0

    def __dealloc__(self):
        free(self.open)

    cdef int split(self, Columns* b, int i, int size, Columns* out) noexcept nogil:
        cdef const uint8_t* packet = row(b, i) + b.start[i]
        cdef int header = GENEVE_BASE_BYTES + 4 * (packet[0] & WORDS) if b.length[i] else 0, whole = b.length[i] - header
        cdef int room = size - header - PART_OPTION_BYTES, n, k, step, at
        if header > PARTS_HEADER or not 0 < whole <= PARTS_WHOLE or room <= 0 or whole > PARTS_MAX * room \
                or HEADROOM + size > out.room:
            return 0
        n = (whole + room - 1) // room
        step = (whole + n - 1) // n          # of one length, so that they leave as one message
        self.number += 1
        self.number += self.number == 0
        for k in range(n):
            at = k * step
            place(out, packet, header, self.number, at, min(step, whole - at), whole)
            out.peer_address[out.count - 1], out.peer_port[out.count - 1] = b.peer_address[i], b.peer_port[i]
        return n

    cdef bint join(self, Columns* b, int i) noexcept nogil:
        cdef const uint8_t* option = option_of(row(b, i) + b.geneve_start[i], b.geneve_length[i])
        cdef uint8_t reason = DROP_PART_SHAPE
        if option != NULL:
            reason = self._take(b, i, option)
        if reason != DROP_NONE:
            drop(b, i, reason)
        return reason == DROP_NONE

    cdef uint8_t _take(self, Columns* b, int i, const uint8_t* option) noexcept nogil:
        cdef uint32_t number = load_be32(option + 4)
        cdef int first = load_be16(option + 8), whole = load_be16(option + 10), n = b.inner_length[i]
        cdef int header = b.geneve_length[i] - PART_OPTION_BYTES
        cdef const uint8_t* at = row(b, i) + b.geneve_start[i]
        cdef Open* packet = &self.open[number % PARTS_OPEN]
        if number == 0 or n == 0 or first + n > whole or whole > PARTS_WHOLE or header > PARTS_HEADER:
            return DROP_PART_SHAPE
        if packet.number != number:
            if packet.number and <int32_t> (number - packet.number) < 0:
                return DROP_PART_ORPHAN          # its packet has been given up
            self.lost += packet.parts
            memset(packet, 0, sizeof(Open) - PARTS_WHOLE)
            packet.number, packet.whole, packet.header_length = number, <uint16_t> whole, <uint8_t> header
            memcpy(packet.header, at, header)
        elif packet.parts == 0 or packet.whole != whole or packet.header_length != header:
            return DROP_PART_SHAPE
        if memcmp(packet.header, at, header) != 0 or not enter(packet, first, first + n):
            return DROP_PART_SHAPE
        memcpy(packet.bytes + first, row(b, i) + b.inner_start[i], n)
        return DROP_PART_HELD if packet.seen < whole else go_on(packet, b, i)

    def split_rows(self, PacketBatch batch not None, rows, size, PacketBatch out not None):
        """Make parts of rows that hold whole Geneve packets (start, length), as the rows of `out`.

        Args:
            rows: uint16[n], rows in use; dead ones are passed over.
            size: bytes that a part may have, its header too; 1 … 65,535.
            out: another batch, of 4 rows at least; it is reset.
        Returns:
            How many of `rows`, from the first on, are done with: the others found no room in `out`.
        Raises:
            ValueError: an argument is out of range.
        Drops:
            ZIA_TOO_BIG: larger than 1,280 bytes inside, or not to be carried in 4 parts of this size.
        """
        cdef int most = <int> integer(size, "size", 1, SHORT_MAX), k = 0, n
        cdef const uint16_t[::1] view = rows_in_use(rows, "rows", &batch.columns.count)
        cdef Columns* b = &batch.columns
        n = <int> view.shape[0]
        inside(b, b.start, b.length, "start and length")
        if out is batch or out.columns.capacity < PARTS_MAX:
            raise ValueError(f"out must be another batch, of {PARTS_MAX} rows at least")
        with nogil:
            reset(&out.columns, 0)
            while k < n and out.columns.count + PARTS_MAX <= out.columns.capacity:
                if b.reason[view[k]] == DROP_NONE and self.split(b, view[k], most, &out.columns) == 0:
                    drop(b, view[k], DROP_ZIA_TOO_BIG)
                k += 1
        return k

    def join_rows(self, PacketBatch batch not None, rows):
        """Take rows with a critical option (C bit), decoded as Geneve; those that complete a packet hold it now, decoded.

        Args:
            rows: uint16[n], rows in use, in the order in which they came; dead ones are passed over.
        Returns:
            How many hold a whole packet now.
        Raises:
            ValueError: rows is out of range.
        Drops:
            PART_HELD: no loss, it waits. PART_SHAPE, PART_ORPHAN: as their names say. IO_TRUNCATED: a row has no room for it.
        """
        cdef const uint16_t[::1] view = rows_in_use(rows, "rows", &batch.columns.count)
        cdef int k, whole = 0, n = <int> view.shape[0]
        cdef Columns* b = &batch.columns
        inside(b, b.geneve_start, b.geneve_length, "geneve_start and geneve_length")
        inside(b, b.inner_start, b.inner_length, "inner_start and inner_length")
        with nogil:
            for k in range(n):
                if b.reason[view[k]] == DROP_NONE:
                    whole += self.join(b, view[k])
        return whole


cdef void place(Columns* out, const uint8_t* packet, int header, uint32_t number, int first, int n, int whole) noexcept nogil:
    """Append one part to out."""
    cdef uint8_t[8] said
    cdef int k = out.count
    cdef uint8_t* at = row(out, k) + HEADROOM
    reset_one(out, k)
    out.count = k + 1
    store_be32(said, number)
    store_be16(said + 4, <uint16_t> first)
    store_be16(said + 6, <uint16_t> whole)
    memcpy(at, packet, header)
    at[0] += PART_OPTION_BYTES // 4
    at[1] |= GENEVE_FLAG_CRITICAL
    write_option(at + header, OPTION_CLASS, OPTION_PART, said, 8)
    memcpy(at + header + PART_OPTION_BYTES, packet + header + first, n)
    out.start[k], out.length[k] = HEADROOM, <uint16_t> (header + PART_OPTION_BYTES + n)
    out.inner_start[k], out.inner_length[k] = <uint16_t> (HEADROOM + header + PART_OPTION_BYTES), <uint16_t> n


cdef inline void reset_one(Columns* b, int i) noexcept nogil:
    b.action[i], b.reason[i], b.rule[i], b.entry[i] = 0, DROP_NONE, -1, -1


cdef bint enter(Open* packet, int first, int behind) noexcept nogil:
    """Note a part; False: it lies over another, or there are too many."""
    cdef int k
    for k in range(packet.parts):
        if first < packet.behind[k] and packet.first[k] < behind:
            return False
    if packet.parts == PARTS_MAX:
        return False
    packet.first[packet.parts], packet.behind[packet.parts] = <uint16_t> first, <uint16_t> behind
    packet.parts += 1
    packet.seen += <uint16_t> (behind - first)
    return True


cdef uint8_t go_on(Open* packet, Columns* b, int i) noexcept nogil:
    """Make row i the packet as it was before it was split; a DropReason where that can not be."""
    cdef uint8_t* at = row(b, i) + HEADROOM
    packet.parts = 0
    if HEADROOM + packet.header_length + packet.whole > b.room:
        return DROP_IO_TRUNCATED
    memcpy(at, packet.header, packet.header_length)
    memcpy(at + packet.header_length, packet.bytes, packet.whole)
    at[0] -= PART_OPTION_BYTES // 4
    at[1] &= <uint8_t> ~GENEVE_FLAG_CRITICAL
    b.start[i], b.length[i] = HEADROOM, packet.header_length + packet.whole
    return decode_row(b, i)
