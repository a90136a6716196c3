# What readers of an lpm table search, made from the writer's routes. Row 0, above routes and memory.
#
# A cell is one word for 32 neighbouring slots: a bit for each slot whose outcome differs from the slot's before (a run begins)
# and where the runs' outcomes are; the number of bits up to a slot finds its outcome. The first 24 bits of an address choose
# one of 2^19 root cells and a slot in it; a slot with longer routes leads to a group of cells for the bits that follow.
# Outcomes never change once a cell that leads to them is published; a change makes new ones and stores the cell (8 bytes,
# release). Readers load it (acquire), whole. What became garbage is dropped with the whole Fib.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastpath.memory cimport load_word, prefetch
from fastpath.routes cimport bits
from fastpath.wire cimport load_be64

cdef extern from *:
    """
    #define fastpath_ones32(x) ((unsigned) __builtin_popcount(x))
    #define fastpath_rarely(x) __builtin_expect(!!(x), 0)
    """
    unsigned ones "fastpath_ones32" (uint32_t x) noexcept nogil
    bint rarely "fastpath_rarely" (uint64_t x) noexcept nogil
    const uint64_t CELL_PAIRS "((uint64_t) 1 << 63)"   # in a cell: each outcome is a pair (value or first cell of a group, 0 or 1)

cdef enum:
    ROOT_BITS = 19
    ROOTS = 524288
    SLOT_BITS = 5
    SLOTS = 32
    GROUP4_BITS = 3          # 2^3 cells of 32 slots: an IPv4 group knows the last 8 bits
    GROUP6_BITS = 3          # an IPv6 group the next 8 bits
    BASE_MASK = 0x7FFFFFFF
    FIB_FULL = -1            # a published Fib does not grow
    FIB_NO_MEMORY = -2
    SHARED = 32768
    CHUNK = 64               # addresses looked up side by side


# A cell: bits 0-31 run starts, slot 0's not counted; 32-62 index of the first outcome in `values`; 63 CELL_PAIRS.
cdef struct Fib:
    uint64_t* root           # ROOTS cells
    uint64_t* cells          # of groups
    uint32_t cells_used, cells_room
    uint32_t* values
    uint32_t values_used, values_room
    uint32_t* shared         # SHARED places of outcomes that cells of one run share, by value; the writer's
    int pairs                # IPv6: all cells have pairs, at even indexes
    int group_bits
    int fixed                # published: what is there may not move
    Fib* next                # in a list of Fibs kept for readers


cdef inline uint32_t run_of(uint64_t cell, uint32_t slot) noexcept nogil:
    return ones(<uint32_t> cell << (31 - slot))


cdef inline uint32_t find4(const Fib* fib, uint32_t address) noexcept nogil:
    cdef uint64_t cell = load_word(&fib.root[address >> 13])
    cdef uint32_t run = run_of(cell, address >> 8 & 31)
    cdef const uint32_t* pair
    if rarely(cell >> 63):
        pair = &fib.values[(cell >> 32 & BASE_MASK) + 2 * run]
        if not pair[1]:
            return pair[0]
        cell = load_word(&fib.cells[pair[0] + (address >> 5 & 7)])
        run = run_of(cell, address & 31)
    return fib.values[(cell >> 32) + run]


cdef inline uint32_t find6(const Fib* fib, uint64_t high, uint64_t low) noexcept nogil:
    cdef uint64_t cell = load_word(&fib.root[high >> 45])
    cdef const uint32_t* pair
    cdef int depth = ROOT_BITS
    while True:
        pair = &fib.values[(cell >> 32 & BASE_MASK) + 2 * run_of(cell, bits(high, low, depth, SLOT_BITS))]
        if not pair[1]:
            return pair[0]
        depth += SLOT_BITS
        cell = load_word(&fib.cells[pair[0] + bits(high, low, depth, GROUP6_BITS)])
        depth += GROUP6_BITS


# ---- batches ----

cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <immintrin.h>
    #define fastpath_has_avx2() __builtin_cpu_supports("avx2")
    /* 64 addresses; the bits of those whose cell has pairs, whose outcome is then not valid. A lane of a gather is one aligned
       8-byte load, so a cell is read whole. */
    __attribute__((target("avx2"))) static uint64_t fastpath_chunk4(const uint64_t *root, const uint32_t *values,
                                                                    const uint32_t *addresses, uint32_t *out) {
        const __m256i counts = _mm256_setr_epi8(0,1,1,2,1,2,2,3,1,2,2,3,2,3,3,4,0,1,1,2,1,2,2,3,1,2,2,3,2,3,3,4);
        const __m256i low = _mm256_set1_epi8(15), slots = _mm256_set1_epi32(31), ones8 = _mm256_set1_epi8(1);
        uint64_t rest = 0;
        __m256i at[8];
        for (int i = 0; i < 8; i++) {
            __m256i a = _mm256_loadu_si256((const __m256i *) addresses + i), cell = _mm256_srli_epi32(a, 13);
            __m256 one = _mm256_castsi256_ps(_mm256_i32gather_epi64((const long long *) root, _mm256_castsi256_si128(cell), 8));
            __m256 two = _mm256_castsi256_ps(_mm256_i32gather_epi64((const long long *) root, _mm256_extracti128_si256(cell, 1), 8));
            __m256i starts = _mm256_castps_si256(_mm256_shuffle_ps(one, two, 0x88));
            __m256i base = _mm256_castps_si256(_mm256_shuffle_ps(one, two, 0xDD));
            /* the shuffles leave lanes 0 1 4 5 2 3 6 7 */
            __m256i slot = _mm256_andnot_si256(_mm256_srli_epi32(_mm256_permute4x64_epi64(a, 0xD8), 8), slots);
            starts = _mm256_sllv_epi32(starts, slot);
            __m256i run = _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(starts, low)),
                                          _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi32(starts, 4), low)));
            run = _mm256_madd_epi16(_mm256_maddubs_epi16(run, ones8), _mm256_set1_epi16(1));
            run = _mm256_permute4x64_epi64(_mm256_add_epi32(run, base), 0xD8);
            rest |= (uint64_t) (uint32_t) _mm256_movemask_ps(_mm256_castsi256_ps(run)) << 8 * i;
            at[i] = _mm256_and_si256(run, _mm256_set1_epi32(0x7FFFFFFF));
        }
        for (int i = 0; i < 8; i++)
            _mm256_storeu_si256((__m256i *) out + i, _mm256_i32gather_epi32((const int *) values, at[i], 4));
        return rest;
    }
    #else
    #define fastpath_has_avx2() 0
    #define fastpath_chunk4(root, values, addresses, out) 0
    #endif
    #define fastpath_lowest(x) __builtin_ctzll(x)
    """
    bint has_avx2 "fastpath_has_avx2" () noexcept nogil
    uint64_t gather_chunk4 "fastpath_chunk4" (const uint64_t* root, const uint32_t* values, const uint32_t* addresses,
                                              uint32_t* out) noexcept nogil
    int lowest "fastpath_lowest" (uint64_t x) noexcept nogil


cdef inline void find_chunk4(const Fib* fib, const uint32_t* addresses, uint32_t* out) noexcept nogil:
    """CHUNK addresses: outcomes are fetched for all before any is read."""
    cdef uint32_t at[CHUNK]
    cdef uint64_t cell
    cdef int i
    for i in range(CHUNK):
        prefetch(&fib.root[addresses[i] >> 13])
    for i in range(CHUNK):
        cell = load_word(&fib.root[addresses[i] >> 13])
        at[i] = <uint32_t> (cell >> 32) + run_of(cell, addresses[i] >> 8 & 31)
        prefetch(&fib.values[at[i] & BASE_MASK])
    for i in range(CHUNK):
        out[i] = find4(fib, addresses[i]) if rarely(at[i] >> 31) else fib.values[at[i]]


cdef inline void find_chunk6(const Fib* fib, const uint8_t* addresses, uint32_t* out) noexcept nogil:
    """CHUNK addresses level by level: the memory of a level is fetched for all before any goes on, and no branch depends
    on where an address's path ends."""
    cdef uint64_t ahead[CHUNK]           # the bits not yet used
    cdef uint32_t at[CHUNK]              # the next cell, then the outcome
    cdef uint8_t going[CHUNK]            # those still on their way
    cdef const uint64_t* cells = fib.root
    cdef uint64_t cell, pair
    cdef int k, i, n = CHUNK, left, used = ROOT_BITS
    for k in range(CHUNK):
        ahead[k] = load_be64(addresses + 16 * k)
        at[k], going[k] = <uint32_t> (ahead[k] >> 45), <uint8_t> k
        ahead[k] <<= ROOT_BITS
    while n and used + SLOT_BITS + GROUP6_BITS <= 64:
        for i in range(n):
            k = going[i]
            cell = load_word(&cells[at[k]])
            at[k] = (<uint32_t> (cell >> 32) & BASE_MASK) + 2 * run_of(cell, <uint32_t> (ahead[k] >> 59))
            prefetch(&fib.values[at[k]])
        left = 0
        cells = fib.cells
        for i in range(n):
            k = going[i]
            pair = (<const uint64_t*> (fib.values + at[k]))[0]          # little-endian
            out[k] = <uint32_t> pair
            at[k] = <uint32_t> pair + <uint32_t> (ahead[k] << SLOT_BITS >> (64 - GROUP6_BITS))
            ahead[k] <<= SLOT_BITS + GROUP6_BITS
            prefetch(&cells[at[k]])
            going[left] = <uint8_t> k
            left += <int> (pair >> 32)
        n = left
        used += SLOT_BITS + GROUP6_BITS
    for i in range(n):
        k = going[i]
        out[k] = find6(fib, load_be64(addresses + 16 * k), load_be64(addresses + 16 * k + 8))


cdef inline void find_all4(const Fib* fib, const uint32_t* addresses, uint32_t* out, size_t n) noexcept nogil:
    cdef bint wide = has_avx2()
    cdef uint64_t rest
    cdef size_t i = 0, k
    while n - i >= CHUNK:
        if wide:
            rest = gather_chunk4(fib.root, fib.values, addresses + i, out + i)
            while rest:
                k = i + lowest(rest)
                out[k] = find4(fib, addresses[k])
                rest &= rest - 1
        else:
            find_chunk4(fib, addresses + i, out + i)
        i += CHUNK
    while i < n:
        out[i] = find4(fib, addresses[i])
        i += 1


cdef inline void find_all6(const Fib* fib, const uint8_t* addresses, uint32_t* out, size_t n) noexcept nogil:
    cdef size_t i = 0
    while n - i >= CHUNK:
        find_chunk6(fib, addresses + 16 * i, out + i)
        i += CHUNK
    while i < n:
        out[i] = find6(fib, load_be64(addresses + 16 * i), load_be64(addresses + 16 * i + 8))
        i += 1
