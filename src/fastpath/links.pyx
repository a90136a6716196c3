"""Links: the sessions that an internet edge has with connectors, as its carrier sees them.

Journey: whose session a datagram is, and by which one a packet to a flow goes, which remembers a number. Handshakes, successors
and ends are the control plane's; it adds and removes, and says what changes: the size of a path, and that flows go elsewhere.
A number is given once. One thread. It seals and sends nothing.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastpath.arguments cimport SHORT_MAX, WORD_MAX, integer, uint64
from fastpath.buckets cimport add_slot, close_buckets, drop_slot, find_key, open_buckets
from fastpath.dtls cimport Session
from fastpath.flowkey cimport FlowKey, hash_key, set_secret
from fastpath.memory cimport give_pages, take_pages
from fastpath.stream cimport Stream
from fastpath.wire cimport store_be32


@cython.final
cdef class Link:
    """One session; Links.add makes it.

    Args:
        record: dtls.Session, or stream.Stream.
    """

    def __cinit__(self, record=None, owner=None):
        if isinstance(record, Session):
            self.session = <void*> record
        elif isinstance(record, Stream):
            self.stream = <void*> record
        else:
            raise TypeError(f"record must be a Session or a Stream, not {type(record).__name__}")
        self.record, self.owner = record, owner


@cython.final
cdef class Links:
    """At most `capacity` sessions.

    Args:
        capacity: 1 … 65,536.
        secret: 32 secret bytes: where which address lies.
    Raises:
        ValueError: an argument out of range. MemoryError.
    """

    def __cinit__(self, capacity, secret):
        cdef uint32_t places = 2
        self.capacity = <int> integer(capacity, "capacity", 1, LINKS_MAX)
        set_secret(&self._secret, secret, "secret")
        while places < 2 * <uint32_t> self.capacity:       # a number whose place is taken is passed over: few are
            places *= 2
        self._mask, self._held = places - 1, {}
        self._places = <LinkPlace*> take_pages(places, sizeof(LinkPlace))
        if self._places is NULL or not open_buckets(&self._index, places, self._places, sizeof(LinkPlace)):
            raise MemoryError(f"no memory for {capacity} links")

    def __dealloc__(self):
        if self._places is not NULL:
            close_buckets(&self._index)
            give_pages(self._places, self._mask + 1, sizeof(LinkPlace))

    def __len__(self):
        return len(self._held)

    def __iter__(self):
        """Iterate over those that are there now, oldest first."""
        return iter(list(self._held.values()))

    def add(self, record, owner, address, port, now_ns):
        """Take a session in; return its Link, with a larger number than all before.

        Args:
            record: dtls.Session or stream.Stream.
            owner: whatever at() and get() are to be answered with.
            address, port: where its datagrams come from, an IPv4 address as a number; of a Stream 0 and 0.
            now_ns: when something was last heard of it.
        Raises:
            ValueError: the address is another's, or there are as many as may be.
        """
        cdef Link link = Link(record, owner)
        cdef uint32_t at = <uint32_t> integer(address, "address", 0, WORD_MAX)
        cdef uint16_t behind = <uint16_t> integer(port, "port", 0, SHORT_MAX)
        cdef LinkPlace* place
        link.last_ns = uint64(now_ns, "now_ns")
        if (behind == 0) != (link.stream is not NULL):
            raise ValueError(f"port must be 0 of a Stream, and of no other, not {port}")
        if behind and self.find(at, behind) is not NULL:
            raise ValueError(f"address and port must be nobody's, which {address} and {port} are not")
        if len(self._held) >= self.capacity:
            raise ValueError(f"capacity must be above {self.capacity} for one more")
        self._last += 1
        while self._places[self._last & self._mask].link is not NULL:
            self._last += 1
        place = &self._places[self._last & self._mask]
        link.number, link.port, link.address = self._last, behind, at if behind else self._last
        place.hash = self._key_of(&place.key, link.address, link.port)
        if not add_slot(&self._index, place.hash, <int> (self._last & self._mask)):
            raise MemoryError("no memory for one more link")
        place.link = <void*> link
        self._held[link.number] = link
        return link

    def remove(self, Link link not None):
        """Forget a session; its number is nobody's from now on. Return whether it was here."""
        cdef LinkPlace* place = &self._places[link.number & self._mask]
        if place.link is not <void*> link:
            return False
        drop_slot(&self._index, place.hash, <int> (link.number & self._mask))
        place.link = NULL
        del self._held[link.number]
        return True

    def at(self, address, port):
        """Return the owner of the session that datagrams from an address belong to, or None."""
        cdef void* found = self.find(<uint32_t> integer(address, "address", 0, WORD_MAX),
                                     <uint16_t> integer(port, "port", 0, SHORT_MAX))
        return (<Link> found).owner if found is not NULL else None

    def get(self, number):
        """Return the owner of a number, or None."""
        cdef void* found = self.numbered(<uint32_t> integer(number, "number", 0, WORD_MAX))
        return (<Link> found).owner if found is not NULL else None

    cdef void* find(self, uint32_t address, uint16_t port) noexcept nogil:
        cdef FlowKey key
        cdef uint64_t hash
        cdef int place
        if port == 0:
            return self.numbered(address)
        hash = self._key_of(&key, address, port)
        place = find_key(&self._index, hash, key.words)
        return self._places[place].link if place >= 0 else NULL

    cdef void* numbered(self, uint32_t number) noexcept nogil:
        cdef void* found = self._places[number & self._mask].link
        return found if found is not NULL and (<Link> found).number == number else NULL

    cdef uint64_t _key_of(self, FlowKey* key, uint32_t address, uint16_t port) noexcept nogil:
        memset(key, 0, sizeof(FlowKey))
        store_be32(key.fields.a_address, address)
        key.fields.a_port = port
        return hash_key(key, &self._secret)
