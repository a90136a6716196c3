"""RuleTables: the rows of bits of a rule set, and the tables that find a packet's rows.

Journey: the inside of fastpath.classify.RuleSet: made once from checked criteria, then read for each first packet. A criterion
that no clause uses has no row and costs nothing. Immutable, but for words of names, which are stored whole (8 bytes,
release). It does not decide.
"""

cimport cython
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.action cimport FRAGMENT_LATER
from fastpath.bitmaps cimport BitmapBook
from fastpath.domains cimport NAME_MAX, UNSET, DomainMap
from fastpath.lpm cimport Lpm4, Lpm6
from fastpath.memory cimport load_word, prefetch
from fastpath.naming cimport naming_of, number_of
from fastpath.rows cimport (age_rows, label_rows, pattern_rows, port_rows, prefix_rows, protocol_rows, split_ranges)
from fastpath.wire cimport load_be32
from fastpath.workloads cimport AGE_UNKNOWN, Workload, Workloads

import numpy as np

from fastpath.criteria import Ranges

cdef enum:
    TCP = 6
    UDP = 17
    PORTS = 65536


cdef void* pointer(object array):
    return <void*> <size_t> array.ctypes.data


cdef int done(int64_t outcome) except -1:
    if outcome < 0:
        raise MemoryError("no memory for the rows of these criteria; they may take 1 GiB")
    return 0


cdef tuple grouped(clause, group, int groups):
    """Clauses sorted by group, and where each group begins."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(groups + 1))
    return np.ascontiguousarray(clause[order], np.int32), starts.astype(np.int64)


@cython.final
cdef class RuleTables:
    """Made by RuleSet.

    Args:
        criteria: checked.
        order: fastpath.clauseorder.BitOrder.
        countries: Countries or None; workloads: Workloads or None; name_categories: uint32[n] by number of the name.
        names: bytes, each ended by a line feed: those of numbers 1, 2, …
        capacity: numbers of names there are, 0 included.
    Raises:
        ValueError: there are more names than numbers.
        MemoryError: no memory.
    """

    def __cinit__(self, criteria, order, countries, Workloads workloads, names, name_categories, Py_ssize_t capacity):
        self.book = BitmapBook(order.valid)
        self.bit_of, self.arrays, self.uses = order.bit_of, {}, 0
        self.nothing = self.book.add(np.zeros(self.book.words, np.uint64))
        self.workloads, self.patterns = workloads, DomainMap()
        if countries is not None:
            self.country4, self.country6 = countries.v4, countries.v6
        self._labels("location", criteria.location, None, &self.at.location)
        self._labels("namespace", criteria.namespace, None, &self.at.namespace)
        self._labels("source_workload", criteria.source_workload, None, &self.at.source_workload)
        self._labels("destination_workload", criteria.destination_workload, None, &self.at.destination_workload)
        self._labels("country", criteria.country, None, &self.at.country)
        self._labels("category", criteria.category, None, &self.at.category)
        self._labels("naming", criteria.naming, None, &self.at.naming)
        if criteria.source is not None:
            self.source4, self.source6 = self._ranges("source", criteria.source, self._rest([criteria.source]))
        for lines, used in ((criteria.location, USE_LOCATION), (criteria.namespace, USE_NAMESPACE),
                            (criteria.source, USE_SOURCE), (criteria.source_workload, USE_SOURCE_WORKLOAD),
                            (criteria.tag_age, USE_TAG_AGE), (criteria.destination_workload, USE_DESTINATION_WORKLOAD),
                            (criteria.country, USE_COUNTRY), (criteria.category, USE_CATEGORY),
                            (criteria.service, USE_SERVICE), (criteria.source_port, USE_SOURCE_PORT),
                            (criteria.naming, USE_NAMING)):
            self.uses |= used if lines is not None else 0
        self._destination(criteria)
        self._ages(criteria.tag_age)
        self._services(criteria.service)
        self._source_ports(criteria.source_port)
        self._names(names, name_categories, capacity)

    @property
    def nbytes(self):
        """Bytes of memory that the rows and the tables hold."""
        return (self.book.nbytes + sum([array.nbytes for array in self.arrays.values()]) + self.patterns.nbytes
                + sum([t.memory for t in (self.source4, self.source6, self.destination4, self.destination6) if t is not None]))

    # ---- making ----

    cdef object _rest(self, lines):
        """The bits of clauses that are content with everything: they have a line in none of these, or exclude only."""
        free = np.ones(len(self.bit_of), bool)
        for columns in lines:
            if columns is not None:
                free[columns.clause[~columns.excluded] if isinstance(columns, Ranges) else columns.clause] = False
        rest = np.zeros(self.book.words, np.uint64)
        bits = self.bit_of[free]
        np.bitwise_or.at(rest, bits >> 6, np.uint64(1) << (bits & 63).astype(np.uint64))
        return rest

    cdef _labels(self, str name, lines, rest, LabelRows* at):
        if lines is None:
            return
        rest = self._rest([lines]) if rest is None else rest
        clause, starts = grouped(self.bit_of[lines.clause], lines.label, int(lines.label.max(initial=-1)) + 1)
        places = np.zeros(len(lines.offsets), np.uint32)
        cdef const int32_t[::1] clauses = clause, offsets = lines.offsets, members = lines.members
        cdef const int64_t[::1] begins = starts
        cdef const uint64_t[::1] content = rest
        cdef uint32_t[::1] rows = places
        cdef int64_t outcome
        with nogil:
            outcome = label_rows(self.book, &content[0], clauses, begins, offsets, members, rows)
        done(outcome)
        self.arrays[name] = places
        at.rows, at.count = <const uint32_t*> pointer(places), <uint32_t> (len(places) - 1)

    cdef _ranges(self, str name, lines, rest):
        """The tables of a criterion over addresses, for IPv4 and IPv6."""
        tables = []
        words = [np.ascontiguousarray(end).view(">u8").astype(np.uint64).reshape(-1, 2) for end in (lines.first, lines.last)]
        for version, make in ((4, Lpm4), (6, Lpm6)):
            chosen = lines.version == version
            prefixes, lengths, places = self._prefixes(
                *[np.ascontiguousarray(end[chosen]) for end in words], self.bit_of[lines.clause[chosen]],
                lines.excluded[chosen].astype(np.uint8), rest)
            n = len(lengths)
            table = make(int(places[n]))
            if version == 4:
                addresses = (prefixes[:, 1] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
                table.replace_arrays(addresses, (lengths - 96).astype(np.uint8), places[:n].copy())
            else:
                addresses = np.ascontiguousarray(prefixes.astype(">u8")).view(np.uint8).reshape(-1, 16)
                table.replace_arrays(addresses, lengths, places[:n].copy())
            tables.append(table)
        return tables

    def _prefixes(self, first_words, last_words, bits, not_wanted, rest):
        """Different prefixes of ranges as (words, lengths, places); one place more, that of no prefix."""
        cdef const uint64_t[:, ::1] first = first_words, last = last_words
        cdef const uint64_t[::1] content = rest
        cdef int64_t n
        cdef uint64_t[:, ::1] no_words = np.zeros((0, 2), np.uint64)
        cdef uint8_t[::1] no_lengths = np.zeros(0, np.uint8)
        cdef int32_t[::1] no_lines = np.zeros(0, np.int32)
        with nogil:
            n = split_ranges(first, last, no_words, no_lengths, no_lines)
        prefixes, lengths, lines = np.zeros((n, 2), np.uint64), np.zeros(n, np.uint8), np.zeros(n, np.int32)
        cdef uint64_t[:, ::1] prefix_words = prefixes
        cdef uint8_t[::1] prefix_lengths = lengths
        cdef int32_t[::1] prefix_lines = lines
        with nogil:
            split_ranges(first, last, prefix_words, prefix_lengths, prefix_lines)
        cdef const int64_t[::1] order = np.lexsort((lengths, prefixes[:, 1], prefixes[:, 0])).astype(np.int64)
        cdef const int32_t[::1] clause = np.ascontiguousarray(bits[lines], np.int32)
        cdef const uint8_t[::1] excluded = np.ascontiguousarray(not_wanted[lines])
        different, places = np.zeros(n, np.int64), np.zeros(n + 1, np.uint32)
        cdef int64_t[::1] chosen = different
        cdef uint32_t[::1] rows = places
        with nogil:
            n = prefix_rows(self.book, &content[0], prefix_words, prefix_lengths, order, clause, excluded, chosen, rows)
        done(n)
        return prefixes[different[:n]], lengths[different[:n]], places[:n + 1]

    cdef _destination(self, criteria):
        kinds = [criteria.destination, criteria.destination_name, criteria.destination_country, criteria.destination_category]
        if kinds == [None] * 4:
            return
        self.uses |= USE_DESTINATION
        # Clauses content with everything are in the addresses' rows; one row that has them is enough.
        rest, none = self._rest(kinds), np.zeros(self.book.words, np.uint64)
        nowhere = (np.zeros(0, np.int32), np.zeros(0, np.uint8), np.zeros((0, 16), np.uint8), np.zeros((0, 16), np.uint8),
                   np.zeros(0, bool))
        lines = kinds[0]
        if lines is None:
            lines = Ranges(*nowhere)
        self.destination4, self.destination6 = self._ranges("destination", lines, rest)
        self._patterns(criteria.destination_name)
        self._labels("destination_country", criteria.destination_country, none, &self.at.destination_country)
        self._labels("destination_category", criteria.destination_category, none, &self.at.destination_category)
        self.uses |= USE_DESTINATION_COUNTRY if criteria.destination_country is not None else 0
        self.uses |= USE_DESTINATION_CATEGORY if criteria.destination_category is not None else 0

    cdef _patterns(self, lines):
        if lines is None:
            return
        self.uses |= USE_NAME
        for number, text in enumerate(lines.texts):
            self.patterns.set(text, number)
        bits = self.bit_of[lines.clause]
        clause, begins = grouped(bits[~lines.owned], lines.pattern[~lines.owned], len(lines.texts))
        owned, owned_begins = grouped(bits[lines.owned], lines.pattern[lines.owned], len(lines.texts))
        cdef const uint8_t[::1] owner = lines.owner.view(np.uint8)
        cdef const int32_t[::1] clauses = clause, owned_clauses = owned
        cdef const int64_t[::1] starts = begins, owned_starts = owned_begins
        cdef const uint64_t[::1] content = np.zeros(self.book.words, np.uint64)
        cdef int64_t outcome
        with nogil:
            outcome = pattern_rows(self.book, &self.patterns.table, &content[0], owner, clauses, starts, owned_clauses, owned_starts)
        done(outcome)

    cdef _services(self, lines):
        if lines is None:
            return
        bits, rest = self.bit_of[lines.clause], self._rest([lines])
        wide = lines.low < 0
        low, high = np.where(wide, 0, lines.low), np.where(wide, PORTS - 1, lines.high)
        meant = [np.isin(lines.protocol, (-1, number)) for number in (TCP, UDP)]
        tcp, udp = [self._ports(bits[m], low[m], high[m], rest, PORTS) for m in meant]
        places = np.zeros(256, np.uint32)
        cdef const uint64_t[::1] content = rest
        cdef const int16_t[::1] protocol = np.ascontiguousarray(lines.protocol[wide])
        cdef const int32_t[::1] clause = np.ascontiguousarray(bits[wide], np.int32)
        cdef uint32_t[::1] rows = places
        cdef int64_t outcome
        with nogil:
            outcome = protocol_rows(self.book, &content[0], protocol, clause, rows)
        done(outcome)
        self.arrays["tcp"], self.arrays["udp"], self.arrays["protocols"] = tcp, udp, places
        self.at.tcp, self.at.udp = <const uint32_t*> pointer(tcp), <const uint32_t*> pointer(udp)
        self.at.protocols = <const uint32_t*> pointer(places)

    cdef _source_ports(self, lines):
        if lines is None:
            return
        # The port behind the last is none: only clauses content with everything are on there.
        places = self._ports(self.bit_of[lines.clause], lines.low, lines.high, self._rest([lines]), PORTS + 1)
        self.arrays["source_ports"] = places
        self.at.source_ports = <const uint32_t*> pointer(places)

    def _ports(self, bits, low, high, rest, int size):
        """Places of rows by port."""
        order = np.argsort(np.concatenate((low, high + 1)), kind="stable")
        cdef const int32_t[::1] port = np.concatenate((low, high + 1))[order].astype(np.int32)
        cdef const int32_t[::1] clause = np.concatenate((bits, bits))[order].astype(np.int32)
        cdef const int8_t[::1] change = np.repeat(np.array((1, -1), np.int8), len(bits))[order]
        cdef const uint64_t[::1] content = rest
        places = np.zeros(size, np.uint32)
        cdef uint32_t[::1] rows = places
        cdef int64_t outcome
        with nogil:
            outcome = port_rows(self.book, &content[0], port, change, clause, rows)
        done(outcome)
        return places

    cdef _ages(self, lines):
        if lines is None:
            return
        limits = np.unique(np.concatenate((np.zeros(1, np.uint64), lines.least, lines.below)))
        places = np.zeros(len(limits), np.uint32)
        cdef const uint64_t[::1] content = self._rest([lines]), bounds = limits, least = lines.least, below = lines.below
        cdef const int32_t[::1] clause = np.ascontiguousarray(self.bit_of[lines.clause], np.int32)
        cdef uint32_t[::1] rows = places
        done(age_rows(self.book, &content[0], bounds, clause, least, below, rows))
        self.arrays["limits"], self.arrays["ages"] = limits, places
        self.at.limits, self.at.n_limits = <const uint64_t*> pointer(limits), <int> len(limits)
        self.at.ages = <const uint32_t*> pointer(places)

    cdef _names(self, names, name_categories, Py_ssize_t capacity):
        """The words of all names that have a number."""
        words = np.full(capacity, self.word_of_name(NULL, 0, NO_CATEGORIES), np.uint64)
        cdef uint64_t[::1] word = words
        cdef const uint8_t[::1] text = np.frombuffer(names, np.uint8)
        cdef const uint32_t[::1] categories = name_categories
        cdef Py_ssize_t i, begin = 0, number = 1, size = text.shape[0]
        with nogil:
            for i in range(size):
                if text[i] == c"\n":
                    if number == capacity:
                        break
                    word[number] = self.word_of_name(&text[begin], <int> min(i - begin, NAME_MAX + 1),
                                                     categories[number] if number < categories.shape[0] else NO_CATEGORIES)
                    begin = i + 1
                    number += 1
        if begin < size:
            raise ValueError(f"names must be fewer than name_capacity, {capacity}, and each end with a line feed")
        self.arrays["names"] = words
        self.at.names, self.at.n_names = <uint64_t*> pointer(words), <uint32_t> capacity

    cdef uint64_t word_of_name(self, const uint8_t* name, int length, uint32_t categories) noexcept nogil:
        cdef uint32_t place = self.patterns.find(name, length) if length else UNSET
        return <uint64_t> (self.nothing if place == UNSET else place) << 32 | categories

    # ---- looking ----

    cdef void look(self, const Subject* s, Seen* seen) noexcept nogil:
        cdef const Lookups* at = &self.at
        cdef uint32_t uses = self.uses
        cdef uint32_t[ROWS_MAX] places
        cdef uint32_t country = 0
        cdef bint portless = s.fragment == FRAGMENT_LATER or (s.protocol != TCP and s.protocol != UDP)
        cdef uint64_t name = 0
        cdef int n = 0, i
        if uses & USE_SOURCE:
            places[n] = self.source4.find(load_be32(s.source + 12)) if s.ip_version == 4 else self.source6.find(s.source)
            n += 1
        if uses & (USE_SOURCE_WORKLOAD | USE_TAG_AGE | USE_DESTINATION_WORKLOAD):
            n = self.look_for_workloads(s, places, n)
        if uses & (USE_NAME | USE_CATEGORY | USE_DESTINATION_CATEGORY):
            name = load_word(&at.names[number_of(s.name_id) if number_of(s.name_id) < at.n_names else 0])
        if uses & (USE_COUNTRY | USE_DESTINATION_COUNTRY) and self.country4 is not None:
            country = self.country4.find(load_be32(s.destination + 12)) if s.ip_version == 4 else self.country6.find(s.destination)
        if uses & USE_COUNTRY:
            places[n] = row_of(&at.country, country)
            n += 1
        if uses & USE_CATEGORY:
            places[n] = row_of(&at.category, <uint32_t> name)
            n += 1
        if uses & USE_SERVICE:
            places[n] = at.protocols[s.protocol] if portless else (at.tcp if s.protocol == TCP else at.udp)[s.port]
            n += 1
        if uses & USE_SOURCE_PORT:
            places[n] = at.source_ports[PORTS] if portless else at.source_ports[s.source_port]
            n += 1
        n = self.look_for_numbers(s, places, n)
        for i in range(n):
            seen.rows[i] = self.book.arena + places[i]
        seen.n_rows, seen.n_choices = n, 0
        if uses & USE_DESTINATION:
            self.look_for_choices(s, name, country, seen)

    cdef int look_for_numbers(self, const Subject* s, uint32_t* places, int n) noexcept nogil:
        if self.uses & USE_LOCATION:
            places[n] = row_of(&self.at.location, s.location)
            n += 1
        if self.uses & USE_NAMESPACE:
            places[n] = row_of(&self.at.namespace, s.namespace)
            n += 1
        if self.uses & USE_NAMING:
            places[n] = row_of(&self.at.naming, naming_of(s.name_id))
            n += 1
        return n

    cdef int look_for_workloads(self, const Subject* s, uint32_t* places, int n) noexcept nogil:
        cdef const Lookups* at = &self.at
        cdef const Workload* workload
        cdef uint64_t age
        cdef int i
        if self.uses & (USE_SOURCE_WORKLOAD | USE_TAG_AGE):
            workload = self.find_workload(s, s.source)
            if self.uses & USE_SOURCE_WORKLOAD:
                places[n] = row_of(&at.source_workload, workload.set if workload != NULL else UNSET)
                n += 1
            if self.uses & USE_TAG_AGE:
                age = AGE_UNKNOWN if workload == NULL else self.workloads.age(workload, s.now_ns)
                i = at.n_limits - 1
                while at.limits[i] > age:
                    i -= 1
                places[n] = at.ages[i]
                n += 1
        if self.uses & USE_DESTINATION_WORKLOAD:
            workload = self.find_workload(s, s.destination)
            places[n] = row_of(&at.destination_workload, workload.set if workload != NULL else UNSET)
            n += 1
        return n

    cdef const Workload* find_workload(self, const Subject* s, const uint8_t* address) noexcept nogil:
        if self.workloads is None:
            return NULL
        return self.workloads.find(self.workloads.place(s.namespace, address), s.namespace, address, s.ip_version)

    cdef void look_for_choices(self, const Subject* s, uint64_t name, uint32_t country, Seen* seen) noexcept nogil:
        cdef uint32_t[CHOICES_MAX] places
        cdef int n = 1, i
        if s.ip_version == 4:
            places[0] = self.destination4.find(load_be32(s.destination + 12))
        else:
            places[0] = self.destination6.find(s.destination)
        if self.uses & USE_NAME:
            places[n] = <uint32_t> (name >> 32)
            n += places[n] != self.nothing
        if self.uses & USE_DESTINATION_COUNTRY:
            places[n] = row_of(&self.at.destination_country, country)
            n += places[n] != self.nothing
        if self.uses & USE_DESTINATION_CATEGORY:
            places[n] = row_of(&self.at.destination_category, <uint32_t> name)
            n += places[n] != self.nothing
        for i in range(n):
            seen.choices[i] = self.book.arena + places[i]
        seen.n_choices = n

    cdef void foresee(self, const Subject* s) noexcept nogil:
        if self.workloads is not None:
            if self.uses & (USE_SOURCE_WORKLOAD | USE_TAG_AGE):
                prefetch(&self.workloads.slots[self.workloads.place(s.namespace, s.source) & self.workloads.mask])
            if self.uses & USE_DESTINATION_WORKLOAD:
                prefetch(&self.workloads.slots[self.workloads.place(s.namespace, s.destination) & self.workloads.mask])
        if self.uses & (USE_NAME | USE_CATEGORY | USE_DESTINATION_CATEGORY) and number_of(s.name_id) < self.at.n_names:
            prefetch(&self.at.names[number_of(s.name_id)])
