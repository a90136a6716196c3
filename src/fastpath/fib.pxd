# What readers of an lpm table search, made from the writer's routes by cells (IPv4), groups and runs (IPv6). Row 1.
#
# IPv4: a cell is one word for 32 neighbouring slots: a bit for each slot whose outcome differs from the slot's before (a run
# begins) and where the runs' outcomes are; the number of bits up to a slot finds its outcome. The first 24 bits of an address
# choose one of 2^19 cells and a slot in it. Outcomes are values; in a cell that leads on (LEADS) one with OUTCOME_LINK leads a
# slot with longer routes to 8 cells for its last 8 bits, or (OUTCOME_FLAT) to 256 values where there are many runs. A cell most of
# whose slots would lead to 256 values is deep instead (CELL_DEEP): the last 13 bits find one of 8,192 values.
#
# IPv6: a link is one word: what to do in the upper half (a kind), a value or a place in `cells` in the lower. A group of 2^n
# links takes the next n bits of an address, as many as its routes ask for. Bits that all routes behind a link share are not
# walked: the link tells how many and which (a leap, at most 20 bits), and the word before the group is the link, to a value,
# for an address that differs there. Before the first group there may be up to 60. A link at depth 64 to more than a value says
# so, since batches read the two halves of an address by themselves; no group, leap or key reaches from one half into the other.
# Where nearly all routes end in groups that hold nothing but values, those are flat, 4 bytes each. Where few routes are left,
# they end in lines of 64 bytes:
#
#     leaf   8 keys and 8 values: the value of the last key that is at most the next 30 bits counts
#     tree   16 keys and behind them 16 leaves, of which the last whose key is at most those bits counts
#
# Few routes are kept as a block of sorted runs too, which batches search instead (pivots.pxd).
#
# Nothing changes once something published leads to it, except a cell of a group or a link in a group: those are stored (8
# bytes, release) with all that they lead to made anew before, and loaded (acquire) whole. What became garbage is dropped
# with the whole Fib.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastpath.gather cimport PATH_AVX2, PATH_SCALAR, gather4_avx2, gather4_avx512, lowest, ones, rarely
from fastpath.memory cimport load_half, load_word, prefetch
from fastpath.pivots cimport runs64
from fastpath.search cimport search_avx2, search_avx512
from fastpath.walk cimport rank8, rank16, walk64
from fastpath.wire cimport load_be64

cdef enum:
    ROOT4_BITS = 19              # log2 of the cells for the first 24 bits of an IPv4 address
    GROUP4_BITS = 3
    SLOT_BITS = 5
    SLOTS = 32
    DEEP_BITS = 13               # of an address, behind the 2^19 cells
    CELL_DEEP = 1
    BASE_MASK = 0x7FFFFFFF
    CHUNK = 64                   # addresses looked up side by side
    LINE = 8                     # words, 64 bytes
    LEAF_RUNS = 8
    TREE_LEAVES = 16
    KEY_BITS = 30
    NO_KEY = 0x7FFFFFFF          # above all keys
    MOST_SHARED = 60             # bits that are skipped before the first group

cdef extern from *:
    """
    #define FASTPATH_CELL_LEADS ((uint64_t) 1 << 63)
    #define FASTPATH_OUTCOME_LINK ((uint32_t) 1 << 31)
    #define FASTPATH_OUTCOME_FLAT ((uint32_t) 1 << 30)
    #define FASTPATH_OUTCOME_PLACE (((uint32_t) 1 << 30) - 1)
    """
    const uint64_t CELL_LEADS "FASTPATH_CELL_LEADS"            # in a cell: outcomes may be links
    const uint32_t OUTCOME_LINK "FASTPATH_OUTCOME_LINK"
    const uint32_t OUTCOME_FLAT "FASTPATH_OUTCOME_FLAT"        # in a link: the place is of values, not of cells
    const uint32_t OUTCOME_PLACE "FASTPATH_OUTCOME_PLACE"

# Kinds, the upper half of a link. The lower 5 bits of a group's tell how many bits of the address it takes: 31 minus so many.
cdef extern from *:
    """
    #define FASTPATH_KIND_LEAF ((uint32_t) 1 << 30 | 31)
    #define FASTPATH_KIND_TREE ((uint32_t) 1 << 31 | 31)
    """
    const uint32_t KIND_LEAF "FASTPATH_KIND_LEAF"
    const uint32_t KIND_TREE "FASTPATH_KIND_TREE"

cdef enum:
    KIND_VALUE = 31              # any kind below in these bits: a group
    KIND_LOW = 32                # set also at depth 64: the lower half of the address is next
    LEAP_AT = 6                  # from this bit on: how many bits are skipped before a group, 5 bits
    LEAP_MASK = 31
    LEAP_BITS = 20               # at most; the bits themselves are the first of the link
    KIND_FLAT = 1 << 11          # set also where a group is flat

# Where IPv6 addresses start.
cdef struct Start:
    uint64_t link                # to a group
    uint64_t prefix              # the bits that all routes share
    uint64_t shared              # so many
    uint64_t far                 # whether cells are worth to be fetched before they are read

# A cell: bit 0 CELL_DEEP; 1-31 run starts; 32-62 index of the first outcome, minus 1 in a deep cell; 63 CELL_LEADS.
cdef struct Fib:
    uint64_t* cells              # IPv6: links and lines
    uint32_t* values             # IPv4: outcomes
    Start start                  # IPv6
    uint64_t runs                # IPv6: a block of few runs (pivots.pxd) that batches search instead, its place and lines; 0 = none
    bint deep                    # IPv4: there are deep cells, from the beginning on, so that readers know before they meet one
    bint flat                    # IPv6: groups of nothing but values are flat; the writer's
    int64_t direct               # IPv6: how many routes end in such groups; the writer's, while it makes all
    uint32_t cells_used, cells_room
    uint32_t values_used, values_room
    uint32_t* shared             # IPv4: SHARED places of outcomes that cells of one run share, by value; the writer's
    Fib* next                    # in a list of Fibs kept for readers

cdef inline uint32_t run_of(uint64_t cell, uint32_t slot) noexcept nogil:
    return ones(<uint32_t> cell << (31 - slot))


cdef inline uint32_t outcome4(uint64_t cell, uint32_t address) noexcept nogil:
    """Where the outcome of an address is by its cell; bit 31: may be a link."""
    cdef uint32_t deep = address & (1 << DEEP_BITS) - 1
    return <uint32_t> (cell >> 32) + run_of(cell, address >> 8 & 31) + (deep & -<uint32_t> (cell & CELL_DEEP))


cdef inline uint32_t find4(const Fib* fib, uint32_t address) noexcept nogil:
    cdef uint32_t at = outcome4(load_word(&fib.cells[address >> DEEP_BITS]), address)
    cdef uint32_t outcome = load_half(&fib.values[at & BASE_MASK])
    if rarely((at & outcome) >> 31):
        return follow4(fib, outcome, address)
    return outcome


cdef inline uint32_t follow4(const Fib* fib, uint32_t link, uint32_t address) noexcept nogil:
    """What a link leads an address to."""
    cdef uint64_t cell
    if link & OUTCOME_FLAT:
        return load_half(&fib.values[(link & OUTCOME_PLACE) + (address & 255)])
    cell = load_word(&fib.cells[(link & OUTCOME_PLACE) + (address >> 5 & 7)])
    return fib.values[(cell >> 32) + run_of(cell, address & 31)]


cdef inline uint32_t find6(const Fib* fib, uint64_t high, uint64_t low) noexcept nogil:
    cdef uint64_t link = fib.start.link, ahead = high, shared = fib.start.prefix
    cdef uint32_t kind = <uint32_t> (link >> 32), leap = <uint32_t> fib.start.shared, step
    cdef bint differs
    cdef const uint32_t* group
    cdef const uint32_t* line
    while kind & KIND_VALUE != KIND_VALUE:
        differs = (ahead ^ shared) >> 1 >> (63 - leap) != 0
        ahead <<= leap
        step = <uint32_t> (ahead >> 33 >> (kind & 31))
        if kind & KIND_FLAT:
            if differs:
                return <uint32_t> fib.cells[<uint32_t> link - 1]
            group = <const uint32_t*> &fib.cells[<uint32_t> link]
            return load_half(&group[step])
        link = load_word(&fib.cells[<uint32_t> link - 1 if differs else <uint32_t> link + step])
        if differs:
            return <uint32_t> link
        ahead <<= 31 - (kind & 31)
        shared, kind = link, <uint32_t> (link >> 32)
        leap = kind >> LEAP_AT & LEAP_MASK
        if kind & KIND_LOW:
            ahead = low
    if kind == KIND_VALUE:
        return <uint32_t> link
    line = <const uint32_t*> &fib.cells[<uint32_t> link]
    if kind >> 31:
        line += 2 * LINE * rank16(line, <uint32_t> (ahead >> (64 - KEY_BITS)))
    return line[LEAF_RUNS - 1 + rank8(line, <uint32_t> (ahead >> (64 - KEY_BITS)))]


# ---- batches ----

cdef inline uint64_t find_chunk4(const Fib* fib, const uint32_t* addresses, uint32_t* out) noexcept nogil:
    """CHUNK addresses without vectors: outcomes are fetched for all before any is read. Returns those whose out is a link."""
    cdef uint32_t at[CHUNK]
    cdef uint64_t links = 0
    cdef int i
    for i in range(CHUNK):
        prefetch(&fib.cells[addresses[i] >> DEEP_BITS])
    for i in range(CHUNK):
        at[i] = outcome4(load_word(&fib.cells[addresses[i] >> DEEP_BITS]), addresses[i])
        prefetch(&fib.values[at[i] & BASE_MASK])
    for i in range(CHUNK):
        out[i] = fib.values[at[i] & BASE_MASK]
        links |= <uint64_t> ((at[i] & out[i]) >> 31) << i
    return links


cdef inline void finish_chunk4(const Fib* fib, const uint32_t* addresses, uint32_t* out, uint64_t links) noexcept nogil:
    """Those whose out is a link."""
    cdef uint32_t at[CHUNK]
    cdef uint8_t going[CHUNK]
    cdef uint64_t cell
    cdef int i, k, n = 0
    while links:
        k = lowest(links)
        links &= links - 1
        if out[k] & OUTCOME_FLAT:
            out[k] = load_half(&fib.values[(out[k] & OUTCOME_PLACE) + (addresses[k] & 255)])
            continue
        going[n], at[n] = <uint8_t> k, (out[k] & OUTCOME_PLACE) + (addresses[k] >> 5 & 7)
        prefetch(&fib.cells[at[n]])
        n += 1
    for i in range(n):
        cell = load_word(&fib.cells[at[i]])
        at[i] = <uint32_t> (cell >> 32) + run_of(cell, addresses[going[i]] & 31)
        prefetch(&fib.values[at[i]])
    for i in range(n):
        out[going[i]] = fib.values[at[i]]


cdef inline void find_all4(const Fib* fib, int path, const uint32_t* addresses, uint32_t* out, size_t n) noexcept nogil:
    cdef uint64_t links
    cdef size_t i = 0
    while n - i >= CHUNK:
        if path == PATH_SCALAR:
            links = find_chunk4(fib, addresses + i, out + i)
        elif path == PATH_AVX2:
            links = gather4_avx2(fib.cells, fib.values, addresses + i, out + i, fib.deep)
        else:
            links = gather4_avx512(fib.cells, fib.values, addresses + i, out + i)
        if links:
            finish_chunk4(fib, addresses + i, out + i, links)
        i += CHUNK
    while i < n:
        out[i] = find4(fib, addresses[i])
        i += 1


cdef inline void find_all6(const Fib* fib, int path, const uint8_t* addresses, uint32_t* out, size_t n) noexcept nogil:
    cdef uint64_t runs = load_word(&fib.runs) if path != PATH_SCALAR else 0
    cdef size_t i = 0
    while runs and n - i >= CHUNK:
        runs64(&fib.cells[<uint32_t> runs], runs >> 32, addresses + 16 * i, out + i)
        i += CHUNK
    while n - i >= CHUNK:
        if path == PATH_SCALAR:
            walk64(fib.cells, &fib.start.link, addresses + 16 * i, out + i)
        elif path == PATH_AVX2:
            search_avx2(fib.cells, &fib.start.link, addresses + 16 * i, out + i)
        else:
            search_avx512(fib.cells, &fib.start.link, addresses + 16 * i, out + i)
        i += CHUNK
    while i < n:
        out[i] = find6(fib, load_be64(addresses + 16 * i), load_be64(addresses + 16 * i + 8))
        i += 1
