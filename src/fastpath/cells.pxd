# How the cells that IPv4 readers search are made from the writer's routes (fib.pxd); what groups uses too. Row 1. One thread.
#
# Memory is taken once a Fib and never moves: FIB_FULL tells the caller to make a larger one. Pages that nobody touches cost
# nothing.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

from fastpath.fib cimport BASE_MASK, CELL_PAIRS, GROUP4_BITS, ROOT4_BITS, SLOT_BITS, SLOTS, Fib, run_of
from fastpath.memory cimport give_pages, store_word, take_pages
from fastpath.routes cimport Routes, bits, expand_routes, routes_within

cdef enum:
    FIB_FULL = -1
    FIB_NO_MEMORY = -2
    SHARED = 32768

# Where a change was; slots that it cannot concern are left.
cdef struct Change:
    uint64_t high, low
    int length

# What a recursion carries along.
cdef struct Build:
    Fib* fib
    const Routes* routes
    const Change* change         # NULL in a new Fib
    uint32_t default
    # Make the one word of a prefix of `depth` bits, below which is trie node `node` (-1: nothing). `was`: the word there was, of
    # which stays what no change concerns; 0 = none.
    int (*make)(Build* build, int32_t node, int depth, uint32_t inherited, uint64_t was, uint64_t* made) noexcept nogil


cdef inline Fib* open_fib(uint32_t cells_room, uint32_t values_room) noexcept nogil:
    cdef Fib* fib = <Fib*> calloc(1, sizeof(Fib))
    if fib is NULL:
        return NULL
    fib.cells_room, fib.values_room = cells_room, values_room
    fib.cells = <uint64_t*> take_pages(cells_room, sizeof(uint64_t))
    fib.values = <uint32_t*> take_pages(values_room, sizeof(uint32_t))
    fib.shared = <uint32_t*> calloc(SHARED, sizeof(uint32_t))
    if fib.cells is NULL or fib.values is NULL or fib.shared is NULL:
        close_fib(fib)
        return NULL
    fib.values_used = 1                             # so that 0 in `shared` means nothing
    return fib


cdef inline void close_fib(Fib* fib) noexcept nogil:
    give_pages(fib.cells, fib.cells_room, sizeof(uint64_t))
    give_pages(fib.values, fib.values_room, sizeof(uint32_t))
    free(fib.shared)
    free(fib)


cdef inline int64_t take_cells(Fib* fib, uint32_t n) noexcept nogil:
    """The first of n new cells, or FIB_FULL."""
    if fib.cells_room - fib.cells_used < n:
        return FIB_FULL
    fib.cells_used += n
    return fib.cells_used - n


cdef inline int64_t take_values(Fib* fib, uint32_t n) noexcept nogil:
    if fib.values_room - fib.values_used < n:
        return FIB_FULL
    fib.values_used += n
    return fib.values_used - n


# ---- making what a prefix leads to ----

cdef inline int fill(Build* build, int32_t node, int length, int to, uint32_t inherited, uint64_t* out,
                     const uint64_t* was) noexcept nogil:
    """Make the 2^(to - length) words of a prefix of `length` bits, one for each prefix of `to` bits in it.

    `node`: the topmost trie node at least `length` long within the prefix, -1 when there is none. `was`: the words there were;
    may be NULL.
    """
    cdef uint64_t half = <uint64_t> 1 << (to - length) >> 1
    cdef uint64_t i, made
    cdef uint32_t side
    cdef int32_t child
    cdef int outcome
    if node < 0:
        outcome = build.make(build, -1, to, inherited, 0, &made)
        if outcome:
            return outcome
        for i in range(<uint64_t> 1 << (to - length)):
            out[i] = made
        return 0
    if length == to:
        return build.make(build, node, to, inherited, was[0] if was is not NULL else 0, out)
    if build.routes.nodes[node].length == length and build.routes.nodes[node].present:
        inherited = build.routes.nodes[node].value
    for side in range(2):
        child = node
        if build.routes.nodes[node].length == length:
            child = build.routes.nodes[node].child[side]
        elif bits(build.routes.nodes[node].high, build.routes.nodes[node].low, length, 1) != side:
            child = -1
        outcome = fill(build, child, length + 1, to, inherited, out + side * half, was + side * half if was is not NULL else NULL)
        if outcome:
            return outcome
    return 0


cdef inline int make_cell(Build* build, int32_t node, int depth, uint32_t inherited, uint64_t was,
                          uint64_t* made) noexcept nogil:
    """The cell of the SLOT_BITS bits after `depth`."""
    cdef uint32_t outcomes[SLOTS]
    cdef int32_t below[SLOTS]
    cdef uint64_t pairs[SLOTS]
    cdef int slot, outcome
    if node < 0:
        return share_cell(build.fib, inherited, made)
    expand_routes(build.routes, node, depth, SLOT_BITS, inherited, outcomes, below)
    for slot in range(SLOTS):
        pairs[slot] = outcomes[slot]
        if below[slot] < 0:
            continue
        pairs[slot] = pair_at(build.fib, was, slot)
        if pairs[slot] >> 32 == 0 or concerns(build, below[slot], depth + SLOT_BITS):
            outcome = make_group(build, below[slot], depth + SLOT_BITS, outcomes[slot], &pairs[slot])
            if outcome:
                return outcome
    return write_cell(build.fib, pairs, made)


cdef inline uint64_t pair_at(const Fib* fib, uint64_t cell, uint32_t slot) noexcept nogil:
    """What a slot leads to; 0 for a cell without pairs."""
    cdef const uint32_t* pair
    if cell >> 63 == 0:
        return 0
    pair = &fib.values[(cell >> 32 & BASE_MASK) + 2 * run_of(cell, slot)]
    return pair[0] | <uint64_t> pair[1] << 32


cdef inline int make_group(Build* build, int32_t node, int depth, uint32_t inherited, uint64_t* made) noexcept nogil:
    """The cells of the last 8 bits, which nobody sees yet, and the pair that leads to them."""
    cdef int64_t first = take_cells(build.fib, 1 << GROUP4_BITS)
    if first < 0:
        return FIB_FULL
    made[0] = <uint64_t> first | <uint64_t> 1 << 32
    return fill(build, node, depth, depth + GROUP4_BITS, inherited, build.fib.cells + first, NULL)


cdef inline int share_cell(Fib* fib, uint32_t value, uint64_t* made) noexcept nogil:
    """A cell of one run; equal ones share their outcome's place."""
    cdef uint32_t* place = &fib.shared[value * 2654435769u >> 17]
    cdef int64_t base = place[0]
    if base == 0 or fib.values[base] != value:
        base = take_values(fib, 1)
        if base < 0:
            return FIB_FULL
        fib.values[base] = value
        place[0] = <uint32_t> base
    made[0] = <uint64_t> base << 32
    return 0


cdef inline int write_cell(Fib* fib, const uint64_t* outcomes, uint64_t* made) noexcept nogil:
    cdef uint32_t starts = 0
    cdef uint32_t at[SLOTS]                            # of each run the first slot
    cdef uint64_t deeper = outcomes[0] >> 32
    cdef int slot, n = 1, pairs
    cdef int64_t base
    at[0] = 0
    for slot in range(1, SLOTS):
        if outcomes[slot] != outcomes[slot - 1]:
            starts |= <uint32_t> 1 << slot
            at[n] = slot
            n += 1
            deeper |= outcomes[slot] >> 32
    if n == 1 and not deeper:
        return share_cell(fib, <uint32_t> outcomes[0], made)
    pairs = deeper != 0
    base = take_values(fib, n << pairs)
    if base < 0:
        return FIB_FULL
    for slot in range(n):
        fib.values[base + (slot << pairs)] = <uint32_t> outcomes[at[slot]]
        if pairs:
            fib.values[base + 2 * slot + 1] = outcomes[at[slot]] >> 32
    made[0] = <uint64_t> base << 32 | starts | (CELL_PAIRS if pairs else 0)
    return 0


cdef inline bint concerns(const Build* build, int32_t node, int depth) noexcept nogil:
    """Whether the change may alter what the first `depth` bits of a node's prefix lead to."""
    cdef const Change* change = build.change
    cdef int n = depth if depth < change.length else change.length
    return shares(change.high ^ build.routes.nodes[node].high, n) \
        and (n <= 64 or shares(change.low ^ build.routes.nodes[node].low, n - 64))


cdef inline bint shares(uint64_t differing, int n) noexcept nogil:
    return n <= 0 or differing >> (64 - n if n < 64 else 0) == 0


# ---- all of it, and a change ----

cdef inline int make_all4(Build* build) noexcept nogil:
    """All that a new Fib holds."""
    take_cells(build.fib, 1 << ROOT4_BITS)
    return fill(build, build.routes.root, 0, ROOT4_BITS, build.default, build.fib.cells, NULL)


cdef inline int remake4(Build* build) noexcept nogil:
    """Make anew the cells that a change alters."""
    cdef uint64_t high = build.change.high, group
    cdef int length = build.change.length, depth = ROOT4_BITS + SLOT_BITS
    cdef uint64_t* cell = &build.fib.cells[high >> (64 - ROOT4_BITS)]
    if length <= ROOT4_BITS:
        return remake_cells(build, cell, length, ROOT4_BITS)
    group = pair_at(build.fib, cell[0], bits(high, 0, ROOT4_BITS, SLOT_BITS))
    if length <= depth or group >> 32 == 0:
        return remake_cells(build, cell, ROOT4_BITS, ROOT4_BITS)
    cell = &build.fib.cells[<uint32_t> group + bits(high, 0, depth, GROUP4_BITS)]
    depth += GROUP4_BITS
    return remake_cells(build, cell, length if length < depth else depth, depth)


cdef inline int remake_cells(Build* build, uint64_t* cells, int length, int to) noexcept nogil:
    """The words of the change's first `length` bits, each of `to` bits. All are made before the first is stored."""
    cdef uint64_t count = <uint64_t> 1 << (to - length), i
    cdef uint64_t one
    cdef uint64_t* made = &one if count == 1 else <uint64_t*> malloc(count * sizeof(uint64_t))
    cdef uint32_t inherited = build.default
    cdef int32_t node = routes_within(build.routes, build.change.high, build.change.low, length, &inherited)
    cdef int outcome = FIB_NO_MEMORY
    if made is not NULL:
        outcome = fill(build, node, length, to, inherited, made, cells)
    if outcome == 0:
        for i in range(count):
            store_word(&cells[i], made[i])
    if made is not &one:
        free(made)
    return outcome
