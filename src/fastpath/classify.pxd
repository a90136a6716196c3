# Rules as bitmaps: which rule is the first that matches a packet. Row 2.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.ruletables cimport RuleTables, Seen, Subject

# An immutable snapshot. Each criterion maps a packet to a row of bits over the clauses; AND, lowest rule.
cdef class RuleSet:
    cdef readonly int rules               # the last one is that of packets which no clause matches
    cdef readonly int words               # 64 clauses a word; a rule has any number of clauses
    cdef readonly uint32_t generation
    cdef readonly object actions          # uint8[rules]
    cdef readonly object gateways         # uint16[rules]
    cdef readonly object opens            # uint8[rules]
    cdef readonly bytes watched           # ports whose flows may say their names: a bit each of TCP, then of UDP; or none
    cdef uint8_t* action_of
    cdef const uint16_t* gateway_of       # valid iff the action is ZIA: by which edges
    cdef const uint8_t* opens_of          # likewise: 1 = DIRECT while none of them is up
    cdef const uint8_t* ports             # those of `watched`, or NULL
    cdef RuleTables tables
    cdef object _order                    # keeps alive what the next two point into
    cdef const int32_t* rule_of           # by bit
    cdef const int32_t* best              # by word: its first rule; ascending
    # Index of the first rule that matches row i, which has a namespace. location: number; name_id: word of naming.pxd.
    cdef int32_t decide(self, Columns* b, int i, uint32_t location, uint32_t name_id, uint64_t now_ns) noexcept nogil
    # The same for a flow whose packet is not in a batch, or whose packet at hand is a reply.
    cdef int32_t match(self, const Subject* subject) noexcept nogil
    # Whether flows to a port of TCP or UDP may say their names.
    cdef bint is_watched(self, uint8_t protocol, uint16_t port) noexcept nogil
    cdef int32_t first_rule(self, const Seen* seen) noexcept nogil
