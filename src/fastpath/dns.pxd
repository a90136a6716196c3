# DNS messages on the hot path: read one query, write one answer (RFC 1035, 6891, 8914). Row 2.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef struct Query:
    uint16_t id
    uint16_t flags              # as on the wire, host order
    uint16_t type
    uint16_t klass
    uint16_t name_length        # of name, wire form, lower case, root label included; 1 … 255
    uint16_t question_end       # offset of the first byte after the question
    uint16_t udp_size           # of the OPT record; 512 without one
    uint8_t has_opt
    uint8_t dnssec_ok
    uint8_t name[255]

cpdef enum DnsError:
    DNS_OK = 0
    DNS_SHORT = 1
    DNS_NOT_QUERY = 2
    DNS_OPCODE = 3
    DNS_QUESTIONS = 4           # not exactly one
    DNS_NAME = 5                # label too long, compression in a question, name too long
    DNS_RECORDS = 6             # a record overruns the message, or two OPT

# Total on any bytes: returns a DnsError.
cdef int parse_query(const uint8_t* message, int n, Query* out) noexcept nogil
