# Numbers and addresses as text, without the interpreter and without a zero at the end. Header only. Row 0.
#
# Each writes at `at` and returns where it has ended; what it may need at most is its constant.

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stdint.h>
    /* Two digits at a time; a digit a division would take twice as long. */
    static const char fastpath_pairs[] =
        "0001020304050607080910111213141516171819" "2021222324252627282930313233343536373839"
        "4041424344454647484950515253545556575859" "6061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    static const uint64_t fastpath_tens[] = {0, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
        10000000000u, 100000000000u, 1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u,
        10000000000000000u, 100000000000000000u, 1000000000000000000u, 10000000000000000000u};
    /* Bits to digits: 1233 / 4096 is a little above log10(2); the ten at that place says whether there is one more. */
    static inline int fastpath_digits(uint64_t value) {
        int about = (64 - __builtin_clzll(value | 1)) * 1233 >> 12;
        return about + (value >= fastpath_tens[about]);
    }
    """
    const char* PAIRS "fastpath_pairs"
    int digits "fastpath_digits" (uint64_t value) noexcept nogil

cdef enum:
    DECIMAL_MAX = 20
    IP4_MAX = 15
    IP6_MAX = 45               # with an IPv4 address at its end; 39 without


cdef inline uint8_t* write_decimal(uint8_t* at, uint64_t value) noexcept nogil:
    cdef int n = digits(value), k = n
    cdef uint64_t rest
    while value >= 100:
        rest = value // 100
        k -= 2
        memcpy(at + k, PAIRS + 2 * (value - 100 * rest), 2)
        value = rest
    if value >= 10:
        memcpy(at, PAIRS + 2 * value, 2)
    else:
        at[0] = <uint8_t> (48 + value)
    return at + n


# The four bytes of an address, each in decimals.
cdef inline uint8_t* write_ip4(uint8_t* at, const uint8_t* address) noexcept nogil:
    cdef int k
    for k in range(4):
        at = write_decimal(at, address[k])
        at[0] = 46              # .
        at += 1
    return at - 1


# The longest run of two or more groups that are zero, the first of equal ones: where it begins and ends; 8, 8 = none.
cdef inline void zero_run(const uint16_t* groups, int* begin, int* end) noexcept nogil:
    cdef int k, length = 0
    begin[0] = end[0] = 8
    for k in range(8):
        length = length + 1 if groups[k] == 0 else 0
        if length >= 2 and (begin[0] == 8 or length > end[0] - begin[0]):
            begin[0], end[0] = k + 1 - length, k + 1


cdef inline uint8_t* write_hex(uint8_t* at, uint16_t group) noexcept nogil:
    cdef int shift = 12, digit
    while shift and group >> shift == 0:
        shift -= 4
    while shift >= 0:
        digit = group >> shift & 15
        at[0] = <uint8_t> (48 + digit if digit < 10 else 87 + digit)
        at += 1
        shift -= 4
    return at


# The canonical text of 16 bytes (RFC 5952 §4). mixed: an IPv4-mapped address ends in decimals (§5).
cdef inline uint8_t* write_ip6(uint8_t* at, const uint8_t* address, bint mixed) noexcept nogil:
    cdef uint16_t[8] groups
    cdef int k, begin, end, last = 8
    for k in range(8):
        groups[k] = <uint16_t> (address[2 * k] << 8 | address[2 * k + 1])
    zero_run(groups, &begin, &end)
    if mixed and begin == 0 and end == 5 and groups[5] == 0xFFFF:
        last = 6
    k = 0
    while k < last:
        if k == begin:
            at[0] = at[1] = 58      # ::
            at += 2
            k = end
            continue
        if k and k != end:
            at[0] = 58              # :
            at += 1
        at = write_hex(at, groups[k])
        k += 1
    if last == 8:
        return at
    at[0] = 58
    return write_ip4(at + 1, address + 12)
