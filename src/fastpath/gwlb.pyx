"""GWLB: the three options that AWS Gateway Load Balancer puts into every Geneve header.

    class 0x0108  type 1  length 8   endpoint ENI id; as 17 hex digits the suffix of the endpoint's vpce- name
    class 0x0108  type 2  length 8   attachment id, only ever echoed
    class 0x0108  type 3  length 4   flow cookie, only ever echoed

Journey: after geneve.decode. Unknown options are skipped. Source: AWS Gateway Load Balancer guide, "Geneve".
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.action cimport *
from fastpath.batch cimport Columns, PacketBatch, alive, drop, row
from fastpath.geneve cimport GENEVE_BASE_BYTES, GENEVE_IPV4, GENEVE_IPV6, write_base
from fastpath.wire cimport load_be16, load_be32, load_be64, store_be16, store_be32, store_be64

cdef enum:
    ENDPOINT = 1
    ATTACHMENT = 2
    COOKIE = 3
    ALL = 0b1110


cdef uint8_t decode_row(Columns* b, int i) noexcept nogil:
    cdef const uint8_t* at = row(b, i) + b.geneve_start[i] + GENEVE_BASE_BYTES
    cdef const uint8_t* end = row(b, i) + b.geneve_start[i] + b.geneve_length[i]
    cdef int seen = 0, size
    if b.geneve_length[i] > GWLB_HEADER_MAX:
        return DROP_GWLB_HEADER_LONG
    while at < end:      # geneve.decode has checked that every option fits
        size = 4 * (at[3] & 0x1F)
        if load_be16(at) == GWLB_CLASS and ENDPOINT <= at[2] <= COOKIE:
            if size != (4 if at[2] == COOKIE else 8):
                return DROP_GWLB_OPTION_LENGTH
            if at[2] == ENDPOINT:
                b.endpoint[i] = load_be64(at + 4)
            elif at[2] == ATTACHMENT:
                b.attachment[i] = load_be64(at + 4)
            else:
                b.cookie[i] = load_be32(at + 4)
            seen |= 1 << at[2]
        at += 4 + size
    return DROP_NONE if seen == ALL else DROP_GWLB_OPTION_MISSING


cdef int decode(Columns* b) noexcept nogil:
    cdef int i
    cdef uint8_t reason
    for i in range(b.count):
        if b.reason[i] == DROP_NONE:
            reason = decode_row(b, i)
            if reason != DROP_NONE:
                drop(b, i, reason)
    return alive(b)


cdef void write_header(uint8_t* at, uint64_t endpoint, uint64_t attachment, uint32_t cookie, uint8_t ip_version) noexcept nogil:
    write_base(at, GWLB_HEADER_BYTES - GENEVE_BASE_BYTES, 0, GENEVE_IPV4 if ip_version == 4 else GENEVE_IPV6, 0)
    store_be16(at + 8, GWLB_CLASS)
    at[10], at[11] = ENDPOINT, 2
    store_be64(at + 12, endpoint)
    store_be16(at + 20, GWLB_CLASS)
    at[22], at[23] = ATTACHMENT, 2
    store_be64(at + 24, attachment)
    store_be16(at + 32, GWLB_CLASS)
    at[34], at[35] = COOKIE, 1
    store_be32(at + 36, cookie)


def decode_batch(PacketBatch batch not None):
    """Read the three options of each live row's Geneve header; write endpoint, attachment and cookie.

    Returns:
        Rows alive.
    Drops:
        GWLB_OPTION_MISSING, GWLB_OPTION_LENGTH, GWLB_HEADER_LONG (more than 48 bytes: a flow could not echo it).
    """
    cdef int n
    with nogil:
        n = decode(&batch.columns)
    return n


def header(uint64_t endpoint, uint64_t attachment, uint32_t cookie, int ip_version):
    """Return the 40-byte Geneve header that GWLB would send.

    Raises:
        ValueError: ip_version is not 4 or 6.
        OverflowError: a number does not fit its option.
    """
    if ip_version not in (4, 6):
        raise ValueError(f"ip_version must be 4 or 6, not {ip_version}")
    cdef uint8_t[40] out
    write_header(out, endpoint, attachment, cookie, ip_version)
    return out[:40]


def endpoint_name(uint64_t endpoint):
    """Return the name of an endpoint id: "vpce-" and 17 hex digits."""
    return f"vpce-{endpoint:017x}"


def endpoint_id(str name not None):
    """Return the id of an endpoint name.

    Raises:
        ValueError: name is not "vpce-" and 17 lower-case hex digits of a 64-bit number.
    """
    digits = name.removeprefix("vpce-")
    if len(digits) != 17 or len(name) != 22 or digits[0] != "0" or not set(digits) <= set("0123456789abcdef"):
        raise ValueError(f"name must be 'vpce-0' and 16 lower-case hex digits, not {name!r}")
    return int(digits, 16)
