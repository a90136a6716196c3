"""OwnedNames: DNS queries for names that have a synthetic address, answered without asking anybody.

Journey: a workload's UDP packet to port 53, after packet.parse; the answer takes the query's place in its row and leaves for
GWLB under the same Geneve header. Who may know a name, and what rules say of it, is decided by the control plane, which
teaches a name here only when every query for it in that namespace, or from that location of it where locations have pools of
their own, gets this answer; what is not here is punted to it.

    A                    the address
    AXFR, IXFR           not here: the control plane refuses them
    any other type       NOERROR without data, SOA, extended error 4 (RFC 8914), as zcc.dns.answers says it
    EDNS above 0, class other than IN, anything broken: not here

One thread. Bounded: eight places a name, by a keyed hash; no clock, the time is an argument. Answers are built by
fastpath.dns. Source: RFC 1035 §4.1, RFC 768, RFC 791, RFC 8200 §8.1.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpath.action cimport FRAGMENT_NONE
from fastpath.arguments cimport SHORT_MAX, WORD_MAX, encoded, integer, ipv4, uint64
from fastpath.batch cimport Columns, PacketBatch, row
from fastpath.checksum cimport add, fold
from fastpath.dns cimport DNS_NO_ERROR_TEXT, DNS_OK, Answer, Query, parse_query, write_answer
from fastpath.flowkey cimport HashKey, set_secret
from fastpath.flowkey cimport fold as mix
from fastpath.memory cimport give_pages, take_pages
from fastpath.packet cimport all_parsed
from fastpath.wire cimport load_be16, load_be32, store_be16, store_be32

import ipaddress

cdef enum:
    CAPACITY_MAX = 1 << 22
    UDP = 17
    DNS_PORT = 53
    UDP_BYTES = 8
    CLASS_IN = 1
    TYPE_A = 1, TYPE_IXFR = 251, TYPE_AXFR = 252
    FORGED_ANSWER = 4        # RFC 8914 §4.5
    ANSWER_MAX = 1232        # DNS flag day 2020
    HOPS = 64


@cython.final
cdef class OwnedNames:
    """Up to `capacity` names.

    Args:
        capacity: 8 … 2**22, rounded up to a power of two; 284 bytes each, taken from the system as they fill.
        secret: 32 bytes for the hash.
        text: why a name has no record but A, for the extended error; at most 255 bytes of UTF-8.
        by_location: tell locations apart; else their numbers are ignored.
    Raises:
        ValueError: capacity, secret or text is out of range.
        MemoryError: no memory.
    """

    def __cinit__(self, capacity, secret, text="", bint by_location=False):
        cdef uint32_t wanted = <uint32_t> integer(capacity, "capacity", OWNED_WAYS, CAPACITY_MAX)
        cdef bytes said = encoded(text, "text")
        if len(said) > 255:
            raise ValueError(f"text must be at most 255 bytes, not {len(said)}")
        set_secret(&self.secret, secret, "secret")
        memcpy(self.text, <const uint8_t*> said, len(said))
        self.text_bytes = len(said)
        self.location_mask = 0xFFFFFFFF if by_location else 0
        self.sets = 1
        while self.sets * OWNED_WAYS < wanted:
            self.sets *= 2
        self.capacity = self.sets * OWNED_WAYS
        self.tags = <uint32_t*> take_pages(self.capacity, sizeof(uint32_t))
        self.names = <OwnedName*> take_pages(self.capacity, sizeof(OwnedName))
        if self.tags == NULL or self.names == NULL:
            raise MemoryError(f"no memory for {capacity} names")

    def __dealloc__(self):
        give_pages(self.tags, self.capacity, sizeof(uint32_t))
        give_pages(self.names, self.capacity, sizeof(OwnedName))

    cdef uint64_t _hash(self, uint16_t namespace, uint32_t location, const uint8_t* name, int length) noexcept nogil:
        # As flowkey.hash_key: a secret word in every factor. Names come from whoever asks, so the hash must be keyed.
        cdef uint64_t h = self.secret.words[0] ^ namespace ^ <uint64_t> length << 16 ^ <uint64_t> location << 32
        cdef uint64_t words[2]
        cdef int at = 0
        while at < length:
            words[0] = words[1] = 0
            memcpy(words, name + at, min(16, length - at))
            h = mix(h ^ words[0] ^ self.secret.words[1], words[1] ^ self.secret.words[2])
            at += 16
        return mix(h ^ self.secret.words[3], self.secret.words[1])

    cdef const OwnedName* find(self, uint16_t namespace, uint32_t location, const uint8_t* name, int length,
                               uint64_t now_ns) noexcept nogil:
        cdef uint32_t where = location & self.location_mask
        cdef uint64_t h = self._hash(namespace, where, name, length)
        cdef uint32_t at = (<uint32_t> h & (self.sets - 1)) * OWNED_WAYS, tag = <uint32_t> (h >> 32)
        cdef OwnedName* found
        cdef int way
        for way in range(OWNED_WAYS):
            if self.tags[at + way] == tag:
                found = &self.names[at + way]
                if found.until_ns > now_ns and found.namespace == namespace and found.location == where \
                        and found.length == length and memcmp(found.name, name, length) == 0:
                    return found
        return NULL

    cdef void learn(self, uint16_t namespace, uint32_t location, const uint8_t* name, int length, uint32_t address,
                    uint32_t ttl, uint64_t until_ns) noexcept nogil:
        cdef uint32_t where = location & self.location_mask
        cdef uint64_t h = self._hash(namespace, where, name, length)
        cdef uint32_t at = (<uint32_t> h & (self.sets - 1)) * OWNED_WAYS, place = at
        cdef OwnedName* one
        cdef int way
        if not 1 <= length <= 255:
            return
        for way in range(OWNED_WAYS):
            one = &self.names[at + way]
            if one.namespace == namespace and one.location == where and one.length == length \
                    and memcmp(one.name, name, length) == 0:
                place = at + way
                break
            if one.until_ns < self.names[place].until_ns:
                place = at + way
        one = &self.names[place]
        one.until_ns, one.address, one.ttl, one.namespace, one.location = until_ns, address, ttl, namespace, where
        one.length = length
        memcpy(one.name, name, length)
        self.tags[place] = <uint32_t> (h >> 32)

    cdef void forget(self, uint16_t namespace, uint32_t location, const uint8_t* name, int length) noexcept nogil:
        cdef OwnedName* found
        if length == 0:
            memset(self.names, 0, <size_t> self.capacity * sizeof(OwnedName))
            return
        found = <OwnedName*> self.find(namespace, location, name, length, 0)
        if found != NULL:
            memset(found, 0, sizeof(OwnedName))

    cdef bint answer(self, Columns* b, int i, uint32_t location, uint64_t now_ns) noexcept nogil:
        cdef uint8_t[OWNED_ROOM] out
        cdef uint8_t* udp = row(b, i) + b.l4_start[i]
        cdef int header = b.l4_start[i] - b.inner_start[i], size = load_be16(udp + 4) - UDP_BYTES
        if b.fragment[i] != FRAGMENT_NONE or header != (20 if b.ip_version[i] == 4 else 40):
            return False
        if size <= 0 or header + UDP_BYTES + size > b.inner_length[i]:
            return False
        size = self.reply(b.namespace[i], location, udp + UDP_BYTES, size, now_ns, out)
        if size <= 0 or b.l4_start[i] + UDP_BYTES + size > b.room:
            return False
        memcpy(udp + UDP_BYTES, out, size)
        turn_round(b, i, UDP_BYTES + size)
        return True

    cdef int reply(self, uint16_t namespace, uint32_t location, const uint8_t* message, int n, uint64_t now_ns,
                   uint8_t* out) noexcept nogil:
        cdef Query query
        cdef Answer a
        cdef uint8_t[4] address
        cdef const OwnedName* name
        if parse_query(message, n, &query) != DNS_OK or query.klass != CLASS_IN:
            return 0
        if query.type == TYPE_AXFR or query.type == TYPE_IXFR or not is_plain(message, &query):
            return 0
        name = self.find(namespace, location, query.name, query.name_length, now_ns)
        if name == NULL:
            return 0
        store_be32(address, name.address)
        memset(&a, 0, sizeof(Answer))
        a.ttl, a.limit, a.extended_error = name.ttl, ANSWER_MAX, DNS_NO_ERROR_TEXT
        if query.type == TYPE_A:
            a.type, a.data, a.data_length = TYPE_A, address, 4
        else:
            a.extended_error, a.text, a.text_length = FORGED_ANSWER, self.text, self.text_bytes
        return write_answer(message, &query, &a, out, OWNED_ROOM)

    def learn_one(self, namespace, bytes name not None, address, ttl, until_ns, location=0):
        """Answer queries for a name until `until_ns`, in a namespace.

        Args:
            namespace: 0 … 65,535. name: wire form, lower case, root label included, at most 255 bytes.
            address: IPv4Address. ttl: seconds, of answers. until_ns: of the clock that answer_batch is told.
            location: number of the clients' location.
        Raises:
            ValueError: one of them is out of range.
        """
        cdef uint16_t space = checked_space(namespace, name)
        self.learn(space, place_of(location), name, <int> len(name), ipv4(address, "address"), <uint32_t> integer(ttl, "ttl", 0, WORD_MAX),
                   uint64(until_ns, "until_ns"))

    def forget_one(self, namespace, bytes name not None, location=0):
        """Answer no more queries for a name; nothing happens when it is not there.

        Raises:
            ValueError: namespace or name is out of range.
        """
        self.forget(checked_space(namespace, name), place_of(location), name, <int> len(name))

    def find_one(self, namespace, bytes name not None, now_ns, location=0):
        """Return (address, ttl) of a name, or None.

        Raises:
            ValueError: namespace or name is out of range.
        """
        cdef uint16_t space = checked_space(namespace, name)
        cdef const OwnedName* found = self.find(space, place_of(location), name, <int> len(name),
                                               uint64(now_ns, "now_ns"))
        return None if found == NULL else (ipaddress.IPv4Address(found.address), found.ttl)

    def answer_batch(self, PacketBatch batch not None, now_ns, location=0):
        """Turn every live row that is a query for a name of ours, UDP to port 53, into its answer; needs packet.parse_batch
        and `namespace`.

        Returns:
            uint8 list, 1 for rows that are answers now.
        """
        cdef Columns* b = &batch.columns
        cdef uint64_t now = uint64(now_ns, "now_ns")
        cdef uint32_t at = place_of(location)
        cdef int i
        all_parsed(b)
        out = []
        for i in range(b.count):
            asked = b.reason[i] == 0 and b.protocol[i] == UDP and b.destination_port[i] == DNS_PORT
            out.append(int(asked and self.answer(b, i, at, now)))
        return out


cdef uint32_t place_of(object location) except? WORD_MAX:
    return <uint32_t> integer(location, "location", 0, WORD_MAX)


cdef int checked_space(object namespace, bytes name) except -1:
    if not 1 <= len(name) <= 255:
        raise ValueError(f"name must be 1 to 255 bytes, not {len(name)}")
    return <int> integer(namespace, "namespace", 0, SHORT_MAX)


cdef bint is_plain(const uint8_t* message, const Query* query) noexcept nogil:
    """A question and at most an OPT record of version 0, as every client sends it; the rest needs thought."""
    return load_be32(message + 6) == 0 and load_be16(message + 10) == query.has_opt and not (query.has_opt and query.edns_version)


cdef void turn_round(Columns* b, int i, int length) noexcept nogil:
    """Send row i back where it came from: a UDP datagram of `length` bytes with its header, checksums new."""
    cdef uint8_t* ip = row(b, i) + b.inner_start[i]
    cdef uint8_t* udp = row(b, i) + b.l4_start[i]
    cdef uint8_t[16] address
    cdef bint four = b.ip_version[i] == 4
    cdef int n = 4 if four else 16, at = 12 if four else 8
    cdef uint16_t port = load_be16(udp), checksum
    memcpy(address, ip + at, n)
    memcpy(ip + at, ip + at + n, n)
    memcpy(ip + at + n, address, n)
    store_be16(udp, load_be16(udp + 2))
    store_be16(udp + 2, port)
    store_be16(udp + 4, length)
    store_be16(udp + 6, 0)
    checksum = fold(add(udp, length, add(ip + at, 2 * n, UDP + length)))
    store_be16(udp + 6, checksum if checksum else 0xFFFF)     # RFC 768: 0 means none
    if four:
        ip[1] = 0
        store_be16(ip + 2, 20 + length)
        memset(ip + 4, 0, 8)                                  # identification, fragment, then TTL, protocol, checksum
        ip[6], ip[8], ip[9] = 0x40, HOPS, UDP                 # DF: an atomic datagram needs no identification (RFC 6864 §4)
        store_be16(ip + 10, fold(add(ip, 20, 0)))
    else:
        store_be32(ip, <uint32_t> 6 << 28)
        store_be16(ip + 4, length)
        ip[7] = HOPS
    b.inner_length[i] = b.l4_start[i] - b.inner_start[i] + length
    b.length[i] = b.inner_start[i] + b.inner_length[i] - b.start[i]
