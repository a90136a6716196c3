# Everything a rule set looks up of a packet: for each criterion in use, the row of bits. Row 2.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.bitmaps cimport BitmapBook
from fastpath.domains cimport DomainMap
from fastpath.lpm cimport Lpm4, Lpm6
from fastpath.workloads cimport Workload, Workloads

# What a decision looks at, from the side that began the flow.
cdef struct Subject:
    const uint8_t* source        # 16 bytes
    const uint8_t* destination   # 16 bytes
    uint64_t now_ns              # for the age of what is known of a workload
    uint32_t location            # number
    uint32_t name_id             # word of naming.pxd; 0 = no name known
    uint16_t namespace
    uint16_t source_port         # ports, host order; read iff protocol is TCP or UDP and not FRAGMENT_LATER
    uint16_t port                # destination port
    uint8_t ip_version           # 4 or 6: which table the addresses are looked up in
    uint8_t protocol
    uint8_t fragment             # Fragment

cdef enum:
    NO_CATEGORIES = 0xFFFFFFFF   # the number of a name's set of categories where it is in none
    ROWS_MAX = 11
    CHOICES_MAX = 4

# The rows to AND, and those of which one is enough.
cdef struct Seen:
    const uint64_t* rows[11]
    const uint64_t* choices[4]
    int n_rows
    int n_choices                # 0: no clause wants a destination

cdef enum Use:
    USE_LOCATION = 1
    USE_NAMESPACE = 2
    USE_SOURCE = 4
    USE_SOURCE_WORKLOAD = 8
    USE_TAG_AGE = 16
    USE_DESTINATION = 32             # of any of the four kinds
    USE_NAME = 64
    USE_DESTINATION_COUNTRY = 128
    USE_DESTINATION_CATEGORY = 256
    USE_DESTINATION_WORKLOAD = 512
    USE_COUNTRY = 1024
    USE_CATEGORY = 2048
    USE_SERVICE = 4096
    USE_SOURCE_PORT = 8192
    USE_NAMING = 16384

# Places of rows by number; rows[count] is that of any other number.
cdef struct LabelRows:
    const uint32_t* rows
    uint32_t count

cdef inline uint32_t row_of(const LabelRows* labels, uint32_t number) noexcept nogil:
    return labels.rows[number if number < labels.count else labels.count]


cdef struct Lookups:
    LabelRows location
    LabelRows namespace
    LabelRows source_workload
    LabelRows destination_country
    LabelRows destination_category
    LabelRows destination_workload
    LabelRows country
    LabelRows category
    LabelRows naming
    const uint32_t* tcp              # by destination port
    const uint32_t* udp
    const uint32_t* protocols
    const uint32_t* source_ports     # by source port; [65536] is that of packets without one
    const uint64_t* limits           # of ages, ascending from 0
    const uint32_t* ages             # by limit
    int n_limits
    uint64_t* names                  # by number: place of the pattern's row, then 32 bits of the number of its categories
    uint32_t n_names

cdef class RuleTables:
    cdef BitmapBook book
    cdef Lookups at
    cdef uint32_t uses
    cdef Lpm4 source4
    cdef Lpm6 source6
    cdef Lpm4 destination4
    cdef Lpm6 destination6
    cdef Lpm4 country4
    cdef Lpm6 country6
    cdef Workloads workloads
    cdef DomainMap patterns
    cdef dict arrays                 # what `at` points into
    cdef object bit_of
    cdef uint32_t nothing            # place of the row without bits
    cdef void look(self, const Subject* s, Seen* seen) noexcept nogil
    # Ask the memory for what look will read, as far as it is known without reading.
    cdef void foresee(self, const Subject* s) noexcept nogil
    cdef uint64_t word_of_name(self, const uint8_t* name, int length, uint32_t categories) noexcept nogil
    cdef int look_for_numbers(self, const Subject* s, uint32_t* places, int n) noexcept nogil
    cdef int look_for_workloads(self, const Subject* s, uint32_t* places, int n) noexcept nogil
    cdef const Workload* find_workload(self, const Subject* s, const uint8_t* address) noexcept nogil
    cdef void look_for_choices(self, const Subject* s, uint64_t name, uint32_t country, Seen* seen) noexcept nogil
    cdef object _rest(self, lines)
    cdef _labels(self, str name, lines, rest, LabelRows* at)
    cdef _ranges(self, str name, lines, rest)
    cdef _patterns(self, lines)
    cdef _services(self, lines)
    cdef _source_ports(self, lines)
    cdef _ages(self, lines)
    cdef _destination(self, criteria)
    cdef _names(self, names, name_categories, Py_ssize_t capacity)
