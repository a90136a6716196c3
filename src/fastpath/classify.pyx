"""RuleSet: which rule is the first that matches a packet.

Journey: after flowtable.lookup, for missed rows only; before flowtable.insert. Whoever writes rules says what each clause
wants (fastpath.criteria); made here into rows of bits, one row for all packets that show the same (Lakshman and Stiliadis,
SIGCOMM 1998):

    location & namespace & source & workloads & service & … & (destination | name | country | category)  →  clause  →  rule

A bit is a clause; a rule has one clause or more. The destination is one criterion of four kinds of value, hence the OR. A
later fragment has no ports: only clauses that want no port match it. Rows are compressed and their words summed up, 64 words
a bit (fastpath.bitmaps); clauses that are alike share a word (fastpath.clauseorder). So of thousands of clauses a few words
are read.

A RuleSet is immutable and read by any thread; bind_name is safe with one writer and readers that go on. No clock: the time is
an argument. It knows no policy and no names but those bound to numbers.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.arguments cimport WORD_MAX, apart, encoded, integer, octets, uint32s, uint64, writable_int32
from fastpath.batch cimport Columns, PacketBatch
from fastpath.bitmaps cimport low64, ones64
from fastpath.domains cimport NAME_MAX
from fastpath.memory cimport prefetch, store_word
from fastpath.ruletables cimport CHOICES_MAX, NO_CATEGORIES, ROWS_MAX, RuleTables, Seen, Subject

import numpy as np

from fastpath.clauseorder import order_bits
from fastpath.criteria import check_tables, checked, checked_ways, frozen, name_numbers
from fastpath.criteria import rule_of as checked_rules

cdef enum:
    AHEAD = 32                # packets whose rows are fetched side by side
    NAMES_MAX = 1 << 26
    WATCHED_BYTES = 16384
    TCP = 6
    UDP = 17


cdef const void* pointer(object array):
    return <const void*> <size_t> array.ctypes.data


cdef inline uint64_t word_of(const uint64_t* row, int spans, int span, uint64_t bit, const uint64_t* kept) noexcept nogil:
    """A word that is not zero."""
    cdef uint64_t mixed = row[spans + span]
    return kept[ones64(mixed & (bit - 1))] if mixed & bit else <uint64_t> -1


cdef inline uint64_t meet(const Seen* seen, const uint64_t** kept, const uint64_t** kept_choices, int spans, int span,
                          uint64_t bit) noexcept nogil:
    """One word of all rows and of one of the choices, none of which is zero by itself."""
    cdef uint64_t word = 0 if seen.n_choices else <uint64_t> -1
    cdef int i
    for i in range(seen.n_choices):
        if seen.choices[i][span] & bit:
            word |= word_of(seen.choices[i], spans, span, bit, kept_choices[i])
    for i in range(seen.n_rows):
        if not word:
            return 0
        word &= word_of(seen.rows[i], spans, span, bit, kept[i])
    return word


@cython.final
cdef class RuleSet:
    """An immutable set of rules, compiled.

    Args:
        generation: number of the policy edit, 0 … 2**32 - 1.
        actions: uint8[rules], the Action of each rule. The last rule is that of packets which no clause matches.
        rule_of: int32[clauses, 1 … 2**18], ascending, the rule of each clause.
        criteria: fastpath.criteria.Criteria, what the clauses want.
        countries: Countries, needed if a criterion is about countries.
        workloads: Workloads, needed if one is about workloads or the age of tags.
        names: bytes, those of numbers 1, 2, …, each ended by a line feed.
        name_categories: uint32[n], by number of the name that of its set of categories; 2**32 - 1, and beyond n: in none.
        name_capacity: numbers of names there are, 0 included.
        gateways: uint16[rules], number of the gateway of each ZIA rule, below 2,048; None = 0 for all.
        opens: uint8[rules], 1 = DIRECT while no edge of the gateway is up; None = never.
        watched: bytes, 8,192 of TCP and 8,192 of UDP, bit n & 7 of byte n >> 3 for port n: flows to it may say their names.
    Raises:
        ValueError: a dtype, shape or number is wrong, or a table is missing; names the argument.
        TypeError: an argument is of another class.
        MemoryError: no memory, or the rows would take more than 1 GiB.
    """

    def __cinit__(self, generation, *, actions, rule_of, criteria, countries=None, workloads=None, names=b"",
                  name_categories=None, name_capacity=1, gateways=None, opens=None, bytes watched not None=b""):
        cdef Py_ssize_t n_names = integer(name_capacity, "name_capacity", 1, NAMES_MAX)
        self.generation = <uint32_t> integer(generation, "generation", 0, WORD_MAX)
        self.actions = frozen(actions, "actions", np.uint8, None)
        self.rules = len(self.actions)
        self.gateways, self.opens = checked_ways(gateways, opens, self.rules)
        rule_of = checked_rules(rule_of, self.rules)
        criteria = checked(criteria, len(rule_of))
        check_tables(criteria, countries=countries, workloads=workloads)
        name_categories = name_numbers(name_categories)
        if len(watched) not in (0, WATCHED_BYTES):
            raise ValueError(f"watched must be 0 or {WATCHED_BYTES} bytes, not {len(watched)}")
        self.watched, self.ports = watched, <const uint8_t*> watched if watched else NULL
        order = order_bits(criteria, rule_of)
        self.words, self._order = len(order.valid), order
        self.action_of = <uint8_t*> pointer(self.actions)
        self.gateway_of, self.opens_of = <const uint16_t*> pointer(self.gateways), <const uint8_t*> pointer(self.opens)
        self.rule_of, self.best = <const int32_t*> pointer(order.rule_of), <const int32_t*> pointer(order.best)
        self.tables = RuleTables(criteria, order, countries, workloads, octets(names, "names"), name_categories,
                                 n_names)

    cdef int32_t first_rule(self, const Seen* seen) noexcept nogil:
        cdef int spans = self.tables.book.spans
        cdef const uint64_t* kept[ROWS_MAX]
        cdef const uint64_t* kept_choices[CHOICES_MAX]
        cdef uint64_t alive, word, bit
        cdef int s, i, w
        cdef int32_t best = self.rules - 1
        for i in range(seen.n_rows):
            kept[i] = seen.rows[i] + 2 * spans
        for i in range(seen.n_choices):
            kept_choices[i] = seen.choices[i] + 2 * spans
        for s in range(spans):
            alive = <uint64_t> -1
            if seen.n_choices:
                alive = seen.choices[0][s]
                for i in range(1, seen.n_choices):
                    alive |= seen.choices[i][s]
            for i in range(seen.n_rows):
                alive &= seen.rows[i][s]
            if s == spans - 1 and self.words & 63:
                alive &= (<uint64_t> 1 << (self.words & 63)) - 1        # where no row is ANDed, all words are alive
            while alive:
                w = (s << 6) + low64(alive)
                if self.best[w] >= best:
                    return best
                bit = alive & (~alive + 1)
                alive ^= bit
                word = meet(seen, kept, kept_choices, spans, s, bit)
                if word:
                    best = min(best, self.rule_of[(w << 6) + low64(word)])
            for i in range(seen.n_rows):
                kept[i] += ones64(seen.rows[i][spans + s])
            for i in range(seen.n_choices):
                kept_choices[i] += ones64(seen.choices[i][spans + s])
        return best

    cdef int32_t match(self, const Subject* subject) noexcept nogil:
        cdef Seen seen
        self.tables.look(subject, &seen)
        return self.first_rule(&seen)

    cdef int32_t decide(self, Columns* b, int i, uint32_t location, uint32_t name_id, uint64_t now_ns) noexcept nogil:
        cdef Subject subject
        describe(&subject, b, i, location, name_id, now_ns)
        return self.match(&subject)

    cdef bint is_watched(self, uint8_t protocol, uint16_t port) noexcept nogil:
        if self.ports == NULL or (protocol != TCP and protocol != UDP):
            return False
        return self.ports[(port >> 3) + (WATCHED_BYTES // 2 if protocol == UDP else 0)] >> (port & 7) & 1

    def decide_batch(self, PacketBatch batch not None, locations, name_ids, out, now_ns=0):
        """Write the index of the first rule that matches each live row; -1 for a dead one.

        Args:
            batch: parsed rows with namespaces.
            locations: uint32[≥ count], location number of each row.
            name_ids: uint32[≥ count], name of each row: number, 0 where none is known, and Naming << 26.
            out: int32[≥ count].
            now_ns: the worker's clock, for the age of tags.
        Returns:
            Rows decided.
        Raises:
            TypeError, ValueError: an array has another dtype or order, or is shorter than the batch; out is read-only.
        """
        cdef const uint32_t[::1] places = uint32s(locations, "locations"), learned = uint32s(name_ids, "name_ids")
        cdef int32_t[::1] first = writable_int32(out, "out")
        cdef uint64_t now = uint64(now_ns, "now_ns")
        cdef int count = batch.columns.count
        cdef int decided
        for name, size in (("locations", places.shape[0]), ("name_ids", learned.shape[0]), ("out", first.shape[0])):
            if size < count:
                raise ValueError(f"{name} must have at least {count} elements, not {size}")
        if not count:
            return 0
        apart(&first[0], 4 * <size_t> count, "out", &places[0], 4 * <size_t> count, "locations")
        apart(&first[0], 4 * <size_t> count, "out", &learned[0], 4 * <size_t> count, "name_ids")
        with nogil:
            decided = decide_all(self, &batch.columns, &places[0], &learned[0], &first[0], now)
        return decided

    def bind_name(self, name_id, name, categories=0xFFFFFFFF):
        """Say which name a number stands for that was given out after compilation. Takes effect at once.

        Args:
            categories: number of its set of categories; 2**32 - 1 = in none.
        Raises:
            ValueError: name_id is 0 or beyond the capacity, or stands for a name with other rows.
        """
        cdef bytes text = encoded(name, "name")
        cdef RuleTables t = self.tables
        cdef uint32_t number = <uint32_t> integer(name_id, "name_id", 1, <int64_t> t.at.n_names - 1)
        cdef uint64_t bound = t.word_of_name(text, <int> min(len(text), NAME_MAX + 1),
                                             <uint32_t> integer(categories, "categories", 0, WORD_MAX))
        if t.at.names[number] not in (t.at.names[0], bound):
            raise ValueError(f"name_id {name_id} is bound to another name already")
        store_word(&t.at.names[number], bound)

    def speaks_of(self, name):
        """Tell whether a clause is content with a name by one of its patterns."""
        cdef bytes text = encoded(name, "name")
        return self.tables.word_of_name(text, <int> min(len(text), NAME_MAX + 1), NO_CATEGORIES) != self.tables.at.names[0]

    def likeness(self, name):
        """Return a number that is the same for two names if no pattern of a clause tells them apart."""
        cdef bytes text = encoded(name, "name")
        return self.tables.word_of_name(text, <int> min(len(text), NAME_MAX + 1), NO_CATEGORIES) >> 32

    @property
    def name_capacity(self):
        """Numbers of names there are, 0 included."""
        return self.tables.at.n_names

    @property
    def nbytes(self):
        """Bytes of memory that the rows and the tables hold; not those of countries and workloads."""
        return self.tables.nbytes


cdef inline void describe(Subject* s, Columns* b, int i, uint32_t location, uint32_t name_id, uint64_t now_ns) noexcept nogil:
    s.source, s.destination = b.source + <size_t> i * 16, b.destination + <size_t> i * 16
    s.now_ns, s.location, s.name_id, s.namespace = now_ns, location, name_id, b.namespace[i]
    s.source_port, s.port = b.source_port[i], b.destination_port[i]
    s.ip_version, s.protocol, s.fragment = b.ip_version[i], b.protocol[i], b.fragment[i]


cdef int decide_all(RuleSet rules, Columns* b, const uint32_t* locations, const uint32_t* name_ids, int32_t* out,
                    uint64_t now_ns) noexcept nogil:
    """Decide rows by the dozen, step by step, so that the memory of one is on its way while another is read."""
    cdef Subject[AHEAD] subjects
    cdef Seen[AHEAD] seen
    cdef int[AHEAD] rows
    cdef int i = 0, k, n, m, decided = 0
    while i < b.count:
        n = 0
        while i < b.count and n < AHEAD:
            out[i] = -1
            if b.reason[i] == 0:
                describe(&subjects[n], b, i, locations[i], name_ids[i], now_ns)
                rules.tables.foresee(&subjects[n])
                rows[n] = i
                n += 1
            i += 1
        for k in range(n):
            rules.tables.look(&subjects[k], &seen[k])
            for m in range(seen[k].n_rows):
                prefetch(seen[k].rows[m])
            for m in range(seen[k].n_choices):
                prefetch(seen[k].choices[m])
        for k in range(n):
            out[rows[k]] = rules.first_rule(&seen[k])
        decided += n
    return decided
