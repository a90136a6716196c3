# Which flows may still say their name, the copies of their first packets, and what becomes of a flow that has said it. Row 3.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.admission cimport OWNER_WATCHED, Admission
from fastpath.batch cimport Columns
from fastpath.flowslots cimport FlowEntry
from fastpath.message cimport Message
from fastpath.ring cimport Ring

cdef enum:
    WORDS_MAX = 16       # packets of a flow that are copied; one more, and it is UNREAD

# FlowEntry.owner of a watched flow: OWNER_WATCHED, 8 bits of packets copied, the low 16 bits of the first sequence number.
cdef class Watch:
    cdef readonly Admission admission
    cdef readonly Ring words         # PUNT_WORDS for the control plane; None = nothing is watched
    cdef int posted
    # A flow that was admitted for row i is watched from now on, if the rules have its name matter.
    cdef void begin(self, Columns* b, int i, int32_t index) noexcept nogil
    # Row i is of the initiator of a watched flow: copy what it says.
    cdef void hear(self, Columns* b, int i, int32_t index) noexcept nogil
    # What a flow has said, or that it will not: COMMAND_NAME. True: it was cut, and its initiator is to be told.
    cdef bint told(self, const Message* m) noexcept nogil
    cdef void notify(self) noexcept nogil
    # End the watch of a flow, which is decided again; True: it was cut.
    cdef bint settle(self, int32_t index, uint32_t word) noexcept nogil
    cdef int _copy(self, Columns* b, int i, int32_t index) noexcept nogil
    cdef void _decide_again(self, int32_t index) noexcept nogil


cdef inline bint is_watched(const FlowEntry* entry) noexcept nogil:
    return entry.owner & 0xFF == OWNER_WATCHED
