"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

Journey: rewrite and packet's MSS clamp update sums in place; whole sums are for tests, tools and headers made here. Sums
are of 16-bit words in host order. It knows no header: a pseudo-header is the caller's to add.
"""

from libc.stdint cimport uint8_t, uint16_t


def checksum(const uint8_t[::1] data not None):
    """Return the Internet checksum of `data` in host order; over a header that holds its checksum it is 0 (RFC 1071).

    Raises:
        ValueError: data is longer than 65,535 bytes.
    """
    if len(data) > 65535:
        raise ValueError(f"data must be at most 65535 bytes, not {len(data)}")
    return fold(add(&data[0], len(data), 0)) if len(data) else 0xFFFF


def updated(uint16_t checksum, uint16_t old, uint16_t new):
    """Return `checksum` after one 16-bit word changed from `old` to `new` (RFC 1624, equation 3)."""
    return update16(checksum, old, new)
