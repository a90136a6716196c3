"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

Journey: rewrite and packet's MSS clamp update sums in place; whole sums are for tests, tools and headers made here. Sums
are of 16-bit words in host order. It knows no header: a pseudo-header is the caller's to add.
"""

from libc.stdint cimport uint8_t, uint16_t

from fastpath.arguments cimport SHORT_MAX, integer, octets, uint8s

PATHS = ("scalar", "avx2")[:1 + sums_wide()]


def checksum(data):
    """Return the Internet checksum of `data` in host order; over a header that holds its checksum it is 0 (RFC 1071).

    Raises:
        ValueError: data is longer than 65,535 bytes.
    """
    cdef const uint8_t[::1] summed = uint8s(data, "data")
    cdef int n = size_of(summed.shape[0])
    return fold(add(&summed[0], n, 0)) if n else 0xFFFF


def checksum_by(data, path):
    """Do as `checksum`, by one of PATHS; `checksum` takes the best for the length. An argument of it would slow every call.

    Raises:
        ValueError: data is longer than 65,535 bytes, or path is not one of PATHS.
    """
    cdef bytes summed = octets(data, "data")
    cdef int n = size_of(len(summed))
    if path not in PATHS:
        raise ValueError(f"path must be one of {', '.join(PATHS)}, not {path!r}")
    cdef const uint8_t* at = summed
    return fold(swapped(sum_wide(at, n & ~3) if path == "avx2" else sum_words(at, n & ~3), at, n, 0))


cdef inline int size_of(Py_ssize_t size) except -1:
    if size > SHORT_MAX:
        raise ValueError(f"data must be at most {SHORT_MAX} bytes, not {size}")
    return <int> size


def updated(checksum, old, new):
    """Return `checksum` after one 16-bit word changed from `old` to `new` (RFC 1624, equation 3).

    Raises:
        ValueError: one of them has more than 16 bits.
    """
    return update16(<uint16_t> integer(checksum, "checksum", 0, SHORT_MAX), <uint16_t> integer(old, "old", 0, SHORT_MAX),
                    <uint16_t> integer(new, "new", 0, SHORT_MAX))
