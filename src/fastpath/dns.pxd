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
    uint8_t edns_version        # valid iff has_opt; other than 0 is answered with BADVERS (16)

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

cdef enum:
    DNS_NO_ERROR_TEXT = 0xFFFF  # extended_error of an Answer that has none

# What to say to a Query: data, or a negative answer with SOA (NOERROR without data, NXDOMAIN), or an error alone.
cdef struct Answer:
    uint16_t rcode              # 0 NOERROR, 1 FORMERR, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED …; above 15 only with OPT
    uint16_t type               # of the one record of data, class IN; 0 = no data
    uint16_t data_length
    uint16_t extended_error     # RFC 8914 INFO-CODE, sent iff the query has OPT; DNS_NO_ERROR_TEXT = none
    uint32_t ttl                # seconds, of the data or of the SOA
    const uint8_t* data         # RDATA, uncompressed
    const uint8_t* text         # EXTRA-TEXT of the extended error, UTF-8
    uint16_t text_length
    uint16_t limit              # bytes the caller lets a UDP answer have; 0 = TCP, no limit but the room

# Writes the answer to a query that parse_query accepted; the question is copied byte for byte, so that its case stays (0x20).
# Returns the length. When it would exceed min(limit, udp_size) or the room, TC is set and only question and OPT are kept.
# -1: not even those fit.
cdef int write_answer(const uint8_t* message, const Query* query, const Answer* answer, uint8_t* out, int room) noexcept nogil

cdef enum:
    DNS_CHAIN_MAX = 16          # CNAMEs followed; unbound follows 11
    DNS_FOUND_MAX = 256         # addresses kept
    DNS_RECORDS_MAX = 512       # answer records looked at

cdef struct FoundAddress:
    uint32_t ttl                # seconds, the least of the address and the CNAMEs before it
    uint8_t owner               # index in names
    uint8_t length              # 4 or 16
    uint8_t address[16]

cdef struct AddressScan:
    int names                   # the question's name and the CNAME targets after it, in order
    int found
    uint32_t ttl[17]            # least TTL of the CNAMEs up to this name; 2**31 - 1 for the question's
    uint16_t name_length[17]
    uint8_t name[17][255]       # wire form, lower case
    FoundAddress address[256]

# The addresses an answer gives to the name it was asked for. Total on any bytes; a DnsError, and then nothing is found.
cdef int scan_addresses(const uint8_t* message, int n, AddressScan* out) noexcept nogil
