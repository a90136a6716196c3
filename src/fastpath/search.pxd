# Look-ups of 64 IPv6 addresses at once by vectors: fib's batches. Row 0; it knows links and lines as bits only (fib.pxd tells
# what they mean).
#
# All addresses take one step before any takes the next, while many are in groups; the rest go on one by one. Which way runs is
# chosen once a table, by what the processor has. Where the path of some goes on in the lower half of the address, they walk
# again with that. `start`: as for walk.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastpath.walk cimport walk64

cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <immintrin.h>
    #define FASTPATH_V3 __attribute__((target("avx2,bmi,bmi2")))
    #define FASTPATH_MANY 16         /* from so many of 64 on a step for all is cheaper than one for each */
    #define FASTPATH_AHEAD 2048      /* bytes: as far ahead addresses are fetched */

    #define FASTPATH_LEAPS ((uint64_t) 31 << 38)
    #define FASTPATH_LOW ((uint64_t) 1 << 37)
    #define FASTPATH_LEAF ((uint64_t) 1 << 62)
    #define FASTPATH_TREE ((uint64_t) 1 << 63)
    #define FASTPATH_FLAT ((uint64_t) 1 << 43)
    #define FASTPATH_LINE (FASTPATH_LEAF | FASTPATH_TREE)
    #define FASTPATH_MORE (FASTPATH_LINE | FASTPATH_LOW | FASTPATH_FLAT)
    #define FASTPATH_PLACE ((uint64_t) 0xFFFFFFFF)
    #define FASTPATH_STAYING (FASTPATH_FLAT | FASTPATH_LOW | FASTPATH_VALUE)   /* less than a value: before links */

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

    /* Each of those `going` goes on by itself. Returns the bits of the links they come to. */
    static inline uint64_t fastpath_stray(const uint64_t *cells, FastpathWalk *walk, uint64_t going) {
        uint64_t any = 0;
        for (; going; going &= going - 1) {
            int k = __builtin_ctzll(going);
            any |= walk->link[k] = fastpath_walk(cells, walk->link[k], &walk->ahead[k]);
        }
        return any;
    }

    /* The values of a few before flat groups. */
    static inline void fastpath_flat(const uint64_t *cells, FastpathWalk *walk, uint64_t flat, uint32_t *out) {
        for (; flat; flat &= flat - 1) {
            int k = __builtin_ctzll(flat);
            uint64_t link = walk->link[k];
            uint32_t at = 2 * (uint32_t) link + fastpath_ahead(link, link, FASTPATH_LEAP(link), &walk->ahead[k]);
            out[k] = ((const uint32_t *) cells)[at];
        }
    }

    /* Those that go on in the lower half of the address turn to it. */
    static inline void fastpath_turn(const uint8_t *addresses, FastpathWalk *walk, uint64_t low) {
        for (; low; low &= low - 1) {
            int k = __builtin_ctzll(low);
            walk->link[k] &= ~FASTPATH_LOW;
            walk->ahead[k] = fastpath_be64(addresses + 16 * k + 8);
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

    FASTPATH_V3 static inline __m256i fastpath_load4(const uint64_t *at) {
        return _mm256_load_si256((const __m256i *) at);
    }

    FASTPATH_V3 static inline __m256i fastpath_all4(uint64_t word) {
        return _mm256_set1_epi64x((long long) word);
    }

    /* The words at four places, each loaded whole, by itself: a gather is no faster, and far slower where microcode makes it safe. */
    FASTPATH_V3 static inline __m256i fastpath_words4(const uint64_t *cells, __m256i places) {
        uint64_t p[4];
        _mm256_storeu_si256((__m256i *) p, places);
        return _mm256_setr_epi64x((long long) cells[p[0]], (long long) cells[p[1]], (long long) cells[p[2]], (long long) cells[p[3]]);
    }

    FASTPATH_V3 static inline __m256i fastpath_in_group4(__m256i link) {
        return _mm256_cmpgt_epi64(fastpath_all4(FASTPATH_VALUE), _mm256_and_si256(link, fastpath_all4(FASTPATH_STAYING)));
    }

    FASTPATH_V3 static inline uint64_t fastpath_bits4(__m256i link, int bit) {
        return (uint64_t) _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_sll_epi64(link, _mm_cvtsi32_si128(63 - bit))));
    }

    /* Four addresses go on by their links, behind what is skipped, or differ there. Those that are before no links stay, and
       with them the bits ahead. */
    FASTPATH_V3 static inline void fastpath_enter4(const uint64_t *cells, uint64_t *link, uint64_t *ahead, __m256i was,
                                                   __m256i bits, __m256i differs, __m256i others) {
        const __m256i last = fastpath_all4(31), on = fastpath_in_group4(was);
        __m256i at = _mm256_and_si256(was, fastpath_all4(FASTPATH_PLACE)), kind = _mm256_and_si256(_mm256_srli_epi64(was, 32), last);
        __m256i step = _mm256_or_si256(_mm256_srlv_epi64(_mm256_srli_epi64(bits, 33), kind), differs);
        at = _mm256_and_si256(_mm256_add_epi64(at, step), on);
        bits = _mm256_sllv_epi64(bits, _mm256_sub_epi64(last, kind));
        _mm256_store_si256((__m256i *) ahead, _mm256_blendv_epi8(others, bits, on));
        _mm256_store_si256((__m256i *) link, _mm256_blendv_epi8(was, fastpath_words4(cells, at), on));
    }

    FASTPATH_V3 static inline __m256i fastpath_leap_of4(__m256i link) {
        return _mm256_srli_epi64(_mm256_and_si256(link, fastpath_all4(FASTPATH_LEAPS)), 38);
    }

    FASTPATH_V3 static inline __m256i fastpath_differ4(__m256i bits, __m256i shared, __m256i leap) {     /* -1 where they do */
        __m256i other = _mm256_srlv_epi64(_mm256_xor_si256(bits, shared), _mm256_sub_epi64(fastpath_all4(64), leap));
        return _mm256_xor_si256(_mm256_cmpeq_epi64(other, _mm256_setzero_si256()), fastpath_all4(~(uint64_t) 0));
    }

    /* The same where some skip `leap` bits first, those of `shared`. */
    FASTPATH_V3 static inline void fastpath_leap4(const uint64_t *cells, uint64_t *link, uint64_t *ahead, __m256i was, __m256i bits,
                                                  __m256i shared, __m256i leap) {
        fastpath_enter4(cells, link, ahead, was, _mm256_sllv_epi64(bits, leap), fastpath_differ4(bits, shared, leap), bits);
    }

    /* The values of those before flat groups. */
    FASTPATH_V3 static inline void fastpath_flat_v3(const uint64_t *cells, const FastpathWalk *walk, uint64_t flat, uint32_t *out) {
        uint64_t at[64] __attribute__((aligned(64)));
        for (int i = 0; i < 64; i += 4) {
            __m256i link = fastpath_load4(walk->link + i), bits = fastpath_load4(walk->ahead + i), leap = fastpath_leap_of4(link);
            __m256i kind = _mm256_and_si256(_mm256_srli_epi64(link, 32), fastpath_all4(31));
            __m256i step = _mm256_srlv_epi64(_mm256_srli_epi64(_mm256_sllv_epi64(bits, leap), 33), kind);
            step = _mm256_or_si256(step, fastpath_differ4(bits, link, leap));
            link = _mm256_slli_epi64(_mm256_and_si256(link, fastpath_all4(FASTPATH_PLACE)), 1);
            _mm256_store_si256((__m256i *) (at + i), _mm256_add_epi64(link, step));
        }
        if (flat == ~(uint64_t) 0)
            for (int k = 0; k < 64; k++) out[k] = ((const uint32_t *) cells)[at[k]];
        else
            for (; flat; flat &= flat - 1) out[__builtin_ctzll(flat)] = ((const uint32_t *) cells)[at[__builtin_ctzll(flat)]];
    }

    FASTPATH_V3 static inline void fastpath_start64_v3(const uint64_t *cells, const uint64_t *start, const uint8_t *addresses,
                                                       FastpathWalk *walk) {
        __m256i link = fastpath_all4(start[0]), prefix = fastpath_all4(start[1]), shared = fastpath_all4(start[2]);
        for (int i = 0; i < 64; i += 4) {
            __builtin_prefetch(addresses + FASTPATH_AHEAD + 16 * i);
            __m256i high = fastpath_swapped((const __m256i *) (addresses + 16 * i));
            fastpath_leap4(cells, walk->link + i, walk->ahead + i, link, high, prefix, shared);
        }
    }

    /* A step for all, while many are before links. Returns the bits of FASTPATH_MORE that links have; others mean nothing. */
    FASTPATH_V3 static inline uint64_t fastpath_walk_v3(const uint64_t *cells, FastpathWalk *walk) {
        while (1) {
            __m256i any = _mm256_setzero_si256();
            uint64_t going = 0;
            int leaps;
            for (int i = 0; i < 64; i += 4) {
                __m256i link = fastpath_load4(walk->link + i);
                going |= (uint64_t) _mm256_movemask_pd(_mm256_castsi256_pd(fastpath_in_group4(link))) << i;
                any = _mm256_or_si256(any, link);
            }
            if (__builtin_popcountll(going) < FASTPATH_MANY)
                return fastpath_stray(cells, walk, going) | (_mm256_testz_si256(any, fastpath_all4(FASTPATH_LOW)) ? 0 : FASTPATH_LOW)
                    | (_mm256_testz_si256(any, fastpath_all4(FASTPATH_FLAT)) ? 0 : FASTPATH_FLAT)
                    | (_mm256_testz_si256(any, fastpath_all4(FASTPATH_LINE)) ? 0 : FASTPATH_LINE);
            leaps = !_mm256_testz_si256(any, fastpath_all4(FASTPATH_LEAPS));
            for (int i = 0; i < 64; i += 4) {
                __m256i link = fastpath_load4(walk->link + i), bits = fastpath_load4(walk->ahead + i);
                if (leaps) fastpath_leap4(cells, walk->link + i, walk->ahead + i, link, bits, link, fastpath_leap_of4(link));
                else fastpath_enter4(cells, walk->link + i, walk->ahead + i, link, bits, _mm256_setzero_si256(), bits);
            }
        }
    }

    FASTPATH_V3 static inline __m128i fastpath_lows4(__m256i words) {
        const __m256i evens = _mm256_setr_epi32(0,2,4,6,0,2,4,6);
        return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(words, evens));
    }

    FASTPATH_V3 static inline uint64_t fastpath_kinds4(const uint64_t *link, int bit) {
        uint64_t found = 0;
        for (int i = 0; i < 64; i += 4) found |= fastpath_bits4(fastpath_load4(link + i), bit) << i;
        return found;
    }

    FASTPATH_V3 static void fastpath_search_v3(const uint64_t *cells, const uint64_t *start, const uint8_t *addresses,
                                               uint32_t *out) {
        const __m256i lines4 = fastpath_all4(FASTPATH_LINE);
        FastpathWalk walk;
        FastpathLines lines;
        uint64_t more, flat = 0;
        fastpath_start64_v3(cells, start, addresses, &walk);
        more = fastpath_walk_v3(cells, &walk);
        if (more & FASTPATH_LOW) {
            fastpath_turn(addresses, &walk, fastpath_kinds4(walk.link, 37));
            more = fastpath_walk_v3(cells, &walk);
        }
        for (int i = 0; i < 64; i += 4) _mm_storeu_si128((__m128i *) (out + i), fastpath_lows4(fastpath_load4(walk.link + i)));
        if (more & FASTPATH_FLAT) {
            flat = fastpath_kinds4(walk.link, 43);
            if (__builtin_popcountll(flat) < FASTPATH_MANY) fastpath_flat(cells, &walk, flat, out);
            else fastpath_flat_v3(cells, &walk, flat, out);
            if (flat == ~(uint64_t) 0) return;
        }
        if (!(more & FASTPATH_MORE)) return;
        for (int i = 0; i < 64; i += 4) {
            __m256i link = fastpath_load4(walk.link + i), key = _mm256_srli_epi64(fastpath_load4(walk.ahead + i), 34);
            __m256i value = _mm256_cmpeq_epi64(_mm256_and_si256(link, lines4), _mm256_setzero_si256());
            _mm_store_si128((__m128i *) (lines.at + i), fastpath_lows4(_mm256_andnot_si256(value, link)));
            _mm_store_si128((__m128i *) (lines.above + i), _mm_add_epi32(fastpath_lows4(key), _mm_set1_epi32(1)));
        }
        lines.leaves = fastpath_kinds4(walk.link, 62) & ~flat;
        lines.trees = fastpath_kinds4(walk.link, 63) & ~flat;
        if (lines.leaves | lines.trees) fastpath_finish_v3(cells, &lines, out, start[3]);
    }

    #define FASTPATH_V4 __attribute__((target("avx2,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl")))
    FASTPATH_V4 static inline __m512i fastpath_all8(uint64_t word) {
        return _mm512_set1_epi64((long long) word);
    }

    FASTPATH_V4 static inline __m512i fastpath_highs8(const uint8_t *at) {      /* the upper halves of eight addresses */
        const __m512i swap = _mm512_broadcast_i32x4(_mm_setr_epi8(7,6,5,4,3,2,1,0,15,14,13,12,11,10,9,8));
        const __m512i evens = _mm512_setr_epi64(0,2,4,6,8,10,12,14);
        __m512i high = _mm512_permutex2var_epi64(_mm512_loadu_si512(at), evens, _mm512_loadu_si512(at + 64));
        return _mm512_shuffle_epi8(high, swap);
    }

    FASTPATH_V4 static inline __mmask8 fastpath_in_group8(__m512i link) {
        return _mm512_cmplt_epu64_mask(_mm512_and_si512(link, fastpath_all8(FASTPATH_STAYING)), fastpath_all8(FASTPATH_VALUE));
    }

    /* Eight addresses go on by their links, gathered, each whole. Those that are before no links stay, and with them, unless the
       bits ahead of `all` are used or none needs them, those bits. */
    FASTPATH_V4 static inline void fastpath_enter8(const uint64_t *cells, uint64_t *link, uint64_t *ahead, __m512i was,
                                                   __m512i bits, __mmask8 differs, int all, __m512i others) {
        const __m512i last = fastpath_all8(31);
        __m512i kind = _mm512_and_si512(_mm512_srli_epi64(was, 32), last), at = _mm512_and_si512(was, fastpath_all8(FASTPATH_PLACE));
        __m512i step = _mm512_srlv_epi64(_mm512_srli_epi64(bits, 33), kind);
        at = _mm512_add_epi64(at, _mm512_mask_mov_epi64(step, differs, fastpath_all8(~(uint64_t) 0)));
        __mmask8 on = fastpath_in_group8(was);
        _mm512_store_si512(ahead, _mm512_mask_sllv_epi64(others, all ? 255 : on, bits, _mm512_sub_epi64(last, kind)));
        _mm512_store_si512(link, _mm512_mask_i64gather_epi64(was, on, at, cells, 8));
    }

    FASTPATH_V4 static inline __m512i fastpath_leap_of8(__m512i link) {
        return _mm512_srli_epi64(_mm512_and_si512(link, fastpath_all8(FASTPATH_LEAPS)), 38);
    }

    FASTPATH_V4 static inline __mmask8 fastpath_differ8(__m512i bits, __m512i shared, __m512i leap) {
        __m512i other = _mm512_srlv_epi64(_mm512_xor_si512(bits, shared), _mm512_sub_epi64(fastpath_all8(64), leap));
        return _mm512_test_epi64_mask(other, other);
    }

    /* The same where some skip `leap` bits first, those of `shared`. */
    FASTPATH_V4 static inline void fastpath_leap8(const uint64_t *cells, uint64_t *link, uint64_t *ahead, __m512i was, __m512i bits,
                                                  __m512i shared, __m512i leap) {
        fastpath_enter8(cells, link, ahead, was, _mm512_sllv_epi64(bits, leap), fastpath_differ8(bits, shared, leap), 0, bits);
    }

    FASTPATH_V4 static inline void fastpath_flat_v4(const uint64_t *cells, const FastpathWalk *walk, uint32_t *out) {
        for (int i = 0; i < 64; i += 8) {
            __m512i link = _mm512_load_si512(walk->link + i), bits = _mm512_load_si512(walk->ahead + i), leap = fastpath_leap_of8(link);
            __m512i kind = _mm512_and_si512(_mm512_srli_epi64(link, 32), fastpath_all8(31));
            __m512i step = _mm512_srlv_epi64(_mm512_srli_epi64(_mm512_sllv_epi64(bits, leap), 33), kind);
            __m512i at = _mm512_slli_epi64(_mm512_and_si512(link, fastpath_all8(FASTPATH_PLACE)), 1);
            __mmask8 flat = _mm512_test_epi64_mask(link, fastpath_all8(FASTPATH_FLAT));
            at = _mm512_add_epi64(at, _mm512_mask_mov_epi64(step, fastpath_differ8(bits, link, leap), fastpath_all8(~(uint64_t) 0)));
            __m256i found = _mm512_mask_i64gather_epi32(_mm512_cvtepi64_epi32(link), flat, at, cells, 4);
            _mm256_storeu_si256((__m256i *) (out + i), found);
        }
    }

    FASTPATH_V4 static inline void fastpath_start64_v4(const uint64_t *cells, const uint64_t *start, const uint8_t *addresses,
                                                       FastpathWalk *walk) {
        __m512i link = fastpath_all8(start[0]), prefix = fastpath_all8(start[1]), shared = fastpath_all8(start[2]);
        for (int i = 0; i < 64; i += 8) {
            __builtin_prefetch(addresses + FASTPATH_AHEAD + 16 * i);
            __builtin_prefetch(addresses + FASTPATH_AHEAD + 64 + 16 * i);
            fastpath_leap8(cells, walk->link + i, walk->ahead + i, link, fastpath_highs8(addresses + 16 * i), prefix, shared);
        }
    }

    FASTPATH_V4 static inline uint64_t fastpath_kinds8(const uint64_t *link, uint64_t kind) {
        uint64_t found = 0;
        for (int i = 0; i < 64; i += 8)
            found |= (uint64_t) _mm512_test_epi64_mask(_mm512_load_si512(link + i), fastpath_all8(kind)) << i;
        return found;
    }

    FASTPATH_V4 static inline uint64_t fastpath_walk_v4(const uint64_t *cells, FastpathWalk *walk) {
        while (1) {
            __m512i any = _mm512_setzero_si512();
            uint64_t going = 0;
            for (int i = 0; i < 64; i += 8) {
                __m512i link = _mm512_load_si512(walk->link + i);
                going |= (uint64_t) fastpath_in_group8(link) << i;
                any = _mm512_or_si512(any, link);
            }
            if (__builtin_popcountll(going) < FASTPATH_MANY)
                return fastpath_stray(cells, walk, going) | (uint64_t) _mm512_reduce_or_epi64(any);
            __mmask8 leaps = _mm512_test_epi64_mask(any, fastpath_all8(FASTPATH_LEAPS | FASTPATH_FLAT));
            for (int i = 0; i < 64; i += 8) {
                __m512i link = _mm512_load_si512(walk->link + i), bits = _mm512_load_si512(walk->ahead + i);
                if (leaps) fastpath_leap8(cells, walk->link + i, walk->ahead + i, link, bits, link, fastpath_leap_of8(link));
                else fastpath_enter8(cells, walk->link + i, walk->ahead + i, link, bits, 0, 1, bits);
            }
        }
    }

    FASTPATH_V4 static inline unsigned fastpath_below16_v4(const uint32_t *keys, uint32_t x) {
        return (unsigned) __builtin_popcount(_mm512_cmplt_epu32_mask(_mm512_load_si512(keys), _mm512_set1_epi32((int) x)));
    }
    FASTPATH_FINISH(fastpath_finish_v4, FASTPATH_V4, fastpath_below16_v4)

    FASTPATH_V4 static void fastpath_search_v4(const uint64_t *cells, const uint64_t *start, const uint8_t *addresses,
                                               uint32_t *out) {
        FastpathWalk walk;
        FastpathLines lines;
        uint64_t more, flat = 0;
        fastpath_start64_v4(cells, start, addresses, &walk);
        more = fastpath_walk_v4(cells, &walk);
        if (more & FASTPATH_LOW) {
            fastpath_turn(addresses, &walk, fastpath_kinds8(walk.link, FASTPATH_LOW));
            more = fastpath_walk_v4(cells, &walk);
        }
        for (int i = 0; i < 64; i += 8)
            _mm256_storeu_si256((__m256i *) (out + i), _mm512_cvtepi64_epi32(_mm512_load_si512(walk.link + i)));
        if (more & FASTPATH_FLAT) {
            flat = fastpath_kinds8(walk.link, FASTPATH_FLAT);
            if (__builtin_popcountll(flat) < FASTPATH_MANY) fastpath_flat(cells, &walk, flat, out);
            else fastpath_flat_v4(cells, &walk, out);
            if (flat == ~(uint64_t) 0) return;
        }
        if (!(more & FASTPATH_MORE)) return;
        for (int i = 0; i < 64; i += 8) {
            __m512i link = _mm512_load_si512(walk.link + i), key = _mm512_srli_epi64(_mm512_load_si512(walk.ahead + i), 34);
            __mmask8 line = _mm512_test_epi64_mask(link, fastpath_all8(FASTPATH_LINE));
            _mm256_store_si256((__m256i *) (lines.at + i), _mm512_maskz_cvtepi64_epi32(line, link));
            _mm256_store_si256((__m256i *) (lines.above + i), _mm256_add_epi32(_mm512_cvtepi64_epi32(key), _mm256_set1_epi32(1)));
        }
        lines.trees = fastpath_kinds8(walk.link, FASTPATH_TREE) & ~flat;
        lines.leaves = fastpath_kinds8(walk.link, FASTPATH_LEAF) & ~flat;
        if (lines.trees | lines.leaves) fastpath_finish_v4(cells, &lines, out, start[3]);
    }
    #else
    #define fastpath_search_v3 fastpath_walk64
    #define fastpath_search_v4 fastpath_walk64
    #endif
    """
    # As walk64.
    void search_avx2 "fastpath_search_v3" (const uint64_t* cells, const uint64_t* start, const uint8_t* addresses,
                                           uint32_t* out) noexcept nogil
    void search_avx512 "fastpath_search_v4" (const uint64_t* cells, const uint64_t* start, const uint8_t* addresses,
                                             uint32_t* out) noexcept nogil
