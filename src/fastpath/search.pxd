# Look-ups of 64 IPv6 addresses at once by vectors: fib's batches. Row 0; it knows links and lines as bits only (fib.pxd tells
# what they mean).
#
# All addresses take one step before any takes the next, while many are in groups; the rest go on one by one. Which way runs is
# chosen once a table, by what the processor has. `starts`: four times eight words and one, fib's Starts.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastpath.walk cimport walk64

cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <immintrin.h>
    #define FASTPATH_V3 __attribute__((target("avx2,bmi,bmi2")))
    #define FASTPATH_MANY 16         /* from so many of 64 on a step for all is cheaper than one for each */
    #define FASTPATH_AHEAD 2048      /* bytes: as far ahead addresses are fetched */

    typedef struct {
        uint64_t link[64] __attribute__((aligned(64)));
        uint64_t ahead[64] __attribute__((aligned(64)));         /* the bits that were not used yet, from the highest on */
    } FastpathWalk;

    /* Where 64 addresses stand that have left their groups. */
    typedef struct {
        uint32_t at[64] __attribute__((aligned(64)));            /* the place of a line, 0 for a value */
        uint32_t above[64] __attribute__((aligned(64)));         /* their key + 1 */
        uint64_t trees, leaves;
    } FastpathLines;

    static inline void fastpath_stray(const uint64_t *cells, const uint8_t *addresses, FastpathWalk *walk, uint64_t going) {
        for (; going; going &= going - 1) {
            int k = __builtin_ctzll(going);
            walk->link[k] = fastpath_walk(cells, fastpath_high(addresses + 16 * k), walk->link[k], &walk->ahead[k]);
        }
    }

    FASTPATH_V3 static inline uint32_t fastpath_leaf(const uint64_t *cells, uint64_t at, const uint32_t *above) {
        const uint32_t *line = (const uint32_t *) &cells[at];
        __m256i at_most = _mm256_cmpgt_epi32(_mm256_set1_epi32((int) *above), _mm256_load_si256((const __m256i *) line));
        return line[7 + __builtin_popcount((unsigned) _mm256_movemask_ps(_mm256_castsi256_ps(at_most)))];
    }

    /* Each line is fetched before the first is searched, where they may be far away. */
    #define FASTPATH_FINISH(name, target, below16) \\
    target static inline void name(const uint64_t *cells, FastpathLines *lines, uint32_t *out, uint64_t far) { \\
        uint32_t *at = lines->at, *above = lines->above; \\
        if (far) \\
            for (int k = 0; k < 64; k++) __builtin_prefetch(&cells[at[k]]); \\
        for (uint64_t left = lines->trees; left; left &= left - 1) { \\
            int k = __builtin_ctzll(left); \\
            at[k] += 8 * below16((const uint32_t *) &cells[at[k]], above[k]); \\
            if (far) __builtin_prefetch(&cells[at[k]]); \\
        } \\
        for (uint64_t left = lines->trees | lines->leaves; left; left &= left - 1) { \\
            int k = __builtin_ctzll(left); \\
            out[k] = fastpath_leaf(cells, at[k], &above[k]); \\
        } \\
    }

    FASTPATH_V3 static inline unsigned fastpath_below16_v3(const uint32_t *keys, uint32_t x) {    /* keys less than x */
        __m256i a = _mm256_cmpgt_epi32(_mm256_set1_epi32((int) x), _mm256_load_si256((const __m256i *) keys));
        __m256i b = _mm256_cmpgt_epi32(_mm256_set1_epi32((int) x), _mm256_load_si256((const __m256i *) keys + 1));
        return (unsigned) __builtin_popcount((unsigned) _mm256_movemask_epi8(_mm256_packs_epi32(a, b))) / 2;
    }
    FASTPATH_FINISH(fastpath_finish_v3, FASTPATH_V3, fastpath_below16_v3)

    FASTPATH_V3 static inline __m256i fastpath_swapped(const __m256i *at) {     /* the upper halves of four addresses */
        const __m256i swap = _mm256_setr_epi8(7,6,5,4,3,2,1,0,15,14,13,12,11,10,9,8,7,6,5,4,3,2,1,0,15,14,13,12,11,10,9,8);
        __m256i high = _mm256_unpacklo_epi64(_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1));     /* 0 2 1 3 */
        return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(high, 0xD8), swap);
    }

    /* The link of each branch; its halves are looked up by themselves, for lack of a permutation of 64-bit lanes. */
    FASTPATH_V3 static inline __m256i fastpath_pick4(const uint64_t *eight, __m256i branch) {     /* of eight words, four */
        const __m256i evens = _mm256_setr_epi32(0,2,4,6,0,2,4,6), odds = _mm256_setr_epi32(1,3,5,7,1,3,5,7);
        __m256i a = _mm256_loadu_si256((const __m256i *) eight), b = _mm256_loadu_si256((const __m256i *) eight + 1);
        __m256i low = _mm256_blend_epi32(_mm256_permutevar8x32_epi32(a, evens), _mm256_permutevar8x32_epi32(b, evens), 0xF0);
        __m256i high = _mm256_blend_epi32(_mm256_permutevar8x32_epi32(a, odds), _mm256_permutevar8x32_epi32(b, odds), 0xF0);
        return _mm256_blend_epi32(_mm256_permutevar8x32_epi32(low, branch), _mm256_permutevar8x32_epi32(high, branch), 0xAA);
    }

    FASTPATH_V3 static inline void fastpath_begin4(__m256i on, __m256i off, __m256i prefix, __m256i skipped, uint64_t *link,
                                                   uint64_t *ahead) {
        __m256i high = _mm256_load_si256((const __m256i *) ahead), differing = _mm256_xor_si256(high, prefix);
        differing = _mm256_srlv_epi64(differing, _mm256_sub_epi64(_mm256_set1_epi64x(64), skipped));
        on = _mm256_blendv_epi8(off, on, _mm256_cmpeq_epi64(differing, _mm256_setzero_si256()));
        _mm256_store_si256((__m256i *) link, on);
        _mm256_store_si256((__m256i *) ahead, _mm256_sllv_epi64(high, skipped));
    }

    /* Where 64 addresses start. Mostly all have the same first 3 bits; then nothing has to be looked up for each. */
    FASTPATH_V3 static inline void fastpath_start64(const uint64_t *starts, const uint8_t *addresses, FastpathWalk *walk) {
        const __m256i first = _mm256_set1_epi64x((long long) ((uint64_t) (addresses[0] >> 5) << 61));
        __m256i mixed = _mm256_setzero_si256();
        for (int i = 0; i < 64; i += 4) {
            __builtin_prefetch(addresses + FASTPATH_AHEAD + 16 * i);
            __m256i high = fastpath_swapped((const __m256i *) (addresses + 16 * i));
            _mm256_store_si256((__m256i *) (walk->ahead + i), high);
            mixed = _mm256_or_si256(mixed, _mm256_xor_si256(high, first));
        }
        if (_mm256_testz_si256(mixed, _mm256_set1_epi64x((long long) ((uint64_t) 7 << 61)))) {
            const uint64_t *start = starts + (addresses[0] >> 5);
            __m256i on = _mm256_set1_epi64x((long long) start[0]), off = _mm256_set1_epi64x((long long) start[8]);
            __m256i prefix = _mm256_set1_epi64x((long long) start[16]), skipped = _mm256_set1_epi64x((long long) start[24]);
            for (int i = 0; i < 64; i += 4) fastpath_begin4(on, off, prefix, skipped, walk->link + i, walk->ahead + i);
            return;
        }
        for (int i = 0; i < 64; i += 4) {
            __m256i high = _mm256_load_si256((const __m256i *) (walk->ahead + i));
            __m256i branch = _mm256_shuffle_epi32(_mm256_srli_epi64(high, 61), 0xA0);
            fastpath_begin4(fastpath_pick4(starts, branch), fastpath_pick4(starts + 8, branch), fastpath_pick4(starts + 16, branch),
                            fastpath_pick4(starts + 24, branch), walk->link + i, walk->ahead + i);
        }
    }

    FASTPATH_V3 static inline __m256i fastpath_load4(const uint64_t *at) {
        return _mm256_load_si256((const __m256i *) at);
    }

    /* The words at four places, each loaded whole, by itself: a gather is no faster, and far slower where microcode makes it safe. */
    FASTPATH_V3 static inline __m256i fastpath_words4(const uint64_t *cells, __m256i places) {
        uint64_t p[4];
        _mm256_storeu_si256((__m256i *) p, places);
        return _mm256_setr_epi64x((long long) cells[p[0]], (long long) cells[p[1]], (long long) cells[p[2]], (long long) cells[p[3]]);
    }

    FASTPATH_V3 static inline __m256i fastpath_in_group4(__m256i link) {
        __m256i kind = _mm256_and_si256(link, _mm256_set1_epi64x((long long) 319 << 32));
        return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long) 63 << 32), kind);
    }

    FASTPATH_V3 static inline uint64_t fastpath_bits4(__m256i link, int bit) {
        return (uint64_t) _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_sll_epi64(link, _mm_cvtsi32_si128(63 - bit))));
    }

    /* Four addresses take one step, in a group at `at`; those that are in none stay. Of those `off`, the link is there itself. */
    FASTPATH_V3 static inline void fastpath_enter4(const uint64_t *cells, uint64_t *link, uint64_t *ahead, __m256i on,
                                                   __m256i at, __m256i bits, __m256i off) {
        const __m256i last = _mm256_set1_epi64x(63);
        __m256i was = fastpath_load4(link), kind = _mm256_and_si256(_mm256_srli_epi64(was, 32), last);
        __m256i step = _mm256_srlv_epi64(_mm256_srli_epi64(bits, 1), kind);
        at = _mm256_and_si256(_mm256_add_epi64(at, _mm256_andnot_si256(off, step)), on);
        bits = _mm256_sllv_epi64(bits, _mm256_sub_epi64(last, kind));
        _mm256_store_si256((__m256i *) ahead, bits);
        _mm256_store_si256((__m256i *) link, _mm256_blendv_epi8(was, fastpath_words4(cells, at), on));
    }

    FASTPATH_V3 static inline void fastpath_step4(const uint64_t *cells, uint64_t *link, uint64_t *ahead) {
        __m256i was = fastpath_load4(link), on = _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long) 63 << 32), was);
        __m256i at = _mm256_and_si256(was, _mm256_set1_epi64x(0xFFFFFFFF));
        fastpath_enter4(cells, link, ahead, on, at, fastpath_load4(ahead), _mm256_setzero_si256());
    }

    /* The same where some of them are before a leap. */
    FASTPATH_V3 static inline void fastpath_leap4(const uint64_t *cells, const uint8_t *addresses, uint64_t *link, uint64_t *ahead) {
        __m256i was = fastpath_load4(link), at = _mm256_and_si256(was, _mm256_set1_epi64x(0xFFFFFFFF));
        __m256i leap = _mm256_slli_epi64(was, 22), high = fastpath_swapped((const __m256i *) addresses), on = fastpath_in_group4(was);
        leap = _mm256_and_si256(_mm256_cmpgt_epi64(_mm256_setzero_si256(), leap), on);
        __m256i length = _mm256_and_si256(_mm256_srli_epi64(was, 48), leap);
        __m256i other = _mm256_xor_si256(high, fastpath_words4(cells, _mm256_and_si256(at, leap)));
        other = _mm256_srlv_epi64(other, _mm256_sub_epi64(_mm256_set1_epi64x(64), length));
        __m256i off = _mm256_andnot_si256(_mm256_cmpeq_epi64(other, _mm256_setzero_si256()), leap);
        __m256i bits = _mm256_blendv_epi8(fastpath_load4(ahead), _mm256_sllv_epi64(high, length), leap);
        at = _mm256_add_epi64(at, _mm256_and_si256(leap, _mm256_set1_epi64x(4)));
        at = _mm256_add_epi64(at, _mm256_and_si256(off, _mm256_set1_epi64x(-2)));
        fastpath_enter4(cells, link, ahead, on, at, bits, off);
    }

    /* A step for all, then for all again while many are in groups. Returns whether all have come to a value. */
    FASTPATH_V3 static inline int fastpath_walk_v3(const uint64_t *cells, const uint8_t *addresses, FastpathWalk *walk) {
        for (int i = 0; i < 64; i += 4) fastpath_step4(cells, walk->link + i, walk->ahead + i);
        while (1) {
            __m256i any = _mm256_setzero_si256();
            uint64_t going = 0, leaps;
            for (int i = 0; i < 64; i += 4) {
                __m256i link = fastpath_load4(walk->link + i);
                going |= (uint64_t) _mm256_movemask_pd(_mm256_castsi256_pd(fastpath_in_group4(link))) << i;
                any = _mm256_or_si256(any, link);
            }
            leaps = !_mm256_testz_si256(any, _mm256_set1_epi64x((long long) 512 << 32));
            if (!going && _mm256_testz_si256(any, _mm256_set1_epi64x((long long) 448 << 32))) return 1;
            if (__builtin_popcountll(going) < FASTPATH_MANY) {
                fastpath_stray(cells, addresses, walk, going);
                return 0;
            }
            for (int i = 0; i < 64; i += 4)
                if (leaps) fastpath_leap4(cells, addresses + 16 * i, walk->link + i, walk->ahead + i);
                else fastpath_step4(cells, walk->link + i, walk->ahead + i);
        }
    }

    FASTPATH_V3 static inline __m128i fastpath_lows4(__m256i words) {
        const __m256i evens = _mm256_setr_epi32(0,2,4,6,0,2,4,6);
        return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(words, evens));
    }

    FASTPATH_V3 static uint64_t fastpath_search_v3(const uint64_t *cells, const uint64_t *starts, const uint8_t *addresses,
                                                   uint32_t *out) {
        const __m256i lines4 = _mm256_set1_epi64x((long long) 192 << 32);
        FastpathWalk walk;
        FastpathLines lines;
        uint64_t leaves = 0, trees = 0, undone = 0;
        fastpath_start64(starts, addresses, &walk);
        if (fastpath_walk_v3(cells, addresses, &walk)) {
            for (int i = 0; i < 64; i += 4) _mm_storeu_si128((__m128i *) (out + i), fastpath_lows4(fastpath_load4(walk.link + i)));
            return 0;
        }
        for (int i = 0; i < 64; i += 4) {
            __m256i link = fastpath_load4(walk.link + i), key = _mm256_srli_epi64(fastpath_load4(walk.ahead + i), 34);
            __m256i value = _mm256_cmpeq_epi64(_mm256_and_si256(link, lines4), _mm256_setzero_si256());
            _mm_store_si128((__m128i *) (lines.at + i), fastpath_lows4(_mm256_andnot_si256(value, link)));
            _mm_store_si128((__m128i *) (lines.above + i), _mm_add_epi32(fastpath_lows4(key), _mm_set1_epi32(1)));
            _mm_storeu_si128((__m128i *) (out + i), fastpath_lows4(link));
            leaves |= fastpath_bits4(link, 38) << i;
            trees |= fastpath_bits4(link, 39) << i;
            undone |= fastpath_bits4(link, 40) << i;
        }
        lines.leaves = leaves & ~undone;
        lines.trees = trees & ~undone;
        if (leaves | trees) fastpath_finish_v3(cells, &lines, out, starts[32]);
        return undone;
    }

    #define FASTPATH_V4 __attribute__((target("avx2,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl")))
    #define FASTPATH_KIND8(kind) _mm512_set1_epi64((long long) (kind) << 32)
    FASTPATH_V4 static inline __m512i fastpath_highs8(const uint8_t *at) {      /* the upper halves of eight addresses */
        const __m512i swap = _mm512_broadcast_i32x4(_mm_setr_epi8(7,6,5,4,3,2,1,0,15,14,13,12,11,10,9,8));
        const __m512i evens = _mm512_setr_epi64(0,2,4,6,8,10,12,14);
        __m512i high = _mm512_permutex2var_epi64(_mm512_loadu_si512(at), evens, _mm512_loadu_si512(at + 64));
        return _mm512_shuffle_epi8(high, swap);
    }

    FASTPATH_V4 static inline void fastpath_start8(const uint64_t *starts, const uint8_t *at, uint64_t *link, uint64_t *ahead) {
        __m512i high = fastpath_highs8(at), branch = _mm512_srli_epi64(high, 61);
        __m512i skipped = _mm512_permutexvar_epi64(branch, _mm512_loadu_si512(starts + 24));
        __m512i differing = _mm512_xor_si512(high, _mm512_permutexvar_epi64(branch, _mm512_loadu_si512(starts + 16)));
        differing = _mm512_srlv_epi64(differing, _mm512_sub_epi64(_mm512_set1_epi64(64), skipped));
        __m512i from = _mm512_permutexvar_epi64(branch, _mm512_loadu_si512(starts));
        _mm512_store_si512(link, _mm512_mask_permutexvar_epi64(from, _mm512_test_epi64_mask(differing, differing), branch,
                                                               _mm512_loadu_si512(starts + 8)));
        _mm512_store_si512(ahead, _mm512_sllv_epi64(high, skipped));
    }

    FASTPATH_V4 static inline __mmask8 fastpath_in_group8(__m512i link) {
        return _mm512_cmplt_epu64_mask(_mm512_and_si512(link, FASTPATH_KIND8(319)), FASTPATH_KIND8(63));
    }

    /* Eight addresses take one step, in a group at `at`, their links gathered, each whole; those that are in none stay. Of those
       `off`, the link is there itself. */
    FASTPATH_V4 static inline void fastpath_enter8(const uint64_t *cells, uint64_t *link, uint64_t *ahead, __m512i at,
                                                   __m512i bits, __mmask8 off) {
        const __m512i last = _mm512_set1_epi64(63);
        __m512i was = _mm512_load_si512(link), kind = _mm512_and_si512(_mm512_srli_epi64(was, 32), last);
        at = _mm512_mask_add_epi64(at, (__mmask8) ~off, at, _mm512_srlv_epi64(_mm512_srli_epi64(bits, 1), kind));
        _mm512_store_si512(ahead, _mm512_sllv_epi64(bits, _mm512_sub_epi64(last, kind)));
        _mm512_store_si512(link, _mm512_mask_i64gather_epi64(was, fastpath_in_group8(was), at, cells, 8));
    }

    FASTPATH_V4 static inline void fastpath_step8(const uint64_t *cells, uint64_t *link, uint64_t *ahead) {
        __m512i at = _mm512_and_si512(_mm512_load_si512(link), _mm512_set1_epi64(0xFFFFFFFF));
        fastpath_enter8(cells, link, ahead, at, _mm512_load_si512(ahead), 0);
    }

    /* The same where some of them are before a leap. */
    FASTPATH_V4 static inline void fastpath_leap8(const uint64_t *cells, const uint8_t *addresses, uint64_t *link, uint64_t *ahead) {
        __m512i was = _mm512_load_si512(link), at = _mm512_and_si512(was, _mm512_set1_epi64(0xFFFFFFFF));
        __mmask8 leap = _mm512_mask_test_epi64_mask(fastpath_in_group8(was), was, FASTPATH_KIND8(512));
        __m512i high = fastpath_highs8(addresses), length = _mm512_srli_epi64(was, 48);
        __m512i other = _mm512_xor_si512(high, _mm512_mask_i64gather_epi64(high, leap, at, cells, 8));
        other = _mm512_srlv_epi64(other, _mm512_sub_epi64(_mm512_set1_epi64(64), length));
        __mmask8 off = _mm512_mask_test_epi64_mask(leap, other, other);
        __m512i bits = _mm512_mask_sllv_epi64(_mm512_load_si512(ahead), leap, high, length);
        at = _mm512_mask_add_epi64(at, leap, at, _mm512_set1_epi64(4));
        fastpath_enter8(cells, link, ahead, _mm512_mask_sub_epi64(at, off, at, _mm512_set1_epi64(2)), bits, off);
    }

    FASTPATH_V4 static inline uint64_t fastpath_kinds8(const uint64_t *link, uint64_t kind) {
        uint64_t found = 0;
        for (int i = 0; i < 64; i += 8)
            found |= (uint64_t) _mm512_test_epi64_mask(_mm512_load_si512(link + i), FASTPATH_KIND8(kind)) << i;
        return found;
    }

    FASTPATH_V4 static inline int fastpath_walk_v4(const uint64_t *cells, const uint8_t *addresses, FastpathWalk *walk) {
        while (1) {
            __m512i any = _mm512_setzero_si512();
            uint64_t going = 0;
            for (int i = 0; i < 64; i += 8) {
                __m512i link = _mm512_load_si512(walk->link + i);
                going |= (uint64_t) fastpath_in_group8(link) << i;
                any = _mm512_or_si512(any, link);
            }
            if (!going && !_mm512_test_epi64_mask(any, FASTPATH_KIND8(448))) return 1;
            if (__builtin_popcountll(going) < FASTPATH_MANY) {
                fastpath_stray(cells, addresses, walk, going);
                return 0;
            }
            __mmask8 leaps = _mm512_test_epi64_mask(any, FASTPATH_KIND8(512));
            for (int i = 0; i < 64; i += 8)
                if (leaps) fastpath_leap8(cells, addresses + 16 * i, walk->link + i, walk->ahead + i);
                else fastpath_step8(cells, walk->link + i, walk->ahead + i);
        }
    }

    FASTPATH_V4 static inline unsigned fastpath_below16_v4(const uint32_t *keys, uint32_t x) {
        return (unsigned) __builtin_popcount(_mm512_cmplt_epu32_mask(_mm512_load_si512(keys), _mm512_set1_epi32((int) x)));
    }
    FASTPATH_FINISH(fastpath_finish_v4, FASTPATH_V4, fastpath_below16_v4)

    FASTPATH_V4 static uint64_t fastpath_search_v4(const uint64_t *cells, const uint64_t *starts, const uint8_t *addresses,
                                                   uint32_t *out) {
        FastpathWalk walk;
        FastpathLines lines;
        uint64_t undone;
        for (int i = 0; i < 64; i += 8) {
            __builtin_prefetch(addresses + FASTPATH_AHEAD + 16 * i);
            __builtin_prefetch(addresses + FASTPATH_AHEAD + 64 + 16 * i);
            fastpath_start8(starts, addresses + 16 * i, walk.link + i, walk.ahead + i);
            fastpath_step8(cells, walk.link + i, walk.ahead + i);
        }
        if (fastpath_walk_v4(cells, addresses, &walk)) {
            for (int i = 0; i < 64; i += 8)
                _mm256_storeu_si256((__m256i *) (out + i), _mm512_cvtepi64_epi32(_mm512_load_si512(walk.link + i)));
            return 0;
        }
        for (int i = 0; i < 64; i += 8) {
            __m512i link = _mm512_load_si512(walk.link + i), key = _mm512_srli_epi64(_mm512_load_si512(walk.ahead + i), 34);
            __mmask8 line = _mm512_test_epi64_mask(link, FASTPATH_KIND8(192));
            _mm256_storeu_si256((__m256i *) (out + i), _mm512_cvtepi64_epi32(link));
            _mm256_store_si256((__m256i *) (lines.at + i), _mm512_maskz_cvtepi64_epi32(line, link));
            _mm256_store_si256((__m256i *) (lines.above + i), _mm256_add_epi32(_mm512_cvtepi64_epi32(key), _mm256_set1_epi32(1)));
        }
        undone = fastpath_kinds8(walk.link, 256);
        lines.trees = fastpath_kinds8(walk.link, 128) & ~undone;
        lines.leaves = fastpath_kinds8(walk.link, 64) & ~undone;
        if (lines.trees | lines.leaves) fastpath_finish_v4(cells, &lines, out, starts[32]);
        return undone;
    }
    #else
    #define fastpath_search_v3 fastpath_walk64
    #define fastpath_search_v4 fastpath_walk64
    #endif
    """
    # As walk64.
    uint64_t search_avx2 "fastpath_search_v3" (const uint64_t* cells, const uint64_t* starts, const uint8_t* addresses,
                                               uint32_t* out) noexcept nogil
    uint64_t search_avx512 "fastpath_search_v4" (const uint64_t* cells, const uint64_t* starts, const uint8_t* addresses,
                                                 uint32_t* out) noexcept nogil
