# How IPv6 addresses go by the links and lines of an lpm table, without vectors: one, or 64 at once. Row 0; it knows links and
# lines as bits only (fib.pxd tells what they mean).
#
# Of 64, all take one step before any takes the next, so that the memory of a step is fetched for all of them, and what an
# address needs next is put into lists, so that no branch depends on it. `start`: the four words of
# fib's Start.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <string.h>
    /* How many of a line's first 8, or of its 16 keys are at most x; keys have 31 bits. */
    #if defined(__x86_64__)
    #include <immintrin.h>
    static inline unsigned fastpath_rank8(const uint32_t *keys, uint32_t x) {
        __m128i more = _mm_set1_epi32((int) x + 1);
        __m128i a = _mm_cmpgt_epi32(more, _mm_load_si128((const __m128i *) keys));
        __m128i b = _mm_cmpgt_epi32(more, _mm_load_si128((const __m128i *) keys + 1));
        return (unsigned) __builtin_popcount((unsigned) _mm_movemask_epi8(_mm_packs_epi32(a, b))) / 2;
    }
    static inline unsigned fastpath_rank16(const uint32_t *keys, uint32_t x) {
        return fastpath_rank8(keys, x) + fastpath_rank8(keys + 8, x);
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

    static inline uint64_t fastpath_be64(const uint8_t *at) {
        uint64_t word;
        memcpy(&word, at, 8);
        #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        word = __builtin_bswap64(word);
        #endif
        return word;
    }

    #define FASTPATH_LEAP(link) ((link) >> 38 & 31)
    #define FASTPATH_GROUP(link) (((link) >> 32 & (1 << 11 | 63)) < 31)      /* before links, in the same half of the address */
    #define FASTPATH_VALUE ((uint64_t) 31 << 32)

    /* How far ahead in a group an address goes on, behind `leap` bits that are skipped; of one that differs there, -1. */
    static inline uint32_t fastpath_ahead(uint64_t link, uint64_t shared, uint64_t leap, uint64_t *ahead) {
        uint64_t bits = *ahead, kind = link >> 32 & 31, differs = (bits ^ shared) >> 1 >> (63 - leap);
        bits <<= leap;
        *ahead = bits << (31 - kind);
        return differs ? (uint32_t) -1 : (uint32_t) (bits >> 33 >> kind);
    }

    /* One address goes on to the end of such groups. */
    static inline uint64_t fastpath_walk(const uint64_t *cells, uint64_t link, uint64_t *ahead) {
        while (FASTPATH_GROUP(link)) link = cells[(uint32_t) link + fastpath_ahead(link, link, FASTPATH_LEAP(link), ahead)];
        return link;
    }

    /* One address goes on by its link: the next place, then a list by the link's kind. Few links need more than a step. */
    #define FASTPATH_STEP(k) do { \\
        uint64_t link = cells[at[k]], bits = ahead[k]; \\
        uint32_t kind = (uint32_t) (link >> 32); \\
        out[k] = (uint32_t) link; \\
        if (__builtin_expect(kind & (63 << 6 | 32), 0)) { \\
            uint32_t group = (kind & 31) < 31, flat = kind >> 11 & 1; \\
            if (kind >> 5 & 1) ahead[k] = fastpath_be64(addresses + 16 * (k) + 8); \\
            at[k] = ((uint32_t) link << flat) + fastpath_ahead(link, link, FASTPATH_LEAP(link), &ahead[k]); \\
            flats[n_flats] = (uint8_t) (k); n_flats += flat; \\
            kind = flat ? 31 : group ? 0 : kind & ~32u; \\
            __builtin_prefetch((const uint32_t *) cells + ((uint64_t) at[k] << !flat)); \\
        } else { \\
            at[k] = (uint32_t) link + (uint32_t) (bits >> 33 >> (kind & 31)); \\
            ahead[k] = bits << (~kind & 31); \\
            __builtin_prefetch(&cells[at[k]]); \\
        } \\
        going[n] = (uint8_t) (k); n += kind < 31; \\
        leaves[n_leaves] = (uint8_t) (k); n_leaves += kind >> 30 & 1; \\
        trees[n_trees] = (uint8_t) (k); n_trees += kind >> 31; \\
    } while (0)

    static void fastpath_walk64(const uint64_t *cells, const uint64_t *start, const uint8_t *addresses, uint32_t *out) {
        uint64_t ahead[64];
        uint32_t at[64];
        uint8_t going[65], leaves[65], trees[65], flats[65];
        int n = 0, n_leaves = 0, n_trees = 0, n_flats = 0;
        for (int k = 0; k < 64; k++) {
            ahead[k] = fastpath_be64(addresses + 16 * k);
            at[k] = (uint32_t) start[0] + fastpath_ahead(start[0], start[1], start[2], &ahead[k]);
            __builtin_prefetch(&cells[at[k]]);
        }
        for (int k = 0; k < 64; k++) FASTPATH_STEP(k);
        while (n) {
            int m = n;
            n = 0;
            for (int i = 0; i < m; i++) { int k = going[i]; FASTPATH_STEP(k); }
        }
        for (int i = 0; i < n_flats; i++) out[flats[i]] = ((const uint32_t *) cells)[at[flats[i]]];
        for (int i = 0; i < n_trees; i++) {
            int k = trees[i];
            at[k] += 8 * fastpath_rank16((const uint32_t *) &cells[at[k]], (uint32_t) (ahead[k] >> 34));
            __builtin_prefetch(&cells[at[k]]);
            leaves[n_leaves++] = (uint8_t) k;
        }
        for (int i = 0; i < n_leaves; i++) {
            int k = leaves[i];
            const uint32_t *line = (const uint32_t *) &cells[at[k]];
            out[k] = line[7 + fastpath_rank8(line, (uint32_t) (ahead[k] >> 34))];
        }
    }
    """
    unsigned rank8 "fastpath_rank8" (const uint32_t* keys, uint32_t x) noexcept nogil
    unsigned rank16 "fastpath_rank16" (const uint32_t* keys, uint32_t x) noexcept nogil
    void walk64 "fastpath_walk64" (const uint64_t* cells, const uint64_t* start, const uint8_t* addresses,
                                   uint32_t* out) noexcept nogil
