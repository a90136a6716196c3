# Look-ups of 64 IPv4 addresses at once by gathered loads: vector paths of fib. Row 0; it knows cells as bits only.
#
# Each returns the addresses that it left undone, bit k for address k; their out is a link to follow. A lane of a gather is one
# aligned load of 8 bytes or 4, so a cell is read whole. Which path runs is chosen once a table, by what the processor has.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    PATH_SCALAR = 0
    PATH_AVX2 = 1
    PATH_AVX512 = 2

cdef extern from *:
    """
    #define fastpath_ones32(x) ((unsigned) __builtin_popcount(x))
    #define fastpath_rarely(x) __builtin_expect(!!(x), 0)
    #define fastpath_lowest(x) __builtin_ctzll(x)
    #if defined(__x86_64__)
    #include <immintrin.h>
    #define FASTPATH_AVX2 __attribute__((target("avx2")))
    #define FASTPATH_AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")))

    static int fastpath_best_path(void) {
        if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2")) return 0;
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vpopcntdq") ? 2 : 1;
    }

    /* Those of 64 outcomes that lead to 256 values (bit 30 of a link) become these. Bit 31 of `at`: may be a link. */
    FASTPATH_AVX2 static inline uint64_t fastpath_flat64(const uint32_t *values, const uint32_t *addresses, uint32_t *out,
                                                         const __m256i *at) {
        const __m256i last = _mm256_set1_epi32(255), place = _mm256_set1_epi32((1 << 30) - 1);
        uint64_t flat = 0;
        for (int i = 0; i < 8; i++) {
            __m256i outcome = _mm256_loadu_si256((const __m256i *) out + i);
            __m256i address = _mm256_loadu_si256((const __m256i *) addresses + i);
            __m256i on = _mm256_and_si256(_mm256_and_si256(outcome, at[i]), _mm256_slli_epi32(outcome, 1));
            __m256i found = _mm256_add_epi32(_mm256_and_si256(outcome, place), _mm256_and_si256(address, last));
            found = _mm256_mask_i32gather_epi32(outcome, (const int *) values, found, on, 4);
            _mm256_storeu_si256((__m256i *) out + i, found);
            flat |= (uint64_t) (uint32_t) _mm256_movemask_ps(_mm256_castsi256_ps(on)) << 8 * i;
        }
        return flat;
    }

    __attribute__((always_inline)) FASTPATH_AVX2 static inline uint64_t fastpath_gather64(
            const uint64_t *cells, const uint32_t *values, const uint32_t *addresses, uint32_t *out, int deep) {
        const __m256i counts = _mm256_setr_epi8(0,1,1,2,1,2,2,3,1,2,2,3,2,3,3,4,0,1,1,2,1,2,2,3,1,2,2,3,2,3,3,4);
        const __m256i last13 = _mm256_set1_epi32(8191), one = _mm256_set1_epi32(1);
        const __m256i low = _mm256_set1_epi8(15), slots = _mm256_set1_epi32(31), ones8 = _mm256_set1_epi8(1);
        uint64_t rest = 0;
        __m256i at[8];
        for (int i = 0; i < 8; i++) {
            __m256i a = _mm256_loadu_si256((const __m256i *) addresses + i), cell = _mm256_srli_epi32(a, 13);
            __builtin_prefetch(addresses + 128 + 8 * i);
            __m256 front = _mm256_castsi256_ps(_mm256_i32gather_epi64((const long long *) cells, _mm256_castsi256_si128(cell), 8));
            __m256 back = _mm256_castsi256_ps(_mm256_i32gather_epi64((const long long *) cells, _mm256_extracti128_si256(cell, 1), 8));
            __m256i starts = _mm256_castps_si256(_mm256_shuffle_ps(front, back, 0x88));
            __m256i base = _mm256_castps_si256(_mm256_shuffle_ps(front, back, 0xDD));
            /* the shuffles leave lanes 0 1 4 5 2 3 6 7 */
            __m256i slot = _mm256_andnot_si256(_mm256_srli_epi32(_mm256_permute4x64_epi64(a, 0xD8), 8), slots);
            if (deep) {
                __m256i last = _mm256_and_si256(_mm256_permute4x64_epi64(a, 0xD8), last13);
                base = _mm256_add_epi32(base, _mm256_sign_epi32(last, _mm256_and_si256(starts, one)));
            }
            starts = _mm256_sllv_epi32(starts, slot);
            __m256i run = _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(starts, low)),
                                          _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi32(starts, 4), low)));
            run = _mm256_madd_epi16(_mm256_maddubs_epi16(run, ones8), _mm256_set1_epi16(1));
            run = _mm256_permute4x64_epi64(_mm256_add_epi32(run, base), 0xD8);
            at[i] = run;
        }
        for (int i = 0; i < 8; i++) {
            __m256i place = _mm256_and_si256(at[i], _mm256_set1_epi32(0x7FFFFFFF));
            __m256i outcome = _mm256_i32gather_epi32((const int *) values, place, 4);
            _mm256_storeu_si256((__m256i *) out + i, outcome);
            rest |= (uint64_t) (uint32_t) _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_and_si256(outcome, at[i]))) << 8 * i;
        }
        if (__builtin_popcountll(rest) < 16) return rest;        /* a step for all would cost more than each by itself */
        return rest & ~fastpath_flat64(values, addresses, out, at);
    }

    FASTPATH_AVX2 static uint64_t fastpath_gather4_avx2(const uint64_t *cells, const uint32_t *values,
                                                        const uint32_t *addresses, uint32_t *out, int deep) {
        return deep ? fastpath_gather64(cells, values, addresses, out, 1) : fastpath_gather64(cells, values, addresses, out, 0);
    }

    /* Where the outcomes of sixteen addresses are, by cells at `cell` and slots in the last 5 bits of `slot`, or, of a deep cell,
       `deep` behind it; bit 31: may be links. */
    FASTPATH_AVX512 static inline __m512i fastpath_places16(const uint64_t *cells, __mmask16 on, __m512i cell, __m512i slot,
                                                           __m512i deep) {
        const __m512i even = _mm512_setr_epi32(0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30);
        const __m512i odd = _mm512_setr_epi32(1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31);
        const __m512i zero = _mm512_setzero_si512();
        __m512i one = _mm512_mask_i32gather_epi64(zero, (__mmask8) on, _mm512_castsi512_si256(cell), cells, 8);
        __m512i two = _mm512_mask_i32gather_epi64(zero, (__mmask8) (on >> 8), _mm512_extracti64x4_epi64(cell, 1), cells, 8);
        __m512i starts = _mm512_permutex2var_epi32(one, even, two), base = _mm512_permutex2var_epi32(one, odd, two);
        base = _mm512_mask_add_epi32(base, _mm512_test_epi32_mask(starts, _mm512_set1_epi32(1)), base, deep);
        starts = _mm512_sllv_epi32(starts, _mm512_andnot_si512(slot, _mm512_set1_epi32(31)));
        return _mm512_add_epi32(_mm512_popcnt_epi32(starts), base);
    }

    /* All links of 64 outcomes lead on, to 256 values (bit 30) or to 8 cells, each step for all before the next. */
    FASTPATH_AVX512 static void fastpath_follow64(const uint64_t *cells, const uint32_t *values, const uint32_t *addresses,
                                                  uint32_t *out, uint64_t links, uint64_t flat) {
        const __m512i last = _mm512_set1_epi32(255), place = _mm512_set1_epi32((1 << 30) - 1);
        __m512i at[4];
        for (int i = 0; i < 4; i++) {
            __m512i address = _mm512_loadu_si512((const __m512i *) addresses + i);
            at[i] = _mm512_and_si512(_mm512_loadu_si512((const __m512i *) out + i), place);
            if (links != flat) {
                __mmask16 on = (__mmask16) ((links & ~flat) >> 16 * i);
                __m512i cell = _mm512_add_epi32(at[i], _mm512_srli_epi32(_mm512_and_si512(address, last), 5));
                at[i] = _mm512_mask_mov_epi32(at[i], on, fastpath_places16(cells, on, cell, address, _mm512_setzero_si512()));
            }
            at[i] = _mm512_mask_add_epi32(at[i], (__mmask16) (flat >> 16 * i), at[i], _mm512_and_si512(address, last));
        }
        for (int i = 0; i < 4; i++) {
            __m512i outcome = _mm512_loadu_si512((const __m512i *) out + i);
            outcome = _mm512_mask_i32gather_epi32(outcome, (__mmask16) (links >> 16 * i), at[i], values, 4);
            _mm512_storeu_si512((__m512i *) out + i, outcome);
        }
    }

    FASTPATH_AVX512 static uint64_t fastpath_gather4_avx512(const uint64_t *cells, const uint32_t *values,
                                                            const uint32_t *addresses, uint32_t *out) {
        uint64_t links = 0, flat = 0;
        __m512i at[4];
        for (int i = 0; i < 4; i++) {
            __m512i address = _mm512_loadu_si512((const __m512i *) addresses + i);
            __builtin_prefetch(addresses + 128 + 16 * i);
            at[i] = fastpath_places16(cells, 0xFFFF, _mm512_srli_epi32(address, 13), _mm512_srli_epi32(address, 8),
                                      _mm512_and_si512(address, _mm512_set1_epi32(8191)));
        }
        for (int i = 0; i < 4; i++) {
            __m512i outcome = _mm512_i32gather_epi32(_mm512_and_si512(at[i], _mm512_set1_epi32(0x7FFFFFFF)), values, 4);
            __mmask16 on = _mm512_movepi32_mask(_mm512_and_si512(at[i], outcome));
            _mm512_storeu_si512((__m512i *) out + i, outcome);
            links |= (uint64_t) on << 16 * i;
            flat |= (uint64_t) _mm512_mask_test_epi32_mask(on, outcome, _mm512_set1_epi32(1 << 30)) << 16 * i;
        }
        if (__builtin_popcountll(links) < 16) return links;      /* a step for all would cost more than each by itself */
        fastpath_follow64(cells, values, addresses, out, links, flat);
        return 0;
    }
    #else
    #define fastpath_best_path() 0
    #define fastpath_gather4_avx2(cells, values, addresses, out, deep) 0
    #define fastpath_gather4_avx512(cells, values, addresses, out) 0
    #endif
    """
    unsigned ones "fastpath_ones32" (uint32_t x) noexcept nogil
    bint rarely "fastpath_rarely" (uint64_t x) noexcept nogil
    int lowest "fastpath_lowest" (uint64_t x) noexcept nogil
    int best_path "fastpath_best_path" () noexcept nogil
    # deep: whether there may be deep cells.
    uint64_t gather4_avx2 "fastpath_gather4_avx2" (const uint64_t* cells, const uint32_t* values, const uint32_t* addresses,
                                                   uint32_t* out, bint deep) noexcept nogil
    uint64_t gather4_avx512 "fastpath_gather4_avx512" (const uint64_t* cells, const uint32_t* values, const uint32_t* addresses,
                                                       uint32_t* out) noexcept nogil
