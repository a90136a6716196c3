"""DomainMap: values of domain names and of `*.` patterns; a name has that of the most specific it matches.

Journey: fastpath.classify asks it, once a name, which patterns of the rules and which category lists the name falls under.
`*.example.com` is every name below example.com, at any depth, and not example.com itself. Names are lower case without the
final dot; only bytes are compared. One writer; readers only when nobody writes. It knows nothing of rules.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from fastpath.arguments cimport apart, encoded, integer, uint8s, uint64, writable32
from fastpath.memory cimport prefetch
from fastpath.turn cimport check_turn

import numpy as np

cdef enum:
    SLOTS_FIRST = 1024
    TEXTS_FIRST = 16384
    LABELS_MAX = 256


cdef inline uint64_t step(uint64_t h, uint8_t byte) noexcept nogil:
    return (h ^ byte) * <uint64_t> 0x9E3779B97F4A7C15


cdef inline uint64_t stirred(uint64_t h) noexcept nogil:
    h = (h ^ h >> 32) * <uint64_t> 0xD6E8FEB86659FD93
    return h ^ h >> 29


cdef uint64_t hash_name(uint64_t seed, const uint8_t* name, int length) noexcept nogil:
    cdef int i
    for i in range(length - 1, -1, -1):
        seed = step(seed, name[i])
    return stirred(seed)


cdef inline Domain* probe(const DomainTable* table, const uint8_t* name, int length, uint64_t h) noexcept nogil:
    """The slot of a domain, or the empty one where it would be."""
    cdef uint32_t at = <uint32_t> (h >> 32)
    cdef Domain* slot
    while True:
        slot = &table.slots[at & table.mask]
        if slot.text == 0:
            return slot
        if slot.tag == <uint32_t> h and table.texts[slot.text] == length and \
                memcmp(table.texts + slot.text + 1, name, length) == 0:
            return slot
        at += 1


cdef int open_domains(DomainTable* table, uint64_t seed) noexcept nogil:
    memset(table, 0, sizeof(DomainTable))
    table.mask, table.seed = SLOTS_FIRST - 1, seed
    table.texts_used, table.texts_room = 1, TEXTS_FIRST
    table.slots = <Domain*> calloc(SLOTS_FIRST, sizeof(Domain))
    table.texts = <uint8_t*> malloc(TEXTS_FIRST)
    return 0 if table.slots != NULL and table.texts != NULL else -1


cdef void close_domains(DomainTable* table) noexcept nogil:
    free(table.slots)
    free(table.texts)
    table.slots, table.texts = NULL, NULL


cdef int widen(DomainTable* table) noexcept nogil:
    """Twice the slots."""
    cdef uint32_t mask = 2 * table.mask + 1
    cdef Domain* old = table.slots
    cdef uint32_t i, count = table.mask + 1
    cdef uint64_t h
    cdef Domain* slots = <Domain*> calloc(<size_t> mask + 1, sizeof(Domain)) if mask > table.mask else NULL
    if slots == NULL:
        return -1
    table.slots, table.mask = slots, mask
    for i in range(count):
        if old[i].text:
            h = hash_name(table.seed, table.texts + old[i].text + 1, table.texts[old[i].text])
            probe(table, table.texts + old[i].text + 1, table.texts[old[i].text], h)[0] = old[i]
    free(old)
    return 0


cdef Domain* domain_slot(DomainTable* table, const uint8_t* name, int length) noexcept nogil:
    cdef uint64_t h = hash_name(table.seed, name, length)
    cdef uint8_t* texts
    cdef Domain* slot = probe(table, name, length, h)
    if slot.text:
        return slot
    if 4 * <uint64_t> table.used > 3 * <uint64_t> table.mask:
        if widen(table) < 0:
            return NULL
        slot = probe(table, name, length, h)
    if table.texts_used + NAME_MAX + 1 > table.texts_room:
        if 2 * table.texts_room > <uint64_t> 0xFFFFFFFF:
            return NULL
        texts = <uint8_t*> realloc(table.texts, 2 * table.texts_room)
        if texts == NULL:
            return NULL
        table.texts, table.texts_room = texts, 2 * table.texts_room
    slot.tag, slot.text, slot.exact, slot.below = <uint32_t> h, <uint32_t> table.texts_used, UNSET, UNSET
    table.texts[table.texts_used] = <uint8_t> length
    memcpy(table.texts + table.texts_used + 1, name, length)
    table.texts_used += length + 1
    table.used += 1
    return slot


cdef uint32_t find_domain(const DomainTable* table, const uint8_t* name, int length) noexcept nogil:
    cdef uint64_t[LABELS_MAX] hashes
    cdef uint8_t[LABELS_MAX] begins
    cdef uint64_t h = table.seed
    cdef uint32_t found
    cdef int i, n = 0
    if not 0 < length <= NAME_MAX:
        return UNSET
    for i in range(length - 1, -1, -1):
        if name[i] == c".":
            hashes[n], begins[n] = stirred(h), <uint8_t> (i + 1)
            prefetch(&table.slots[<uint32_t> (hashes[n] >> 32) & table.mask])
            n += 1
        h = step(h, name[i])
    found = probe_value(table, name, length, stirred(h), 1)
    while found == UNSET and n:
        n -= 1
        found = probe_value(table, name + begins[n], length - begins[n], hashes[n], 0)
    return found


cdef inline uint32_t probe_value(const DomainTable* table, const uint8_t* name, int length, uint64_t h,
                                 bint exact) noexcept nogil:
    cdef const Domain* slot = probe(table, name, length, h)
    if slot.text == 0:
        return UNSET
    return slot.exact if exact else slot.below


cdef uint32_t next_above(const DomainTable* table, const uint8_t* name, int length, int* at) noexcept nogil:
    cdef uint32_t found
    while at[0] < length:
        if name[at[0]] == c".":
            at[0] += 1
            found = probe_value(table, name + at[0], length - at[0], hash_name(table.seed, name + at[0], length - at[0]), 0)
            if found != UNSET:
                return found
        else:
            at[0] += 1
    return UNSET


@cython.final
cdef class DomainMap:
    """An empty map.

    Args:
        seed: of the hash; names that strangers choose should meet one that they do not know.
    Raises:
        MemoryError: no memory.
    """

    def __cinit__(self, seed=0):
        if open_domains(&self.table, uint64(seed, "seed")) < 0:
            raise MemoryError("no memory for domains")

    def __dealloc__(self):
        close_domains(&self.table)

    def __len__(self):
        """Domains that have a value, a name and the wildcard under it counted once."""
        return self.table.used

    cdef uint32_t find(self, const uint8_t* name, int length) noexcept nogil:
        return find_domain(&self.table, name, length)

    cdef int _set(self, const uint8_t* name, int length, uint32_t value, bint exact, bint below) except -1:
        cdef Domain* slot = domain_slot(&self.table, name, length)
        if slot == NULL:
            raise MemoryError("no memory for another domain")
        if exact:
            slot.exact = value
        if below:
            slot.below = value
        return 0

    def set(self, pattern, value):
        """Give a name, or a `*.` pattern, a value; the newest counts.

        Raises:
            ValueError: the pattern is empty or longer than 255 bytes, or the value is 2**32 - 1.
            MemoryError: no memory.
        """
        cdef bytes text = encoded(pattern, "pattern")
        cdef uint32_t number = <uint32_t> integer(value, "value", 0, UNSET - 1)
        cdef bint below = text.startswith(b"*.")
        if below:
            text = text[2:]
        if not 0 < len(text) <= NAME_MAX:
            raise ValueError(f"pattern must have 1 to {NAME_MAX} bytes, not {len(text)}")
        check_turn(&self._readers, "DomainMap")
        self._set(text, <int> len(text), number, not below, below)

    def get(self, name):
        """Return the value of the most specific entry that a name matches, or None."""
        cdef bytes text = encoded(name, "name")
        cdef uint32_t value = self.find(text, <int> min(len(text), NAME_MAX + 1))
        return None if value == UNSET else value

    def get_many(self, names, out, default=0):
        """Write the value of each of many names, or the default.

        Args:
            names: they, each ended by a line feed.
            out: uint32[≥ names], written.
        Returns:
            Names there were.
        Raises:
            ValueError: out is too short, or the last name has no end; nothing is written.
        """
        cdef const uint8_t[::1] text = uint8s(names, "names")
        cdef uint32_t[::1] found = writable32(out, "out")
        cdef uint32_t value, missing = <uint32_t> integer(default, "default", 0, UNSET)
        cdef Py_ssize_t i, begin = 0, n = 0, size = text.shape[0]
        if size and text[size - 1] != c"\n":
            raise ValueError("names must end with a line feed")
        for i in range(size):
            n += text[i] == c"\n"
        if n > found.shape[0]:
            raise ValueError(f"out must have an element for each of {n} names, not {found.shape[0]}")
        if n == 0:
            return 0
        apart(&found[0], 4 * <size_t> n, "out", &text[0], size, "names")
        n = 0
        self._readers += 1
        with nogil:
            for i in range(size):
                if text[i] == c"\n":
                    value = self.find(&text[begin], <int> min(i - begin, NAME_MAX + 1))
                    found[n] = missing if value == UNSET else value
                    n += 1
                    begin = i + 1
        self._readers -= 1
        return n

    @property
    def nbytes(self):
        """Bytes of memory it holds."""
        return (<uint64_t> self.table.mask + 1) * sizeof(Domain) + self.table.texts_room
