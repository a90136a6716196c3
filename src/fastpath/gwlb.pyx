"""GWLB: the three options that AWS Gateway Load Balancer puts into every Geneve header.

    class 0x0108  type 1  length 8   endpoint ENI id; as 17 hex digits the suffix of the endpoint's vpce- name
    class 0x0108  type 2  length 8   attachment id, only ever echoed
    class 0x0108  type 3  length 4   flow cookie, only ever echoed

Journey: after geneve.decode. Unknown options are skipped, unless they are critical (RFC 8926
§3.5). Source: AWS Gateway Load Balancer guide, "Geneve".
"""

from libc.stdint cimport uint8_t, uint32_t

from fastpath.arguments cimport WORD_MAX, integer, uint64
from fastpath.batch cimport PacketBatch, inside


def decode_batch(PacketBatch batch not None):
    """Read the three options of each live row's Geneve header; write endpoint, attachment and cookie.

    Returns:
        Rows alive.
    Drops:
        GWLB_OPTION_MISSING, GWLB_OPTION_LENGTH, GWLB_HEADER_LONG (more than 48 bytes: a flow could not echo it),
        GENEVE_PROTOCOL: a critical option, which GWLB has none of.
    Raises:
        ValueError: geneve_start and geneve_length of a row leave it.
    """
    cdef int n
    inside(&batch.columns, batch.columns.geneve_start, batch.columns.geneve_length, "geneve_start and geneve_length")
    with nogil:
        n = decode(&batch.columns)
    return n


def header(endpoint, attachment, cookie, ip_version):
    """Return the 40-byte Geneve header that GWLB would send.

    Raises:
        ValueError: ip_version is not 4 or 6, or a number does not fit its option.
    """
    cdef uint8_t[40] out
    cdef int version = <int> integer(ip_version, "ip_version, 4 or 6,", 4, 6)
    if version == 5:
        raise ValueError("ip_version must be 4 or 6, not 5")
    write_header(out, uint64(endpoint, "endpoint"), uint64(attachment, "attachment"),
                 <uint32_t> integer(cookie, "cookie", 0, WORD_MAX), version)
    return out[:40]


def endpoint_name(endpoint):
    """Return the name of an endpoint id: "vpce-" and 17 hex digits.

    Raises:
        ValueError: endpoint has more than 64 bits.
    """
    return f"vpce-{uint64(endpoint, 'endpoint'):017x}"


def endpoint_id(str name not None):
    """Return the id of an endpoint name.

    Raises:
        ValueError: name is not "vpce-" and 17 lower-case hex digits of a 64-bit number.
    """
    digits = name.removeprefix("vpce-")
    if len(digits) != 17 or len(name) != 22 or digits[0] != "0" or not set(digits) <= set("0123456789abcdef"):
        raise ValueError(f"name must be 'vpce-0' and 16 lower-case hex digits, not {name!r}")
    return int(digits, 16)
