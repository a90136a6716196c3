# Look-ups of 64 IPv6 addresses at once, level by level: fib's batches. Row 0; it knows links and lines as bits only.
#
# All addresses take one step before any takes the next, so that the memory of a step is fetched for all of them, and what an
# address needs next is put into lists, so that no branch depends on it. Which of the three runs is chosen once a table, by
# what the processor has. `starts`: four times eight words, fib's Starts.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <string.h>
    /* How many of a line's first 8, or of its 16 keys are at most x; keys have 31 bits. */
    #if defined(__x86_64__)
    #include <immintrin.h>
    #define FASTPATH_V3 __attribute__((target("avx2,bmi,bmi2")))
    static inline unsigned fastpath_rank8(const uint32_t *keys, uint32_t x) {
        __m128i more = _mm_set1_epi32((int) x + 1);
        __m128i a = _mm_cmpgt_epi32(more, _mm_load_si128((const __m128i *) keys));
        __m128i b = _mm_cmpgt_epi32(more, _mm_load_si128((const __m128i *) keys + 1));
        return (unsigned) __builtin_popcount((unsigned) _mm_movemask_epi8(_mm_packs_epi32(a, b))) / 2;
    }
    static inline unsigned fastpath_rank16(const uint32_t *keys, uint32_t x) {
        return fastpath_rank8(keys, x) + fastpath_rank8(keys + 8, x);
    }
    FASTPATH_V3 static inline unsigned fastpath_rank8_v3(const uint32_t *keys, uint32_t x) {
        __m256i at_most = _mm256_cmpgt_epi32(_mm256_set1_epi32((int) x + 1), _mm256_load_si256((const __m256i *) keys));
        return (unsigned) __builtin_popcount((unsigned) _mm256_movemask_ps(_mm256_castsi256_ps(at_most)));
    }
    FASTPATH_V3 static inline unsigned fastpath_rank16_v3(const uint32_t *keys, uint32_t x) {
        return fastpath_rank8_v3(keys, x) + fastpath_rank8_v3(keys + 8, x);
    }
    #else
    static inline unsigned fastpath_rank(const uint32_t *keys, uint32_t x, int n) {
        unsigned rank = 0;
        for (int i = 0; i < n; i++) rank += keys[i] <= x;
        return rank;
    }
    #define fastpath_rank8(keys, x) fastpath_rank(keys, x, 8)
    #define fastpath_rank16(keys, x) fastpath_rank(keys, x, 16)
    #endif

    /* One address goes on by its link: the next place, then a list by the link's kind. */
    #define FASTPATH_STEP6(k) do { \\
        uint64_t link = cells[at[k]], bits = ahead[k]; \\
        uint32_t kind = (uint32_t) (link >> 32); \\
        out[k] = (uint32_t) link; \\
        at[k] = (uint32_t) link + (uint32_t) (bits >> 1 >> (kind & 63)); \\
        ahead[k] = bits << (~kind & 63); \\
        __builtin_prefetch(&cells[at[k]]); \\
        kinds |= kind; \\
        going[n] = (uint8_t) (k); n += kind < 63; \\
        leaves[n_leaves] = (uint8_t) (k); n_leaves += kind >> 6 & 1; \\
        trees[n_trees] = (uint8_t) (k); n_trees += kind >> 7 & 1; \\
        if (__builtin_expect(kind >> 8, 0)) undone |= (uint64_t) 1 << (k); \\
    } while (0)

    #define FASTPATH_SEARCH6(name, rank8, rank16) \\
    static uint64_t name(const uint64_t *cells, const uint64_t *starts, const uint8_t *addresses, uint32_t *out) { \\
        uint64_t ahead[64], undone = 0; \\
        uint32_t at[64], kinds = 0; \\
        uint8_t going[65], leaves[65], trees[65]; \\
        int n = 0, n_leaves = 0, n_trees = 0; \\
        for (int k = 0; k < 64; k++) { \\
            uint64_t bits; \\
            memcpy(&bits, addresses + 16 * k, 8); \\
            bits = __builtin_bswap64(bits); \\
            int from = (int) (bits >> 61); \\
            uint64_t skipped = starts[24 + from], other = (bits ^ starts[16 + from]) >> (64 - skipped); \\
            uint64_t link = starts[from + (other ? 8 : 0)]; \\
            uint32_t kind = (uint32_t) (link >> 32); \\
            bits <<= skipped; \\
            at[k] = (uint32_t) link + (uint32_t) (bits >> 1 >> kind); \\
            ahead[k] = bits << (~kind & 63); \\
            __builtin_prefetch(&cells[at[k]]); \\
        } \\
        for (int k = 0; k < 64; k++) FASTPATH_STEP6(k); \\
        while (n) { \\
            int m = n; \\
            n = 0; \\
            for (int i = 0; i < m; i++) { int k = going[i]; FASTPATH_STEP6(k); } \\
        } \\
        for (int i = 0; i < n_trees; i++) { \\
            int k = trees[i]; \\
            at[k] += 8 * rank16((const uint32_t *) &cells[at[k]], (uint32_t) (ahead[k] >> 34)); \\
            __builtin_prefetch(&cells[at[k]]); \\
            leaves[n_leaves++] = (uint8_t) k; \\
        } \\
        for (int i = 0; i < n_leaves; i++) { \\
            int k = leaves[i]; \\
            const uint32_t *line = (const uint32_t *) &cells[at[k]]; \\
            out[k] = line[7 + rank8(line, (uint32_t) (ahead[k] >> 34))]; \\
        } \\
        return undone; \\
    }
    FASTPATH_SEARCH6(fastpath_search6, fastpath_rank8, fastpath_rank16)
    #if defined(__x86_64__)
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

    FASTPATH_V3 static inline void fastpath_begin4(__m256i on, __m256i off, __m256i prefix, __m256i skipped, __m256i *link,
                                                   __m256i *ahead) {
        __m256i differing = _mm256_srlv_epi64(_mm256_xor_si256(*ahead, prefix), _mm256_sub_epi64(_mm256_set1_epi64x(64), skipped));
        *link = _mm256_blendv_epi8(off, on, _mm256_cmpeq_epi64(differing, _mm256_setzero_si256()));
        *ahead = _mm256_sllv_epi64(*ahead, skipped);
    }

    /* Where 64 addresses start. Mostly all have the same first 3 bits; then nothing has to be looked up for each. */
    FASTPATH_V3 static inline void fastpath_start64(const uint64_t *starts, const uint8_t *addresses, __m256i *link, __m256i *ahead) {
        const __m256i first = _mm256_set1_epi64x((long long) ((uint64_t) (addresses[0] >> 5) << 61));
        __m256i mixed = _mm256_setzero_si256();
        for (int i = 0; i < 16; i++) {
            __builtin_prefetch(addresses + 1024 + 64 * i);
            ahead[i] = fastpath_swapped((const __m256i *) addresses + 2 * i);
            mixed = _mm256_or_si256(mixed, _mm256_xor_si256(ahead[i], first));
        }
        if (_mm256_testz_si256(mixed, _mm256_set1_epi64x((long long) ((uint64_t) 7 << 61)))) {
            const uint64_t *start = starts + (addresses[0] >> 5);
            __m256i on = _mm256_set1_epi64x((long long) start[0]), off = _mm256_set1_epi64x((long long) start[8]);
            __m256i prefix = _mm256_set1_epi64x((long long) start[16]), skipped = _mm256_set1_epi64x((long long) start[24]);
            for (int i = 0; i < 16; i++) fastpath_begin4(on, off, prefix, skipped, &link[i], &ahead[i]);
            return;
        }
        for (int i = 0; i < 16; i++) {
            __m256i branch = _mm256_shuffle_epi32(_mm256_srli_epi64(ahead[i], 61), 0xA0);
            fastpath_begin4(fastpath_pick4(starts, branch), fastpath_pick4(starts + 8, branch), fastpath_pick4(starts + 16, branch),
                            fastpath_pick4(starts + 24, branch), &link[i], &ahead[i]);
        }
    }

    /* Four addresses take one step; those that are in no group stay. Each link is loaded whole, by itself: a gather is no faster
       here, and far slower where microcode makes it safe. */
    FASTPATH_V3 static inline void fastpath_step4(const uint64_t *cells, __m256i *link, __m256i *ahead) {
        const __m256i half = _mm256_set1_epi64x(0xFFFFFFFF), last = _mm256_set1_epi64x(63);
        __m256i kind = _mm256_srli_epi64(*link, 32), on = _mm256_cmpgt_epi64(last, kind);
        uint64_t p[4];
        kind = _mm256_and_si256(kind, last);
        __m256i at = _mm256_srlv_epi64(_mm256_srli_epi64(*ahead, 1), kind);
        at = _mm256_add_epi64(_mm256_and_si256(*link, half), at);
        _mm256_storeu_si256((__m256i *) p, _mm256_and_si256(at, on));
        *ahead = _mm256_sllv_epi64(*ahead, _mm256_xor_si256(kind, last));
        *link = _mm256_blendv_epi8(*link, _mm256_setr_epi64x((long long) cells[p[0]], (long long) cells[p[1]],
                                                             (long long) cells[p[2]], (long long) cells[p[3]]), on);
    }

    FASTPATH_V3 static inline uint32_t fastpath_going4(__m256i link) {
        __m256i on = _mm256_cmpgt_epi64(_mm256_set1_epi64x(63), _mm256_srli_epi64(link, 32));
        return !_mm256_testz_si256(on, on);
    }

    FASTPATH_V3 static inline uint64_t fastpath_bits4(__m256i link, int bit) {
        return (uint64_t) _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_sll_epi64(link, _mm_cvtsi32_si128(63 - bit))));
    }

    FASTPATH_V3 static uint32_t fastpath_leaf6(const uint64_t *cells, uint64_t at, uint32_t key) {
        const uint32_t *line = (const uint32_t *) &cells[at];
        return line[7 + fastpath_rank8_v3(line, key)];
    }

    /* Those of 64 addresses that stand before a leap of at most 64 bits take it, one by one; 64 links and 64 words of bits. */
    FASTPATH_V3 static void fastpath_leap6(const uint64_t *cells, const uint8_t *addresses, uint64_t leaps, char *links, char *ahead) {
        for (; leaps; leaps &= leaps - 1) {
            int k = __builtin_ctzll(leaps);
            uint64_t high, next, bits;
            memcpy(&next, links + 8 * k, 8);
            memcpy(&high, addresses + 16 * k, 8);
            high = __builtin_bswap64(high);
            const uint64_t *leap = &cells[(uint32_t) next];      /* prefix, prefix, target, otherwise and length */
            uint32_t length = (uint32_t) (leap[3] >> 32);
            next = (high ^ leap[0]) >> (64 - length) ? (uint64_t) 63 << 32 | (uint32_t) leap[3] : leap[2];
            bits = length < 64 ? high << length : 0;
            memcpy(links + 8 * k, &next, 8);
            memcpy(ahead + 8 * k, &bits, 8);
        }
    }

    /* The vectors with an address that took a leap. */
    FASTPATH_V3 static uint32_t fastpath_leaps4(const uint64_t *cells, const uint8_t *addresses, __m256i *link, __m256i *ahead) {
        uint64_t leaps = 0;
        uint32_t vectors = 0;
        for (int i = 0; i < 16; i++) leaps |= (fastpath_bits4(link[i], 41) & ~fastpath_bits4(link[i], 40)) << 4 * i;
        for (int i = 0; i < 16; i++) vectors |= (uint32_t) ((leaps >> 4 * i & 15) != 0) << i;
        fastpath_leap6(cells, addresses, leaps, (char *) link, (char *) ahead);
        return vectors;
    }

    FASTPATH_V3 static uint64_t fastpath_search6_v3(const uint64_t *cells, const uint64_t *starts, const uint8_t *addresses,
                                                    uint32_t *out) {
        const __m256i evens = _mm256_setr_epi32(0,2,4,6,0,2,4,6);
        __m256i link[16], ahead[16];
        uint64_t links[64], bits[64], leaves = 0, trees = 0, undone = 0;
        uint32_t open = 0;
        fastpath_start64(starts, addresses, link, ahead);
        for (int i = 0; i < 16; i++) fastpath_step4(cells, &link[i], &ahead[i]);
        for (int i = 0; i < 16; i++) open |= fastpath_going4(link[i]) << i;
        if (__builtin_popcount(open) >= 8) {                     /* a step for all is cheaper than to ask each */
            for (int i = 0; i < 16; i++) fastpath_step4(cells, &link[i], &ahead[i]);
            open = 0;
            for (int i = 0; i < 16; i++) open |= fastpath_going4(link[i]) << i;
        }
        while (open || (open = fastpath_leaps4(cells, addresses, link, ahead)))
            for (uint32_t left = open; left; left &= left - 1) {
                int i = __builtin_ctz(left);
                fastpath_step4(cells, &link[i], &ahead[i]);
                open &= ~((uint32_t) !fastpath_going4(link[i]) << i);
            }
        for (int i = 0; i < 16; i++) {
            _mm256_storeu_si256((__m256i *) links + i, link[i]);
            _mm256_storeu_si256((__m256i *) bits + i, ahead[i]);
            _mm_storeu_si128((__m128i *) out + i, _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(link[i], evens)));
            leaves |= fastpath_bits4(link[i], 38) << 4 * i;
            trees |= fastpath_bits4(link[i], 39) << 4 * i;
            undone |= fastpath_bits4(link[i], 40) << 4 * i;
        }
        leaves &= ~undone;
        trees &= ~undone;
        for (uint64_t left = leaves | trees; left; left &= left - 1)
            __builtin_prefetch(&cells[(uint32_t) links[__builtin_ctzll(left)]]);
        for (; trees; trees &= trees - 1) {
            int k = __builtin_ctzll(trees);
            uint32_t key = (uint32_t) (bits[k] >> 34), at = (uint32_t) links[k];
            out[k] = fastpath_leaf6(cells, at + 8 * fastpath_rank16_v3((const uint32_t *) &cells[at], key), key);
        }
        for (; leaves; leaves &= leaves - 1) {
            int k = __builtin_ctzll(leaves);
            out[k] = fastpath_leaf6(cells, (uint32_t) links[k], (uint32_t) (bits[k] >> 34));
        }
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

    FASTPATH_V4 static inline void fastpath_start8(const uint64_t *starts, const uint8_t *at, __m512i *link, __m512i *ahead) {
        __m512i high = fastpath_highs8(at), branch = _mm512_srli_epi64(high, 61);
        __m512i skipped = _mm512_permutexvar_epi64(branch, _mm512_loadu_si512(starts + 24));
        __m512i differing = _mm512_xor_si512(high, _mm512_permutexvar_epi64(branch, _mm512_loadu_si512(starts + 16)));
        differing = _mm512_srlv_epi64(differing, _mm512_sub_epi64(_mm512_set1_epi64(64), skipped));
        *link = _mm512_permutexvar_epi64(branch, _mm512_loadu_si512(starts));
        *link = _mm512_mask_permutexvar_epi64(*link, _mm512_test_epi64_mask(differing, differing), branch,
                                              _mm512_loadu_si512(starts + 8));
        *ahead = _mm512_sllv_epi64(high, skipped);
    }

    /* Eight addresses take one step, their links gathered, each whole; those that are in no group stay. */
    FASTPATH_V4 static inline void fastpath_step8(const uint64_t *cells, __m512i *link, __m512i *ahead) {
        __mmask8 on = _mm512_cmplt_epu64_mask(*link, FASTPATH_KIND8(63));
        __m512i kind = _mm512_srli_epi64(*link, 32);
        __m512i at = _mm512_and_si512(*link, _mm512_set1_epi64(0xFFFFFFFF));
        at = _mm512_add_epi64(at, _mm512_srlv_epi64(_mm512_srli_epi64(*ahead, 1), kind));
        *ahead = _mm512_mask_sllv_epi64(*ahead, on, *ahead, _mm512_sub_epi64(_mm512_set1_epi64(63), kind));
        *link = _mm512_mask_i64gather_epi64(*link, on, at, cells, 8);
    }

    FASTPATH_V4 static inline uint64_t fastpath_going8(const __m512i *link) {
        uint64_t going = 0;
        for (int i = 0; i < 8; i++) going |= (uint64_t) _mm512_cmplt_epu64_mask(link[i], FASTPATH_KIND8(63)) << 8 * i;
        return going;
    }

    FASTPATH_V4 static inline uint64_t fastpath_kinds8(const __m512i *link, uint64_t kind) {
        uint64_t found = 0;
        for (int i = 0; i < 8; i++) found |= (uint64_t) _mm512_test_epi64_mask(link[i], FASTPATH_KIND8(kind)) << 8 * i;
        return found;
    }

    /* Those of eight addresses that stand before a leap of at most 64 bits take it. Its length is in the link to it. */
    FASTPATH_V4 static inline void fastpath_leap8(const uint64_t *cells, const uint8_t *addresses, __m512i *link, __m512i *ahead) {
        __mmask8 on = _mm512_test_epi64_mask(*link, FASTPATH_KIND8(512)) & ~_mm512_test_epi64_mask(*link, FASTPATH_KIND8(256));
        __m512i at = _mm512_and_si512(*link, _mm512_set1_epi64(0xFFFFFFFF)), length = _mm512_srli_epi64(*link, 48);
        __m512i high = fastpath_highs8(addresses), zero = _mm512_setzero_si512();
        __m512i differing = _mm512_xor_si512(high, _mm512_mask_i64gather_epi64(zero, on, at, cells, 8));
        differing = _mm512_srlv_epi64(differing, _mm512_sub_epi64(_mm512_set1_epi64(64), length));
        __mmask8 off = _mm512_mask_test_epi64_mask(on, differing, differing);
        *ahead = _mm512_mask_sllv_epi64(*ahead, on, high, length);
        *link = _mm512_mask_i64gather_epi64(*link, on, at, cells + 2, 8);
        if (off) {
            __m512i other = _mm512_mask_i64gather_epi64(zero, off, at, cells + 3, 8);
            other = _mm512_or_si512(_mm512_and_si512(other, _mm512_set1_epi64(0xFFFFFFFF)), FASTPATH_KIND8(63));
            *link = _mm512_mask_mov_epi64(*link, off, other);
        }
    }

    /* Groups and leaps until nobody is in one. */
    FASTPATH_V4 static inline void fastpath_walk8(const uint64_t *cells, const uint8_t *addresses, __m512i *link, __m512i *ahead) {
        for (int i = 0; i < 8; i++) fastpath_step8(cells, &link[i], &ahead[i]);
        while (1) {
            uint64_t going = fastpath_going8(link), leaps;
            if (__builtin_popcountll(going) >= 16)               /* a step for all is cheaper than to ask each */
                for (int i = 0; i < 8; i++) fastpath_step8(cells, &link[i], &ahead[i]);
            else if (going) {
                for (int i = 0; i < 8; i++)
                    if (going >> 8 * i & 255) fastpath_step8(cells, &link[i], &ahead[i]);
            } else {
                leaps = fastpath_kinds8(link, 512) & ~fastpath_kinds8(link, 256);
                if (!leaps) return;
                for (int i = 0; i < 8; i++)
                    if (leaps >> 8 * i & 255) fastpath_leap8(cells, addresses + 128 * i, &link[i], &ahead[i]);
            }
        }
    }

    FASTPATH_V4 static inline unsigned fastpath_rank16_v4(const uint32_t *keys, uint32_t x) {
        __mmask16 at_most = _mm512_cmple_epu32_mask(_mm512_load_si512(keys), _mm512_set1_epi32((int) x));
        return (unsigned) __builtin_popcount(at_most);
    }

    FASTPATH_V4 static uint64_t fastpath_search6_v4(const uint64_t *cells, const uint64_t *starts, const uint8_t *addresses,
                                                    uint32_t *out) {
        __m512i link[8], ahead[8];
        uint32_t at[64], key[64];
        for (int i = 0; i < 8; i++) {
            __builtin_prefetch(addresses + 1024 + 128 * i);
            __builtin_prefetch(addresses + 1088 + 128 * i);
            fastpath_start8(starts, addresses + 128 * i, &link[i], &ahead[i]);
        }
        fastpath_walk8(cells, addresses, link, ahead);
        for (int i = 0; i < 8; i++) {
            __m256i place = _mm512_cvtepi64_epi32(link[i]);
            _mm256_storeu_si256((__m256i *) (at + 8 * i), place);
            _mm256_storeu_si256((__m256i *) (out + 8 * i), place);
            _mm256_storeu_si256((__m256i *) (key + 8 * i), _mm512_cvtepi64_epi32(_mm512_srli_epi64(ahead[i], 34)));
        }
        uint64_t undone = fastpath_kinds8(link, 256);
        uint64_t trees = fastpath_kinds8(link, 128) & ~undone, leaves = (fastpath_kinds8(link, 64) & ~undone) | trees;
        for (uint64_t left = leaves; left; left &= left - 1) __builtin_prefetch(&cells[at[__builtin_ctzll(left)]]);
        for (; trees; trees &= trees - 1) {
            int k = __builtin_ctzll(trees);
            at[k] += 8 * fastpath_rank16_v4((const uint32_t *) &cells[at[k]], key[k]);
            __builtin_prefetch(&cells[at[k]]);
        }
        for (; leaves; leaves &= leaves - 1) {
            int k = __builtin_ctzll(leaves);
            out[k] = fastpath_leaf6(cells, at[k], key[k]);
        }
        return undone;
    }
    #else
    #define fastpath_search6_v3 fastpath_search6
    #define fastpath_search6_v4 fastpath_search6
    #endif
    """
    unsigned rank8 "fastpath_rank8" (const uint32_t* keys, uint32_t x) noexcept nogil
    unsigned rank16 "fastpath_rank16" (const uint32_t* keys, uint32_t x) noexcept nogil
    # Those left undone, bit k for address k; their out is not valid.
    uint64_t search6 "fastpath_search6" (const uint64_t* cells, const uint64_t* starts, const uint8_t* addresses,
                                         uint32_t* out) noexcept nogil
    uint64_t search6_avx2 "fastpath_search6_v3" (const uint64_t* cells, const uint64_t* starts, const uint8_t* addresses,
                                                   uint32_t* out) noexcept nogil
    uint64_t search6_avx512 "fastpath_search6_v4" (const uint64_t* cells, const uint64_t* starts, const uint8_t* addresses,
                                                   uint32_t* out) noexcept nogil
