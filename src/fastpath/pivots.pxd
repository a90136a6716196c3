# The place of 64 IPv6 addresses among at most 512 sorted runs, by vectors. Row 0; what runs are, fib.pxd tells.
#
# A block: 8 words, 64 words, 8 words for each of `lines`, then as many values of 32 bits. The last part of the words are the
# ends of the runs, in order; the 64 are each eighth of those, the 8 each eighth of these, and what is beyond them all is the
# greatest number. Ends are compared as signed numbers, so their first bit is turned, as that of an address is. There is no
# branch: each address takes the same way.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <immintrin.h>
    #include <string.h>
    #define FASTPATH_RUNS __attribute__((target("avx2,bmi,bmi2")))

    FASTPATH_RUNS static inline unsigned fastpath_less8(const uint64_t *eight, const uint64_t *x) {     /* that are less than x */
        __m256i all = _mm256_set1_epi64x((long long) *x);
        __m256i a = _mm256_cmpgt_epi64(all, _mm256_load_si256((const __m256i *) eight));
        __m256i b = _mm256_cmpgt_epi64(all, _mm256_load_si256((const __m256i *) eight + 1));
        return (unsigned) __builtin_popcount((unsigned) _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_packs_epi32(a, b))));
    }

    FASTPATH_RUNS static void fastpath_runs64(const uint64_t *block, uint64_t lines, const uint8_t *addresses, uint32_t *out) {
        const __m256i swap = _mm256_setr_epi8(7,6,5,4,3,2,1,0,15,14,13,12,11,10,9,8,7,6,5,4,3,2,1,0,15,14,13,12,11,10,9,8);
        const uint64_t *top = lines > 8 ? block : block + 8, *ends = block + 72;
        const uint32_t *values = (const uint32_t *) (ends + 8 * lines);
        uint64_t x[64] __attribute__((aligned(32))), at[64] __attribute__((aligned(32)));
        for (int i = 0; i < 64; i += 4) {
            __m256i high, less = _mm256_setzero_si256();
            __builtin_prefetch(addresses + 2048 + 16 * i);
            high = _mm256_unpacklo_epi64(_mm256_loadu_si256((const __m256i *) (addresses + 16 * i)),
                                         _mm256_loadu_si256((const __m256i *) (addresses + 16 * i + 32)));      /* 0 2 1 3 */
            high = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(high, 0xD8), swap);
            high = _mm256_xor_si256(high, _mm256_set1_epi64x((long long) ((uint64_t) 1 << 63)));
            for (int j = 0; j < 7; j++)
                less = _mm256_sub_epi64(less, _mm256_cmpgt_epi64(high, _mm256_set1_epi64x((long long) top[j])));
            _mm256_store_si256((__m256i *) (x + i), high);
            _mm256_store_si256((__m256i *) (at + i), less);
        }
        if (lines > 8)
            for (int k = 0; k < 64; k++) at[k] = 8 * at[k] + fastpath_less8(block + 8 + 8 * at[k], &x[k]);
        for (int k = 0; k < 64; k++) out[k] = values[8 * at[k] + fastpath_less8(ends + 8 * at[k], &x[k])];
    }
    #else
    #define fastpath_runs64(block, lines, addresses, out) ((void) 0)
    #endif
    """
    void runs64 "fastpath_runs64" (const uint64_t* block, uint64_t lines, const uint8_t* addresses, uint32_t* out) noexcept nogil
