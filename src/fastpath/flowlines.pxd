# Lines of text, one for each flow that has ended. Row 2.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastpath.labeltable cimport Labels
from fastpath.message cimport FlowView
from fastpath.ring cimport Ring

cdef enum:
    PARTS_MAX = 256            # of all lists together

cpdef enum Column:
    COLUMN_SOURCE = 0           # addresses, without labels
    COLUMN_DESTINATION = 1
    COLUMN_SOURCE_PORT = 2
    COLUMN_DESTINATION_PORT = 3
    COLUMN_PACKETS = 4          # from the initiator
    COLUMN_PACKETS_BACK = 5     # to it
    COLUMN_BYTES = 6
    COLUMN_BYTES_BACK = 7
    COLUMN_DURATION_MS = 8      # from the first packet to the last
    COLUMN_NAT_PORT = 9
    COLUMN_NAME = 10            # number of the name; 0 = none
    COLUMN_NAMING = 11          # how that is known, or why there is none: a Naming + 1; 0 = nothing is known of a name
    COLUMN_ACTION = 12
    COLUMN_RULE = 13            # index + 1; 0 = none decided
    COLUMN_PROTOCOL = 14
    COLUMN_SERVICE = 15         # protocol << 16 | destination port
    COLUMN_TUNNEL = 16
    COLUMN_LOCATION = 17
    COLUMN_NAMESPACE = 18

cpdef enum Left:
    LEFT_NOTHING = 0            # the ring was empty
    LEFT_MORE = 1
    LEFT_OTHER = 2              # the oldest message is no flow's end that makes a line: fastpath.message.drain takes it

cdef struct Part:
    const uint8_t* text         # PART_BYTES
    const Labels* labels        # PART_LABEL
    uint32_t length
    uint8_t kind
    uint8_t column

cdef struct Parts:              # some of a layout, one behind the other
    uint32_t begin
    uint32_t end

ctypedef const Labels* Called


cdef class FlowLines:
    cdef Part[PARTS_MAX] parts
    cdef Parts usual
    cdef Parts[256][2] more             # by action, and whether IPv6
    cdef uint32_t count                 # of parts
    cdef uint8_t* texts                 # of the layout, each with COPIED bytes behind it
    cdef uint8_t* head
    cdef uint8_t* lines                 # LINES_BYTES, and the longest line that there can be
    cdef uint32_t start_length, end_length, head_length, texts_end
    cdef list tables                    # each once
    cdef int taken
    cdef size_t used                    # of lines
    cdef uint32_t made                  # lines in it
    cdef uint32_t wanted                # number without a label, and
    cdef Called wanted_by

    cdef object _take(self, Ring ring, uint64_t first, uint32_t most)
    cdef int _begin(self) except -1
    cdef int _end(self) except -1
    cdef int _learn(self) except -1
    cdef Part _keep(self, bytes text, str name) except *
    cdef Parts _read(self, object given, str name) except *
    cdef Part _part(self, object given, str name) except *
    # A Left; or wanted_by is a table that has to learn a label first.
    cdef int write_lines(self, Ring ring, uint64_t first, uint32_t most) noexcept nogil
    # Where it ends; NULL = a label is wanted.
    cdef uint8_t* write_line(self, uint8_t* at, const FlowView* flow, uint64_t number) noexcept nogil
    cdef uint8_t* write_parts(self, uint8_t* at, const FlowView* flow, const Parts* parts) noexcept nogil
