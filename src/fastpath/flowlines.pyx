"""flowlines: the ends of flows, out of a worker's ring into lines of text.

    start │ number │ head │ part part part … │ more, by action and IP version │ end
                            │
                            ├─ bytes                  as they are
                            ├─ Column                 the flow's value, in decimals or as an address
                            └─ (Column, LabelTable)   what that value is called

Journey: a worker posts a message for every flow that ends; here each becomes a line, in the order of the ring, without the
interpreter and without an object a flow. What a line says between its values is the caller's; that it is JSON, for example, nobody
here knows. Messages that are no such ends stay in the ring, for fastpath.message.drain. One thread at a time; another one's call
meanwhile is a RuntimeError. No clock: a time is part of the head.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport INT32_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastpath.action cimport ACTION_ZPA, PUNT_FLOW_CLOSED
from fastpath.arguments cimport BYTE_MAX, integer, listed, octets, several, uint64
from fastpath.labeltable cimport COPIED, LABEL_MAX, Label, LabelTable, find_label
from fastpath.message cimport FlowView, Message, message_in
from fastpath.naming cimport naming_of, number_of
from fastpath.numerals cimport DECIMAL_MAX, IP6_MAX, write_decimal, write_ip4, write_ip6
from fastpath.ring cimport Ring
from fastpath.turn cimport take_turn

import ipaddress

cdef enum:
    FIXED_MAX = 1 << 16        # bytes of a layout's own text
    HEAD_MAX = 1 << 14
    LINES_BYTES = 1 << 19      # a call writes no further line behind so many
    PART_BYTES = 0
    PART_VALUE = 1
    PART_LABEL = 2

# As this interpreter writes them, so that a file has one spelling of an address whoever wrote the line: Python 3.13 changed it.
cdef bint MIXED = "." in str(ipaddress.IPv6Address("::ffff:192.0.2.1"))


@cython.final
cdef class FlowLines:
    """Lines of one layout.

    Args:
        start: bytes that every line begins with, before its number.
        parts: what follows the head: bytes, a Column, or (Column, LabelTable) of a column that is no address.
        more: {(action, IP version): parts} for some flows, behind those.
        end: bytes that every line ends with.
    Raises:
        ValueError, TypeError: an argument is none of these, or there is more than 64 KiB of text or 256 parts.
        MemoryError: no memory.
    """

    def __cinit__(self, start, parts, more=None, end=b"\n"):
        self.tables = []
        self.texts, self.head = <uint8_t*> malloc(FIXED_MAX + (PARTS_MAX + 2) * COPIED), <uint8_t*> malloc(HEAD_MAX + COPIED)
        if self.texts == NULL or self.head == NULL:
            raise MemoryError("flow lines: no memory")
        self.start_length = self._keep(octets(start, "start"), "start").length
        self.usual = self._read(parts, "parts")
        if more is not None and not isinstance(more, dict):
            raise TypeError(f"more must be a dict of parts by (action, IP version), not {type(more).__name__}")
        for key, its in (more or {}).items():
            action, version = several(key, "more: key", "(action, IP version)", 2)
            if version not in (4, 6):
                raise ValueError(f"more: IP version must be 4 or 6, not {version!r}")
            self.more[integer(action, "more: action", 0, BYTE_MAX)][version == 6] = self._read(its, "more: parts")
        # The last one, so that it is found where everything ends.
        self.end_length = self._keep(octets(end, "end"), "end").length
        self.lines = <uint8_t*> malloc(LINES_BYTES + FIXED_MAX + DECIMAL_MAX + HEAD_MAX + PARTS_MAX * (LABEL_MAX + IP6_MAX)
                                      + COPIED)
        if self.lines == NULL:
            raise MemoryError("flow lines: no memory")

    def __dealloc__(self):
        free(self.texts)
        free(self.head)
        free(self.lines)

    def take(self, Ring ring not None, number, head, limit=512):
        """Take flows' ends out of a ring, oldest first, up to the first other message, and write a line of each.

        Args:
            number: of the first line; the next ones count on, 0 … 2**64 - 1.
            head: bytes-like, at most 16 KiB, behind each number.
            limit: most lines; fewer when they are long.
        Returns:
            (the lines in one bytes, how many they are, a Left).
        Raises:
            ValueError, TypeError: an argument does not fit; nothing was taken.
            RuntimeError: another thread is inside, or in a label table.
            What a label table's tell raises: of the oldest message, which stays in the ring. Another's is raised when it is that.
        """
        cdef uint64_t first = uint64(number, "number")
        cdef bytes between = octets(head, "head")
        cdef uint32_t most = <uint32_t> integer(limit, "limit", 1, INT32_MAX)
        if len(between) > HEAD_MAX:
            raise ValueError(f"head must be at most {HEAD_MAX} bytes, not {len(between)}")
        self._begin()
        try:
            self.head_length = <uint32_t> len(between)
            memcpy(self.head, <const uint8_t*> between, self.head_length)
            left = self._take(ring, first, most)
            return PyBytes_FromStringAndSize(<char*> self.lines, self.used), self.made, left
        finally:
            self._end()

    cdef object _take(self, Ring ring, uint64_t first, uint32_t most):
        cdef int left
        self.used = self.made = 0
        while True:
            with nogil:
                left = self.write_lines(ring, first, most)
            if self.wanted_by == NULL:
                return Left(left)
            try:
                self._learn()
            except Exception:
                if self.made == 0:
                    raise
                return LEFT_MORE

    cdef int _begin(self) except -1:
        cdef LabelTable table
        cdef int k, begun = 0
        take_turn(&self.taken, "flow lines")
        try:
            for table in self.tables:
                take_turn(&table.taken, "label table")
                begun += 1
        except RuntimeError:
            for k in range(begun):
                (<LabelTable> self.tables[k]).taken = 0
            self.taken = 0
            raise
        return 0

    cdef int _end(self) except -1:
        cdef LabelTable table
        for table in self.tables:
            table.taken = 0
        self.taken = 0
        return 0

    cdef int _learn(self) except -1:
        cdef LabelTable table
        for table in self.tables:
            if &table.core == self.wanted_by:
                table.learn(self.wanted)
        return 0

    # ---- the layout ----

    cdef Part _keep(self, bytes text, str name) except *:
        """A part of the layout's own text."""
        cdef Part part
        if self.texts_end + len(text) > FIXED_MAX + self.count * COPIED:
            raise ValueError(f"{name}: there must be at most {FIXED_MAX} bytes of text in all")
        part.kind, part.column, part.labels = PART_BYTES, 0, NULL
        part.text, part.length = self.texts + self.texts_end, <uint32_t> len(text)
        memcpy(self.texts + self.texts_end, <const uint8_t*> text, part.length)
        self.texts_end += part.length + COPIED
        return part

    cdef Parts _read(self, object given, str name) except *:
        cdef Parts read
        read.begin = self.count
        for part in listed(given, name, "a sequence of bytes, Columns and (Column, LabelTable)"):
            if self.count == PARTS_MAX:
                raise ValueError(f"{name}: there must be at most {PARTS_MAX} parts in all")
            self.parts[self.count] = self._part(part, name)
            self.count += 1
        read.end = self.count
        return read

    cdef Part _part(self, object given, str name) except *:
        cdef Part part
        cdef LabelTable table
        if isinstance(given, (bytes, bytearray, memoryview)):
            return self._keep(octets(given, name), name)
        part.kind, part.text, part.labels, part.length = PART_VALUE, NULL, NULL, 0
        if isinstance(given, tuple):
            column, table = several(given, name, "(Column, LabelTable)", 2)
            part.column = <uint8_t> integer(column, f"{name}: Column of a label", COLUMN_SOURCE_PORT, COLUMN_NAMESPACE)
            if table is None:
                raise TypeError(f"{name}: (Column, LabelTable) has None for a table")
            part.kind, part.labels = PART_LABEL, &table.core
            if table not in self.tables:
                self.tables.append(table)
        else:
            part.column = <uint8_t> integer(given, f"{name}: Column", COLUMN_SOURCE, COLUMN_NAMESPACE)
        return part

    # ---- without the interpreter ----

    cdef int write_lines(self, Ring ring, uint64_t first, uint32_t most) noexcept nogil:
        cdef uint32_t n
        cdef uint8_t* record
        cdef uint8_t* end
        cdef Message* m
        self.wanted_by = NULL
        while self.made < most and self.used < LINES_BYTES:
            record = ring.peek(&n)
            if record == NULL:
                return LEFT_NOTHING
            m = message_in(record, n)
            if m == NULL or m.kind != PUNT_FLOW_CLOSED or not m.has_flow or m.flow.action == ACTION_ZPA:
                return LEFT_OTHER
            end = self.write_line(self.lines + self.used, &m.flow, first + self.made)
            if end == NULL:
                return LEFT_MORE
            self.used = end - self.lines
            self.made += 1
            ring.consume()
        return LEFT_MORE

    cdef uint8_t* write_line(self, uint8_t* at, const FlowView* flow, uint64_t number) noexcept nogil:
        at = put(at, self.texts, self.start_length)
        at = write_decimal(at, number)
        at = put(at, self.head, self.head_length)
        at = self.write_parts(at, flow, &self.usual)
        if at != NULL:
            at = self.write_parts(at, flow, &self.more[flow.action][flow.ip_version != 4])
        return at if at == NULL else put(at, self.texts + self.texts_end - COPIED - self.end_length, self.end_length)

    cdef uint8_t* write_parts(self, uint8_t* at, const FlowView* flow, const Parts* parts) noexcept nogil:
        cdef const Part* part
        cdef const Label* label
        cdef uint32_t k
        for k in range(parts.begin, parts.end):
            part = &self.parts[k]
            if part.kind == PART_BYTES:
                at = put(at, part.text, part.length)
            elif part.kind == PART_VALUE:
                at = write_value(at, flow, part.column)
            else:
                label = find_label(part.labels, <uint32_t> value_of(flow, part.column))
                if label != NULL:
                    at = put(at, part.labels.texts + label.start, label.length)
                elif not part.labels.closed:
                    self.wanted, self.wanted_by = <uint32_t> value_of(flow, part.column), part.labels
                    return NULL
        return at


cdef inline uint8_t* put(uint8_t* at, const uint8_t* text, uint32_t n) noexcept nogil:
    """Most texts are short, and a copy of a length that the compiler knows is a few instructions."""
    memcpy(at, text, COPIED)
    if n > COPIED:
        memcpy(at + COPIED, text + COPIED, n - COPIED)
    return at + n


cdef inline uint8_t* write_value(uint8_t* at, const FlowView* flow, uint8_t column) noexcept nogil:
    cdef const uint8_t* address = flow.source
    if column > COLUMN_DESTINATION:
        return write_decimal(at, value_of(flow, column))
    if column == COLUMN_DESTINATION:
        address = flow.destination
    return write_ip4(at, address + 12) if flow.ip_version == 4 else write_ip6(at, address, MIXED)


cdef uint64_t value_of(const FlowView* flow, uint8_t column) noexcept nogil:
    if column == COLUMN_SOURCE_PORT:
        return flow.source_port
    if column == COLUMN_DESTINATION_PORT:
        return flow.destination_port
    if column == COLUMN_PACKETS or column == COLUMN_PACKETS_BACK:
        return flow.packets[column - COLUMN_PACKETS]
    if column == COLUMN_BYTES or column == COLUMN_BYTES_BACK:
        return flow.bytes[column - COLUMN_BYTES]
    if column == COLUMN_DURATION_MS:
        return (flow.last_seen_ns - flow.started_ns) // 1_000_000 if flow.last_seen_ns > flow.started_ns else 0
    return number_in(flow, column)


cdef uint64_t number_in(const FlowView* flow, uint8_t column) noexcept nogil:
    """Those that stand for something; NAT_PORT, too."""
    if column == COLUMN_NAME:
        return number_of(flow.name_id)
    if column == COLUMN_NAMING:
        return naming_of(flow.name_id) + 1 if flow.name_id else 0
    if column == COLUMN_ACTION:
        return flow.action
    if column == COLUMN_RULE:
        return <uint64_t> flow.rule + 1 if flow.rule >= 0 else 0
    if column == COLUMN_PROTOCOL:
        return flow.protocol
    if column == COLUMN_SERVICE:
        return <uint64_t> flow.protocol << 16 | flow.destination_port
    if column == COLUMN_TUNNEL:
        return flow.tunnel
    if column == COLUMN_LOCATION:
        return flow.location
    return flow.namespace if column == COLUMN_NAMESPACE else flow.nat_port
