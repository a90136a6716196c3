"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

Journey: rewrite and packet's MSS clamp update sums in place; whole sums are for tests, tools and headers made here. Sums
are of 16-bit words in host order. It knows no header: a pseudo-header is the caller's to add.
"""

from libc.stdint cimport uint8_t, uint16_t

from fastpath.arguments cimport SHORT_MAX, integer, uint8s


def checksum(data):
    """Return the Internet checksum of `data` in host order; over a header that holds its checksum it is 0 (RFC 1071).

    Raises:
        ValueError: data is longer than 65,535 bytes.
    """
    cdef const uint8_t[::1] summed = uint8s(data, "data")
    if summed.shape[0] > SHORT_MAX:
        raise ValueError(f"data must be at most {SHORT_MAX} bytes, not {summed.shape[0]}")
    return fold(add(&summed[0], <int> summed.shape[0], 0)) if summed.shape[0] else 0xFFFF


def updated(checksum, old, new):
    """Return `checksum` after one 16-bit word changed from `old` to `new` (RFC 1624, equation 3).

    Raises:
        ValueError: one of them has more than 16 bits.
    """
    return update16(<uint16_t> integer(checksum, "checksum", 0, SHORT_MAX), <uint16_t> integer(old, "old", 0, SHORT_MAX),
                    <uint16_t> integer(new, "new", 0, SHORT_MAX))
