"""Trains: the packets of one TCP stream in a batch, coupled, so that the kernel's stack walks them once.

Journey: between the rows of a batch and a TUN queue; the opposite of superpacket. The rules are those of the kernel's own
generic receive offload: the same addresses, ports, acknowledgement, window, options, flags, TTL and class; sequence numbers
without a gap; equal payloads, but for a last one that may be shorter; FIN and PSH end a train; never SYN, RST, URG, CWR,
fragments or IPv4 options; and only checksums that were found right, since the kernel asks no more. So the stream leaves the
kernel on the other side as it came, should it be cut again. It changes no row.

Any bytes may be in a row: what can not be read as such a packet is a train by itself. Order within a stream is kept; a packet
may be overtaken by one of another stream only.

Source: RFC 9293 §3.1, RFC 791 §3.1, RFC 8200 §3, RFC 6864 (identifications).
"""

from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from fastpath.action cimport DROP_NONE
from fastpath.arguments cimport rows_in_use
from fastpath.batch cimport Columns, PacketBatch, row
from fastpath.checksum cimport add, fold
from fastpath.vnet cimport VNET_BYTES, VNET_NEEDS_CHECKSUM, VNET_TCP4, VNET_TCP6, Vnet, no_vnet
from fastpath.wire cimport load_be16, load_be32, store_be16

cdef enum:
    TCP = 6
    BYTES_MAX = 65000        # of a train: an IP packet's most, and slack
    DONT_FRAGMENT = 0x4000
    ACK = 0x10
    FIN_PSH = 0x09
    FLAGS_JOINED = 0x59      # ACK, ECE, and those that end a train

# What coupling wants to know of one packet.
cdef struct Car:
    const uint8_t* at
    int l4
    int header
    int payload
    uint32_t sequence


cdef bint read_car(Columns* b, int i, Car* car) noexcept nogil:
    """Read row i; false: it is nothing that could be coupled."""
    cdef const uint8_t* at = row(b, i) + b.inner_start[i]
    cdef const uint8_t* tcp
    cdef int n = b.inner_length[i]
    if n < 40:
        return False
    car.at = at
    if at[0] == 0x45:
        car.l4 = 20
        if load_be16(at + 2) != n or load_be16(at + 6) & 0xBFFF or at[9] != TCP:
            return False
    elif at[0] >> 4 == 6:
        car.l4 = 40
        if load_be16(at + 4) + 40 != n or at[6] != TCP or n < 60:
            return False
    else:
        return False
    tcp = at + car.l4
    car.header = car.l4 + 4 * (tcp[12] >> 4)
    car.payload = n - car.header
    car.sequence = load_be32(tcp + 4)
    return car.header >= car.l4 + 20 and car.payload > 0 and tcp[12] & 0x0F == 0 and tcp[13] & ~FLAGS_JOINED == 0 \
        and tcp[13] & ACK


cdef inline int slot_of(Columns* b, int i) noexcept nogil:
    """A slot that all packets of one TCP stream and direction share; -1 = it is no whole TCP packet."""
    cdef const uint8_t* at = row(b, i) + b.inner_start[i]
    cdef int n = b.inner_length[i], l4, addresses
    cdef bint six
    cdef uint32_t mixed
    if n < 24:
        return -1
    six = at[0] >> 4 == 6
    l4, addresses = 40 if six else 4 * (at[0] & 0x0F), 32 if six else 16
    if n < l4 + 4 or at[6 if six else 9] != TCP:
        return -1
    mixed = load_be32(at + l4) ^ load_be32(at + addresses) ^ load_be32(at + addresses - 4)
    return (mixed * <uint32_t> 0x9E3779B1) >> 26


cdef inline bint is_sound(const Car* car) noexcept nogil:
    """Whether the TCP checksum is right."""
    cdef int n = car.header - car.l4 + car.payload, addresses = 8 if car.l4 == 20 else 32
    return fold(add(car.at + car.l4, n, add(car.at + car.l4 - addresses, addresses, TCP + n))) == 0


cdef bint alike(const uint8_t* one, const Car* car) noexcept nogil:
    """Whether the headers agree, but for what must differ: lengths, sums, sequence, identification."""
    cdef const uint8_t* two = car.at
    cdef const uint8_t* tcp = one + car.l4
    cdef const uint8_t* other = two + car.l4
    if car.l4 == 20:
        if one[0] != two[0] or one[1] != two[1] or memcmp(one + 6, two + 6, 4) != 0 or memcmp(one + 12, two + 12, 8) != 0:
            return False
    elif memcmp(one, two, 4) != 0 or memcmp(one + 6, two + 6, 34) != 0:
        return False
    return memcmp(tcp, other, 4) == 0 and memcmp(tcp + 8, other + 8, 5) == 0 and (tcp[13] ^ other[13]) & ~FIN_PSH == 0 \
        and memcmp(tcp + 14, other + 14, 2) == 0 and memcmp(tcp + 18, other + 18, car.header - car.l4 - 18) == 0


cdef bint follows(Trains* t, Train* train, Columns* b, const Car* car) noexcept nogil:
    """Whether a packet is the next one of a train."""
    cdef int i = t.rows[train.first]
    cdef const uint8_t* first = row(b, i) + b.inner_start[i]
    cdef Car leader
    if train.header != car.header or train.l4 != car.l4 or train.next != car.sequence or train.ends \
            or car.payload > train.size or train.length != train.header + train.packets * train.size \
            or train.length + car.payload > BYTES_MAX or not alike(first, car):
        return False
    if car.l4 == 20 and not load_be16(first + 6) & DONT_FRAGMENT \
            and <uint16_t> (load_be16(first + 4) + train.packets) != load_be16(car.at + 4):
        return False
    if not train.sound:
        read_car(b, i, &leader)
        if not is_sound(&leader):
            return False
        train.sound = True
    return is_sound(car)


cdef void couple(Trains* t, Columns* b, const uint16_t* rows, int n, bint join) noexcept nogil:
    cdef int k, i, slot, places = 0
    t.count = 0
    memset(t.open, 0xFF, sizeof(t.open))
    for k in range(n):
        i = rows[k]
        if b.reason[i] != DROP_NONE or b.inner_length[i] == 0 or b.inner_start[i] + b.inner_length[i] > b.room:
            continue
        t.rows[places] = i
        slot = slot_of(b, i) if join else -1
        place(t, b, places, slot)
        places += 1


cdef void place(Trains* t, Columns* b, int at, int slot) noexcept nogil:
    """Couple the row at a place to its stream's open train, or begin one with it."""
    cdef int i = t.rows[at]
    cdef Train* train
    cdef Car car
    cdef bint coupled = slot >= 0 and read_car(b, i, &car)
    if coupled and t.open[slot] >= 0:
        train = &t.trains[t.open[slot]]
        if follows(t, train, b, &car):
            t.after[train.last] = at
            train.last = at
            train.packets += 1
            train.length += car.payload
            train.next = car.sequence + <uint32_t> car.payload
            train.ends = car.at[car.l4 + 13] & FIN_PSH
            return
    train = &t.trains[t.count]
    memset(train, 0, sizeof(Train))
    train.first = train.last = at
    train.packets, train.length = 1, b.inner_length[i]
    if slot >= 0:
        t.open[slot] = t.count if coupled else -1
    if coupled:
        train.size, train.header, train.l4 = car.payload, car.header, car.l4
        train.next, train.ends = car.sequence + <uint32_t> car.payload, car.at[car.l4 + 13] & FIN_PSH
    t.count += 1


cdef int lead(const Trains* t, const Train* train, Columns* b, Vnet* vnet, uint8_t* headers) noexcept nogil:
    cdef int i = t.rows[train.first], n = train.length - train.l4, addresses = 8 if train.l4 == 20 else 32
    cdef uint8_t* tcp = headers + train.l4
    memcpy(headers, row(b, i) + b.inner_start[i], train.header)
    vnet.flags, vnet.kind = VNET_NEEDS_CHECKSUM, VNET_TCP4 if train.l4 == 20 else VNET_TCP6
    vnet.header, vnet.size = train.header, train.size
    vnet.checksum_start, vnet.checksum_offset = train.l4, 16
    if train.l4 == 20:
        store_be16(headers + 2, <uint16_t> train.length)
        store_be16(headers + 10, 0)
        store_be16(headers + 10, fold(add(headers, 20, 0)))
    else:
        store_be16(headers + 4, <uint16_t> (train.length - 40))
    tcp[13] |= train.ends
    # Undone as the kernel wants it: the sum of the pseudo header, not its complement.
    store_be16(tcp + 16, <uint16_t> ~fold(add(tcp - addresses, addresses, TCP + n)))
    return train.header


def join_rows(PacketBatch batch not None, rows):
    """Couple the live ones of rows by their inner packets, as a TUN queue is given them.

    Args:
        rows: uint16[n], at most 256 rows in use, in the order in which they are to leave.
    Returns:
        A list of (rows, header, packet): which rows a packet holds, struct virtio_net_hdr, and its bytes.
    Raises:
        ValueError: a row is not in use, or there are too many.
    """
    cdef const uint16_t[::1] view = rows_in_use(rows, "rows", &batch.columns.count)
    cdef int n = <int> view.shape[0]
    cdef Columns* b = &batch.columns
    cdef Trains* t
    if n > TRAIN_ROWS:
        raise ValueError(f"rows must be at most {TRAIN_ROWS}, not {n}")
    t = <Trains*> malloc(sizeof(Trains))
    if t == NULL:
        raise MemoryError()
    try:
        t.count = 0
        if n:
            couple(t, b, &view[0], n, True)
        return [joined(batch, t, &t.trains[k]) for k in range(t.count)]
    finally:
        free(t)


cdef tuple joined(PacketBatch batch, Trains* t, Train* train):
    """One packet as join_rows tells it."""
    cdef Columns* b = &batch.columns
    cdef uint8_t[HEADERS_MAX] headers
    cdef Vnet vnet
    cdef int _, i, at = train.first, size = 0
    no_vnet(&vnet)
    if train.packets > 1:
        size = lead(t, train, b, &vnet, headers)
    packet, members = bytes(headers[:size]), []
    for _ in range(train.packets):
        i = t.rows[at]
        members.append(i)
        packet += (<const uint8_t*> row(b, i))[b.inner_start[i] + size:b.inner_start[i] + b.inner_length[i]]
        at = t.after[at]
    return members, bytes((<const uint8_t*> &vnet)[:VNET_BYTES]), packet
