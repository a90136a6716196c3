"""DNS messages on the hot path: read one query, write one answer, read the addresses of an answer.

Journey: a workload's UDP packet to port 53, after packet.parse; the answer leaves through gwlb. Answers that cross
the connector teach which name an address belongs to (nametable.NameTable). Spec: RFC 1035 §4.1 (messages), §4.1.4
(compression), §2.3.4 (sizes); RFC 6891 (OPT); RFC 8914 (extended errors); RFC 2308 §5 (negative answers carry the
SOA); RFC 2181 §8 (TTL).

     0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
    |                      ID                       |   0
    |QR|  OPCODE   |AA|TC|RD|RA| Z|AD|CD|   RCODE   |   2
    |      QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT       |   4, 6, 8, 10

Any thread. Total on any bytes; no state, no clock, no allocation in the leaves. What to answer is not decided here.
"""

from cpython.buffer cimport PyBuffer_Release
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from fastpath.arguments cimport SHORT_MAX, encoded, hold, integer, octets, writable8
from fastpath.batch cimport PacketBatch, row
from fastpath.dnsname cimport LABEL_MAX, NAME_MAX, lower, read_name, skip_name, text_of
from fastpath.wire cimport load_be16, load_be32, store_be16, store_be32

from typing import NamedTuple

cdef enum:
    HEADER = 12
    FLAG_QR = 0x8000, FLAG_OPCODE = 0x7800, FLAG_AA = 0x0400, FLAG_TC = 0x0200   # RFC 1035 §4.1.1
    FLAG_RD = 0x0100, FLAG_RA = 0x0080, FLAG_CD = 0x0010                         # the last by RFC 4035 §3.2.2
    TYPE_A = 1, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_AAAA = 28, TYPE_OPT = 41
    CLASS_IN = 1
    RCODE_FORMERR = 1, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3, RCODE_NOTIMP = 4
    OPT_DNSSEC_OK = 0x8000   # of the OPT record's TTL, RFC 6891 §6.1.3
    OPTION_EXTENDED_ERROR = 15   # RFC 8914 §2
    UDP_MIN = 512            # RFC 1035 §2.3.4
    UDP_PAYLOAD = 1232       # what we announce and send: never fragments on an IPv6 path (DNS flag day 2020)
    FIXED = 10               # bytes of a record between name and RDATA: TYPE, CLASS, TTL, RDLENGTH
    OPT_BYTES = 11
    MESSAGE_MAX = 65535, DATA_MAX = 65000, TEXT_MAX = 255, TTL_MAX = 0x7FFFFFFF

# The connector answers for names that exist nowhere else, so it is their authority: MNAME, RNAME, then five numbers.
cdef enum:
    SOA_NAMES_BYTES = 47
    SOA_BYTES = 67           # with SERIAL 1, REFRESH 3600, RETRY 600, EXPIRE 86400 and MINIMUM = the negative TTL
cdef const char* soa_names = b"\x09connector\x03zcc\x07invalid\x00" b"\x0ahostmaster\x03zcc\x07invalid\x00"


cdef int parse_question(const uint8_t* message, int n, Query* out) noexcept nogil:
    """Read the one question behind the header: a name without pointers, type and class."""
    cdef int at = HEADER, size = 0, i
    while size != 1:
        if at >= n:
            return DNS_SHORT
        size = 1 + message[at]
        if size > 1 + LABEL_MAX or at - HEADER + size > NAME_MAX:
            return DNS_NAME
        if at + size > n:
            return DNS_SHORT
        out.name[at - HEADER] = message[at]
        for i in range(1, size):
            out.name[at - HEADER + i] = lower(message[at + i])
        at += size
    if at + 4 > n:
        return DNS_SHORT
    out.name_length = at - HEADER
    out.type = load_be16(message + at)
    out.klass = load_be16(message + at + 2)
    out.question_end = at + 4
    return DNS_OK


cdef int parse_opt(const uint8_t* record, Query* out) noexcept nogil:
    """Read the OPT pseudo-record whose TYPE is at `record` (RFC 6891 §6.1.2); a second one is an error."""
    if out.has_opt:
        return DNS_RECORDS
    out.has_opt = 1
    out.udp_size = max(load_be16(record + 2), <uint16_t> UDP_MIN)
    out.edns_version = record[5]
    out.dnssec_ok = (load_be16(record + 6) & OPT_DNSSEC_OK) != 0
    return DNS_OK


cdef int parse_records(const uint8_t* message, int n, Query* out) noexcept nogil:
    """Walk the records behind the question; OPT counts in the additional section, at the root name."""
    cdef int i, name, at = out.question_end
    cdef int before = load_be16(message + 6) + load_be16(message + 8)
    for i in range(before + load_be16(message + 10)):
        name = at
        at = skip_name(message, n, at)
        if at < 0 or at + FIXED > n or at + FIXED + load_be16(message + at + 8) > n:
            return DNS_RECORDS
        if i >= before and load_be16(message + at) == TYPE_OPT and at == name + 1:
            if parse_opt(message + at, out) != DNS_OK:
                return DNS_RECORDS
        at += FIXED + load_be16(message + at + 8)
    return DNS_OK


cdef int parse_query(const uint8_t* message, int n, Query* out) noexcept nogil:
    cdef int error
    memset(out, 0, sizeof(Query))
    out.udp_size = UDP_MIN
    if n < HEADER:
        return DNS_SHORT
    out.id = load_be16(message)
    out.flags = load_be16(message + 2)
    if out.flags & FLAG_QR:
        return DNS_NOT_QUERY
    if out.flags & FLAG_OPCODE:
        return DNS_OPCODE
    if load_be16(message + 4) != 1:
        return DNS_QUESTIONS
    error = parse_question(message, n, out)
    return error if error else parse_records(message, n, out)


cdef int write_record(uint8_t* out, uint16_t type, uint32_t ttl, uint16_t size) noexcept nogil:
    """A record of the question's name up to its RDATA; 12 bytes."""
    store_be16(out, 0xC000 | HEADER)
    store_be16(out + 2, type)
    store_be16(out + 4, CLASS_IN)
    store_be32(out + 6, ttl)
    store_be16(out + 10, size)
    return 12


cdef int write_soa(uint8_t* out, uint32_t ttl) noexcept nogil:
    cdef int at = write_record(out, TYPE_SOA, ttl, SOA_BYTES)
    memcpy(out + at, soa_names, SOA_NAMES_BYTES)
    at += SOA_NAMES_BYTES
    store_be32(out + at, 1)
    store_be32(out + at + 4, 3600)
    store_be32(out + at + 8, 600)
    store_be32(out + at + 12, 86400)
    store_be32(out + at + 16, ttl)
    return at + 20


cdef int write_opt(uint8_t* out, const Query* query, const Answer* answer) noexcept nogil:
    cdef int size = 0
    out[0] = 0
    store_be16(out + 1, TYPE_OPT)
    store_be16(out + 3, UDP_PAYLOAD)
    store_be32(out + 5, (<uint32_t> (answer.rcode >> 4) << 24) | (OPT_DNSSEC_OK if query.dnssec_ok else 0))
    if answer.extended_error != DNS_NO_ERROR_TEXT:
        size = 6 + answer.text_length
        store_be16(out + OPT_BYTES, OPTION_EXTENDED_ERROR)
        store_be16(out + OPT_BYTES + 2, 2 + answer.text_length)
        store_be16(out + OPT_BYTES + 4, answer.extended_error)
        memcpy(out + OPT_BYTES + 6, answer.text, answer.text_length)
    store_be16(out + 9, size)
    return OPT_BYTES + size


cdef int write_answer(const uint8_t* message, const Query* query, const Answer* answer, uint8_t* out, int room) noexcept nogil:
    cdef int at = query.question_end
    cdef bint negative = answer.type == 0 and (answer.rcode == 0 or answer.rcode == RCODE_NXDOMAIN)
    cdef int body = 12 + answer.data_length if answer.type else 12 + SOA_BYTES if negative else 0
    cdef int opt = 0
    if query.has_opt:
        opt = OPT_BYTES + (6 + answer.text_length if answer.extended_error != DNS_NO_ERROR_TEXT else 0)
    cdef int limit = min(room, MESSAGE_MAX)
    if answer.limit:
        limit = min(limit, <int> min(answer.limit, query.udp_size))
    cdef bint truncated = at + body + opt > limit
    if truncated:
        body = 0
    if at + body + opt > min(room, MESSAGE_MAX):
        return -1
    memcpy(out, message, at)
    store_be16(out + 2, FLAG_QR | FLAG_RA | (query.flags & (FLAG_RD | FLAG_CD)) | (answer.rcode & 15)
               | (FLAG_AA if negative or answer.type else 0) | (FLAG_TC if truncated else 0))
    memset(out + 6, 0, 6)
    if body and answer.type:
        store_be16(out + 6, 1)
        at += write_record(out + at, answer.type, answer.ttl, answer.data_length)
        memcpy(out + at, answer.data, answer.data_length)
        at += answer.data_length
    elif body:
        store_be16(out + 8, 1)
        at += write_soa(out + at, answer.ttl)
    if opt:
        store_be16(out + 10, 1)
        at += write_opt(out + at, query, answer)
    return at


cdef uint32_t load_ttl(const uint8_t* at) noexcept nogil:
    """A TTL; one with the top bit set counts as 0 (RFC 2181 §8)."""
    cdef uint32_t ttl = load_be32(at)
    return ttl if ttl <= TTL_MAX else 0


cdef int follow_alias(const uint8_t* message, int n, int at, int records, AddressScan* out) noexcept nogil:
    """Append the CNAME target of the last name; 0 when it has none, or one that is in the chain already."""
    cdef uint8_t owner[255]
    cdef int i, j, after, length, last = out.names - 1
    for i in range(records):
        length = read_name(message, n, at, owner)
        after = skip_name(message, n, at)
        at = after + FIXED + load_be16(message + after + 8)
        if (load_be16(message + after) != TYPE_CNAME or load_be16(message + after + 2) != CLASS_IN
                or length != out.name_length[last] or memcmp(owner, out.name[last], length) != 0):
            continue
        length = read_name(message, at, after + FIXED, out.name[last + 1])
        if length < 0:
            return 0
        for j in range(out.names):
            if out.name_length[j] == length and memcmp(out.name[j], out.name[last + 1], length) == 0:
                return 0
        out.name_length[last + 1] = length
        out.ttl[last + 1] = min(out.ttl[last], load_ttl(message + after + 4))
        out.names += 1
        return 1
    return 0


cdef void collect_addresses(const uint8_t* message, int n, int at, int records, AddressScan* out) noexcept nogil:
    """Keep the A and AAAA records of names in the chain."""
    cdef uint8_t owner[255]
    cdef int i, j, after, length, size
    for i in range(records):
        length = read_name(message, n, at, owner)
        after = skip_name(message, n, at)
        size = load_be16(message + after + 8)
        at = after + FIXED + size
        if load_be16(message + after + 2) != CLASS_IN or out.found == DNS_FOUND_MAX:
            continue
        if size != (4 if load_be16(message + after) == TYPE_A else 16 if load_be16(message + after) == TYPE_AAAA else -1):
            continue
        for j in range(out.names):
            if length == out.name_length[j] and memcmp(owner, out.name[j], length) == 0:
                out.address[out.found].owner = j
                out.address[out.found].length = size
                out.address[out.found].ttl = min(out.ttl[j], load_ttl(message + after + 4))
                memcpy(out.address[out.found].address, message + after + FIXED, size)
                out.found += 1
                break


cdef int scan_addresses(const uint8_t* message, int n, AddressScan* out) noexcept nogil:
    cdef int at, end, i, records
    out.names = out.found = 0
    if n < HEADER:
        return DNS_SHORT
    if not load_be16(message + 2) & FLAG_QR:
        return DNS_NOT_QUERY
    if load_be16(message + 2) & FLAG_OPCODE:
        return DNS_OPCODE
    if load_be16(message + 4) != 1:
        return DNS_QUESTIONS
    out.name_length[0] = max(0, read_name(message, n, HEADER, out.name[0]))
    if out.name_length[0] == 0:
        return DNS_NAME
    at = skip_name(message, n, HEADER) + 4
    if at > n:
        return DNS_SHORT
    records = min(<int> load_be16(message + 6), <int> DNS_RECORDS_MAX)
    end = at
    for i in range(records):
        end = skip_name(message, n, end)
        if end < 0 or end + FIXED > n or end + FIXED + load_be16(message + end + 8) > n:
            return DNS_RECORDS
        end += FIXED + load_be16(message + end + 8)
    out.names = 1
    out.ttl[0] = TTL_MAX
    while out.names <= DNS_CHAIN_MAX and follow_alias(message, n, at, records, out):
        pass
    collect_addresses(message, n, at, records, out)
    return DNS_OK


class QueryRecord(NamedTuple):
    """A query as read: name in lower case without the final dot, flags as on the wire, udp_size 512 without OPT."""

    id: int
    flags: int
    name: str
    type: int
    klass: int
    udp_size: int
    has_opt: bool
    dnssec_ok: bool
    edns_version: int


def read_query(message):
    """Read a DNS query.

    Args:
        message: bytes-like; read where it lies.
    Returns:
        A QueryRecord, or the DnsError that says why it is none.
    Source: RFC 1035 §4.1, RFC 6891 §6.1.
    """
    cdef Py_buffer held
    cdef int error
    cdef Query query
    hold(message, "message", &held)
    with nogil:
        error = parse_query(<const uint8_t*> held.buf, <int> min(held.len, MESSAGE_MAX), &query)
    PyBuffer_Release(&held)
    if error:
        return DnsError(error)
    return QueryRecord(query.id, query.flags, text_of(query.name), query.type, query.klass, query.udp_size,
                       bool(query.has_opt), bool(query.dnssec_ok), query.edns_version)


def read_batch(PacketBatch batch not None, errors):
    """Judge the payload of each live UDP row as a query; 255 in `errors` (uint8[≥ count]) for other rows.

    Returns:
        Rows that are queries.
    Raises:
        TypeError, ValueError: errors is no array of uint8, not contiguous, not writable, or shorter than the batch.
    """
    cdef uint8_t[::1] out = writable8(errors, "errors")
    cdef Query query
    cdef int i, end, at, queries = 0
    if out.shape[0] < batch.columns.count:
        raise ValueError(f"errors must have at least {batch.columns.count} elements, not {out.shape[0]}")
    with nogil:
        for i in range(batch.columns.count):
            at, end = batch.columns.l4_start[i] + 8, batch.columns.inner_start[i] + batch.columns.inner_length[i]
            out[i] = 255
            if batch.columns.reason[i] == 0 and batch.columns.protocol[i] == 17 and batch.columns.fragment[i] != 2:
                out[i] = parse_query(row(&batch.columns, i) + at, max(0, min(end, batch.columns.room) - at), &query)
                queries += out[i] == DNS_OK
    return queries


def _refuse(message, error):
    """The 12-byte answer to a message that is no proper query; b"" when it must not be answered."""
    if error in (DNS_NOT_QUERY, DNS_SHORT) and (len(message) < HEADER or message[2] & 0x80):
        return b""
    rcode = RCODE_NOTIMP if error == DNS_OPCODE else RCODE_FORMERR
    return message[:2] + bytes([0x80 | message[2] & 0x79, rcode]) + bytes(8)


def build_answer(message, *, rcode=0, type=0, data=b"", ttl=0, extended_error=None, text="", limit=UDP_PAYLOAD):
    """Build the answer to a query.

    Args:
        message: the query; one that cannot be read is answered with FORMERR or NOTIMP, or with b"" if it is no query at all.
        rcode: 0 … 4095; above 15 needs OPT in the query, without it SERVFAIL is sent.
        type, data: the one record of the answer, class IN, RDATA uncompressed; type 0 for none.
        ttl: seconds, of the record or of the SOA that a negative answer (no data with NOERROR or NXDOMAIN) carries.
        extended_error, text: INFO-CODE and EXTRA-TEXT (at most 255 bytes of UTF-8), sent iff the query has OPT.
        limit: bytes of an answer by UDP, the client's own limit applies too; None by TCP.
    Returns:
        bytes; with TC set and no record when the limit is exceeded.
    Raises:
        TypeError, ValueError: an argument is of another type, or out of range.
    Source: RFC 1035 §4.1, RFC 2308 §5, RFC 6891 §6, RFC 8914 §2.
    """
    cdef Query query
    cdef Answer answer
    cdef bytes query_bytes = octets(message, "message")[:MESSAGE_MAX]
    cdef bytes rdata = octets(data, "data"), words = encoded(text, "text")
    answer.rcode, answer.type = <int> integer(rcode, "rcode", 0, 4095), <int> integer(type, "type", 0, SHORT_MAX)
    answer.ttl, answer.limit = <uint32_t> integer(ttl, "ttl", 0, TTL_MAX), <int> integer(limit or 0, "limit", 0, SHORT_MAX)
    answer.extended_error = DNS_NO_ERROR_TEXT if extended_error is None \
        else <int> integer(extended_error, "extended_error", 0, DNS_NO_ERROR_TEXT - 1)
    for name, size, most in (("data", len(rdata), DATA_MAX), ("text", len(words), TEXT_MAX)):
        if size > most:
            raise ValueError(f"{name} must be at most {most} bytes, not {size}")
    error = parse_query(<const uint8_t*> query_bytes, len(query_bytes), &query)
    if error:
        return _refuse(query_bytes, error)
    answer.rcode = RCODE_SERVFAIL if answer.rcode > 15 and not query.has_opt else answer.rcode
    answer.data, answer.data_length = <const uint8_t*> rdata, len(rdata)
    answer.text, answer.text_length = <const uint8_t*> words, len(words)
    out = bytearray(query.question_end + 12 + max(len(rdata), SOA_BYTES) + OPT_BYTES + 6 + len(words))
    size = write_answer(<const uint8_t*> query_bytes, &query, &answer, <uint8_t*> out, len(out))
    return bytes(out[:size])


def read_addresses(message):
    """Read the addresses that an answer gives to the name it was asked for, through its CNAMEs.

    Args:
        message: bytes-like; an answer. Of more than 512 answer records the first 512 count, of the addresses the first 256.
    Returns:
        A list of (names, address, ttl): names is the question's name and the CNAME targets up to the address's owner, lower case,
        no final dot; address 4 or 16 bytes; ttl in seconds, the least along the chain. Empty for anything that is no answer.
    Source: RFC 1035 §4.1, §3.6.2; RFC 2181 §8.
    """
    cdef Py_buffer held
    cdef int error
    cdef AddressScan scan
    hold(message, "message", &held)
    with nogil:
        error = scan_addresses(<const uint8_t*> held.buf, <int> min(held.len, MESSAGE_MAX), &scan)
    PyBuffer_Release(&held)
    if error:
        return []
    names = tuple([text_of(scan.name[i]) for i in range(scan.names)])
    return [(names[:scan.address[i].owner + 1], scan.address[i].address[:scan.address[i].length], scan.address[i].ttl)
            for i in range(scan.found)]
