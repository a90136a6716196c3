# The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). Row 0.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath.wire cimport load_be16, swap16

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* The sum of the 32-bit words of n bytes, a multiple of 4, as wide as the compiler makes it. */
    static inline uint64_t fastpath_sum_words(const unsigned char *at, int n) {
        uint64_t total = 0;
        for (int k = 0; k < n; k += 4) {
            uint32_t word;
            memcpy(&word, at + k, 4);
            total += word;
        }
        return total;
    }
    #ifdef __x86_64__
    #include <immintrin.h>
    #define fastpath_sums_wide() (__builtin_cpu_supports("avx2") != 0)
    /* The same by AVX2. */
    static __attribute__((target("avx2"), noinline)) uint64_t fastpath_sum_wide(const unsigned char *at, int n) {
        const __m256i low = _mm256_set1_epi64x(0xFFFFFFFF);
        __m256i even = _mm256_setzero_si256(), odd = even, even2 = even, odd2 = even;
        int k = 0;
        for (; k + 64 <= n; k += 64) {
            __m256i a = _mm256_loadu_si256((const __m256i *) (at + k)), b = _mm256_loadu_si256((const __m256i *) (at + k + 32));
            even = _mm256_add_epi64(even, _mm256_and_si256(a, low));
            odd = _mm256_add_epi64(odd, _mm256_srli_epi64(a, 32));
            even2 = _mm256_add_epi64(even2, _mm256_and_si256(b, low));
            odd2 = _mm256_add_epi64(odd2, _mm256_srli_epi64(b, 32));
        }
        even = _mm256_add_epi64(_mm256_add_epi64(even, odd), _mm256_add_epi64(even2, odd2));
        __m128i half = _mm_add_epi64(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
        uint64_t total = (uint64_t) _mm_cvtsi128_si64(half) + (uint64_t) _mm_cvtsi128_si64(_mm_unpackhi_epi64(half, half));
        return total + fastpath_sum_words(at + k, n - k);
    }
    #else
    #define fastpath_sums_wide() 0
    #define fastpath_sum_wide fastpath_sum_words
    #endif
    """
    bint sums_wide "fastpath_sums_wide" () noexcept nogil
    uint64_t sum_words "fastpath_sum_words" (const uint8_t* at, int n) noexcept nogil
    uint64_t sum_wide "fastpath_sum_wide" (const uint8_t* at, int n) noexcept nogil

cdef enum:
    WIDE_FROM = 256      # bytes; below, setting out takes what it saves


cdef inline uint32_t add(const uint8_t* at, int n, uint32_t start) noexcept nogil:
    # The sum of 16-bit words does not depend on byte order but for a swap at the end (RFC 1071 §2B), so whole 32-bit words are
    # added as they lie, into 64 bits; carries are folded in once.
    if n >= WIDE_FROM and sums_wide():
        return swapped(sum_wide(at, n & ~3), at, n, start)
    return swapped(sum_words(at, n & ~3), at, n, start)


cdef inline uint32_t swapped(uint64_t total, const uint8_t* at, int n, uint32_t start) noexcept nogil:
    """`start` and the sum of n bytes, whose 32-bit words sum to `total`."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    total = swap16(<uint16_t> total)
    if n & 2:
        total += load_be16(at + (n & ~3))
    if n & 1:
        total += <uint32_t> at[n - 1] << 8
    return start + <uint32_t> total


cdef inline uint16_t fold(uint32_t total) noexcept nogil:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return <uint16_t> ~total


cdef inline uint16_t update16(uint16_t checksum, uint16_t old, uint16_t new) noexcept nogil:
    cdef uint32_t total = <uint32_t> (<uint16_t> ~checksum) + <uint16_t> ~old + new
    return fold(total)


cdef inline uint16_t update_bytes(uint16_t checksum, const uint8_t* old, const uint8_t* new, int n) noexcept nogil:
    # n is even and at most 32,768: the caller's words lie at even places of the sum, and 32 bits hold the carries.
    cdef int k
    cdef uint32_t total = <uint16_t> ~checksum
    for k in range(0, n, 2):
        total += <uint16_t> ~load_be16(old + k)
        total += load_be16(new + k)
    return fold(total)
