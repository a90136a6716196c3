"""AskerTable: how often each source may ask the control plane, so that one of them does not take all of it.

Journey: before a packet that has no flow is handed over: a DNS query that is not answered here, a synthetic address that nobody
here knows. A source is a namespace and an address. Each has `rate` a second, a second's worth at once. The table's size is fixed
and a question costs one cache line, whoever asks: a keyed hash gives a source a group of four places, and who has not asked
lately needs none. Where four neighbours are all in debt, a fifth takes over the place and the debt of the one that owes least:
so no choice of addresses gets more than all places together may ask, and it takes all of them to hurt a stranger. One thread.
No clock: the time is an argument.

Source: Metwally, Agrawal, El Abbadi, ICDT 2005 (the least count is inherited); ITU-T I.371 (the bucket).
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath.arguments cimport SHORT_MAX, integer, octets_of, uint64
from fastpath.flowkey cimport FlowKey, hash_key, set_secret
from fastpath.memory cimport give_pages, take_pages
from fastpath.tokens cimport take_token

cdef enum:
    GROUP = 4                # places of 16 bytes: a cache line
    GROUPS = 2048
    RATE_MAX = 1_000_000


@cython.final
cdef class AskerTable:
    """Sources that have asked lately.

    Args:
        rate: what each may ask a second, and at once; 0 … 1,000,000, 0 = without a bound.
        seed: 32 secret bytes, so that nobody can aim at the places of another.
    Raises:
        ValueError: rate or seed is out of range.
        MemoryError: no memory.
    """

    def __cinit__(self, rate=250, *, seed):
        self.rate = <int> integer(rate, "rate", 0, RATE_MAX)
        self.each_ns = 1_000_000_000 // self.rate if self.rate else 0
        set_secret(&self.secret, seed, "seed")
        self.slots = <Asker*> take_pages(GROUP * GROUPS, sizeof(Asker))
        if self.slots == NULL:
            raise MemoryError()

    def __dealloc__(self):
        give_pages(self.slots, GROUP * GROUPS, sizeof(Asker))

    cdef bint take(self, uint16_t namespace, const uint8_t* source, uint64_t now_ns) noexcept nogil:
        cdef FlowKey key
        cdef Asker* place
        cdef Asker* least
        cdef uint64_t hash
        cdef int k
        if self.rate == 0:
            return True
        memset(&key, 0, sizeof(FlowKey))
        memcpy(key.fields.a_address, source, 16)
        key.fields.namespace = namespace
        hash = hash_key(&key, &self.secret)
        place = least = &self.slots[GROUP * (hash & (GROUPS - 1))]
        for k in range(GROUP):
            if place[k].hash == hash:
                return take_token(&place[k].full_ns, now_ns, self.each_ns, self.rate)
            if place[k].full_ns < least.full_ns:
                least = &place[k]
        least.hash = hash
        return take_token(&least.full_ns, now_ns, self.each_ns, self.rate)

    def ask(self, namespace, source, now_ns):
        """Take one of what a source may ask now; False: it has asked too often.

        Args:
            source: 16 bytes, IPv4 mapped.
            now_ns: any clock that never goes back.
        Raises:
            ValueError: source is not 16 bytes, or a number is out of range.
        """
        cdef bytes packed = octets_of(source, "source", 16)
        return bool(self.take(<uint16_t> integer(namespace, "namespace", 0, SHORT_MAX), packed, uint64(now_ns, "now_ns")))
