"""Identifications: the IPv4 identification of packets whose source address is ours for many.

Journey: after the source address was rewritten, before what is too large is cut. Two workloads behind one address may choose the
same number towards the same place at the same time, and their fragments would be put together to one datagram that neither has
sent (RFC 4963). So what may be in fragments, or become so, gets a number of ours: a counter per source, destination and
protocol, as RFC 6864 §5.3 wants of middleboxes. Atomic packets (DF, no fragment) keep theirs, which nobody may look at (§4.1).
The counters are a fixed number; a keyed hash says whose is which, and who shares one only uses it up sooner. Fragments of one
datagram get one number: fastpath.fragments keeps it. One thread. What an ICMP error quotes is not translated back.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t
from libc.string cimport memcpy, memset

from fastpath.arguments cimport int32s, same_size, uint16s
from fastpath.batch cimport Columns, PacketBatch, row
from fastpath.checksum cimport update16
from fastpath.flowkey cimport FlowKey, hash_key, set_secret
from fastpath.fragments cimport FragmentTable
from fastpath.packet cimport parsed_rows
from fastpath.wire cimport load_be16, store_be16

import os

cdef enum:
    DONT_FRAGMENT = 0x4000
    NOT_RESERVED = 0x7FFF       # DF, MF and the offset


@cython.final
cdef class Identifications:
    """Counters of identifications, each beginning somewhere.

    Args:
        seed: 32 secret bytes: whose counter is which.
    Raises:
        ValueError: seed is not 32 bytes.
    """

    def __cinit__(self, *, seed):
        set_secret(&self.secret, seed, "seed")
        cdef bytes begun = os.urandom(sizeof(self.counters))
        memcpy(self.counters, <const uint8_t*> begun, sizeof(self.counters))

    cdef void renew(self, uint8_t* ip_packet, uint16_t* kept) noexcept nogil:
        cdef uint16_t made
        if load_be16(ip_packet + 6) & NOT_RESERVED == DONT_FRAGMENT:
            return
        made = self._next(ip_packet) if kept == NULL or kept[0] == 0 else kept[0]
        if kept != NULL:
            kept[0] = made
        store_be16(ip_packet + 10, update16(load_be16(ip_packet + 10), load_be16(ip_packet + 4), made))
        store_be16(ip_packet + 4, made)

    cdef uint16_t _next(self, const uint8_t* ip_packet) noexcept nogil:
        cdef FlowKey key
        cdef uint16_t* counter
        memset(&key, 0, sizeof(FlowKey))
        memcpy(key.fields.a_address, ip_packet + 12, 8)      # source and destination
        key.fields.protocol = ip_packet[9]
        counter = &self.counters[hash_key(&key, &self.secret) % IDENTIFICATION_COUNTERS]
        counter[0] += 1
        counter[0] += counter[0] == 0                        # 0 says that there is none yet
        return counter[0]

    def renew_rows(self, PacketBatch batch not None, rows, FragmentTable fragments not None, datagrams):
        """Give the inner IPv4 packet of each row another identification, unless it is atomic.

        Args:
            rows: uint16[n], rows of the batch in use, parsed, their source address rewritten; dead ones are passed over.
            datagrams: int32[n], the number that `fragments` gave the row's datagram; -1 = it is no fragment.
        Raises:
            ValueError: a row is not in use, a number is no datagram, or the sizes differ.
        """
        cdef Columns* b = &batch.columns
        cdef const uint16_t[::1] of_rows = uint16s(rows, "rows")
        cdef const int32_t[::1] numbers = int32s(datagrams, "datagrams")
        cdef int k, i
        same_size(numbers.shape[0], "datagrams", of_rows.shape[0], "rows")
        parsed_rows(b, of_rows, "rows")
        for k in range(of_rows.shape[0]):
            if not -1 <= numbers[k] < fragments.capacity:
                raise ValueError(f"datagrams must be -1 or numbers of the table, below {fragments.capacity}, not {numbers[k]}")
        with nogil:
            for k in range(of_rows.shape[0]):
                i = of_rows[k]
                if b.reason[i] == 0 and b.ip_version[i] == 4:
                    self.renew(row(b, i) + b.inner_start[i],
                               &fragments.datagrams[numbers[k]].identification if numbers[k] >= 0 else NULL)
