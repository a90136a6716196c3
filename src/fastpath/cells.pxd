# How the cells that IPv4 readers search are made from the writer's routes (fib.pxd); what groups uses too. Row 1. One thread.
#
# Memory is taken once a Fib and never moves: FIB_FULL tells the caller to make a larger one. Pages that nobody touches cost
# nothing.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from fastpath.fib cimport (BASE_MASK, CELL_DEEP, CELL_LEADS, DEEP_BITS, GROUP4_BITS, OUTCOME_FLAT, OUTCOME_LINK, OUTCOME_PLACE,
                           ROOT4_BITS, SLOT_BITS, SLOTS, Fib, run_of)
from fastpath.memory cimport give_pages, store_half, store_word, take_pages
from fastpath.routes cimport Routes, bits, expand_routes, routes_within

cdef enum:
    FIB_FULL = -1
    FIB_NO_MEMORY = -2
    SHARED = 32768
    LAST_BITS = 8                # behind a slot of the first cells
    LAST = 256
    FLAT_RUNS = 16               # with more runs than these its values lie flat
    FLAT_ROUTES = 4096           # and in a table with fewer routes always
    DEEP_SLOTS = 24              # a cell with so many such slots is deep

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
    cdef uint32_t links = 0, link
    cdef int slot, outcome
    if node < 0:
        return share_cell(build.fib, inherited, made)
    expand_routes(build.routes, node, depth, SLOT_BITS, inherited, outcomes, below)
    if depth == ROOT4_BITS and (build.change is NULL or build.fib.deep) and flat_slots(build, outcomes, below) >= DEEP_SLOTS:
        return make_deep(build, node, inherited, made)
    for slot in range(SLOTS):
        if below[slot] < 0:
            continue
        link = link_at(build.fib, was, slot)
        if not link or concerns(build, below[slot], depth + SLOT_BITS):
            outcome = make_last(build, below[slot], depth + SLOT_BITS, outcomes[slot], &link)
            if outcome:
                return outcome
        outcomes[slot], links = link, links | <uint32_t> 1 << slot
    if not links:
        return write_cell(build.fib, outcomes, 0, made)
    for slot in range(SLOTS):                          # a value that looks like a link is behind one
        if outcomes[slot] & OUTCOME_LINK and not links >> slot & 1:
            outcome = make_last(build, -1, depth + SLOT_BITS, outcomes[slot], &outcomes[slot])
            if outcome:
                return outcome
    return write_cell(build.fib, outcomes, CELL_LEADS, made)


cdef inline int flat_slots(Build* build, const uint32_t* outcomes, const int32_t* below) noexcept nogil:
    """How many slots of a cell would lead to LAST values; 0 if too few may."""
    cdef uint32_t last[LAST]
    cdef int slot, n = 0
    for slot in range(SLOTS):
        n += below[slot] >= 0
    if n < DEEP_SLOTS:
        return 0
    n = 0
    for slot in range(SLOTS):
        if below[slot] >= 0:
            expand_routes(build.routes, below[slot], ROOT4_BITS + SLOT_BITS, LAST_BITS, outcomes[slot], last, NULL)
            n += lie_flat(build, last)
    return n


cdef inline bint lie_flat(const Build* build, const uint32_t* last) noexcept nogil:
    """Whether the outcomes of the last 8 bits are better kept as they are than by cells."""
    cdef int i, runs = 1
    for i in range(1, LAST):
        runs += last[i] != last[i - 1]
    return runs > FLAT_RUNS or build.routes.count < FLAT_ROUTES


cdef inline int make_deep(Build* build, int32_t node, uint32_t inherited, uint64_t* made) noexcept nogil:
    cdef int64_t first = take_values(build.fib, 1 << DEEP_BITS)
    if first < 0:
        return FIB_FULL
    expand_routes(build.routes, node, ROOT4_BITS, DEEP_BITS, inherited, build.fib.values + first, NULL)
    made[0] = <uint64_t> (first - 1) << 32 | CELL_DEEP
    build.fib.deep = True
    return 0


cdef inline uint32_t link_at(const Fib* fib, uint64_t cell, uint32_t slot) noexcept nogil:
    """The link of a slot, 0 if it has a value."""
    cdef uint32_t outcome = fib.values[(cell >> 32 & BASE_MASK) + run_of(cell, slot)]
    return outcome if cell >> 63 and outcome & OUTCOME_LINK else 0                # a deep cell does not lead


cdef inline int make_last(Build* build, int32_t node, int depth, uint32_t inherited, uint32_t* link) noexcept nogil:
    """The cells or the values of the last 8 bits, which nobody sees yet, and the link that leads to them."""
    cdef uint32_t outcomes[LAST]
    cdef int32_t below[LAST]
    cdef int64_t first
    expand_routes(build.routes, node, depth, LAST_BITS, inherited, outcomes, below)
    if lie_flat(build, outcomes):
        first = take_values(build.fib, LAST)
        if first < 0:
            return FIB_FULL
        memcpy(build.fib.values + first, outcomes, sizeof(outcomes))
        link[0] = <uint32_t> first | OUTCOME_LINK | OUTCOME_FLAT
        return 0
    first = take_cells(build.fib, 1 << GROUP4_BITS)
    if first < 0:
        return FIB_FULL
    link[0] = <uint32_t> first | OUTCOME_LINK
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


cdef inline int write_cell(Fib* fib, const uint32_t* outcomes, uint64_t leads, uint64_t* made) noexcept nogil:
    cdef uint32_t starts = 0
    cdef uint32_t runs[SLOTS]
    cdef int slot, n = 1
    cdef int64_t base
    runs[0] = outcomes[0]
    for slot in range(1, SLOTS):
        if outcomes[slot] != outcomes[slot - 1]:
            starts |= <uint32_t> 1 << slot
            runs[n] = outcomes[slot]
            n += 1
    if n == 1 and not leads:
        return share_cell(fib, outcomes[0], made)
    base = take_values(fib, n)
    if base < 0:
        return FIB_FULL
    memcpy(fib.values + base, runs, n * sizeof(uint32_t))
    made[0] = <uint64_t> base << 32 | starts | leads
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
    cdef uint64_t high = build.change.high
    cdef int length = build.change.length, depth = ROOT4_BITS + SLOT_BITS
    cdef uint64_t* cell = &build.fib.cells[high >> (64 - ROOT4_BITS)]
    cdef uint32_t link
    if length <= ROOT4_BITS:
        return remake_cells(build, cell, length, ROOT4_BITS)
    if cell[0] & CELL_DEEP:
        return remake_values(build, &build.fib.values[(cell[0] >> 32) + 1 + bits(high, 0, ROOT4_BITS, DEEP_BITS)], length, 32)
    link = link_at(build.fib, cell[0], bits(high, 0, ROOT4_BITS, SLOT_BITS))
    if length <= depth or not link:
        return remake_cells(build, cell, ROOT4_BITS, ROOT4_BITS)
    if link & OUTCOME_FLAT:
        return remake_values(build, &build.fib.values[(link & OUTCOME_PLACE) + bits(high, 0, depth, LAST_BITS)], length, 32)
    cell = &build.fib.cells[(link & OUTCOME_PLACE) + bits(high, 0, depth, GROUP4_BITS)]
    depth += GROUP4_BITS
    return remake_cells(build, cell, length if length < depth else depth, depth)


cdef inline int remake_values(Build* build, uint32_t* values, int length, int to) noexcept nogil:
    """The values of the change's first `length` bits, each of `to` bits, in place."""
    cdef uint64_t count = <uint64_t> 1 << (to - length), i
    cdef uint32_t* made = <uint32_t*> malloc(count * sizeof(uint32_t))
    cdef uint32_t inherited = build.default
    cdef int32_t node = routes_within(build.routes, build.change.high, build.change.low, length, &inherited)
    if made is NULL:
        return FIB_NO_MEMORY
    expand_routes(build.routes, node, length, to - length, inherited, made, NULL)
    for i in range(count):
        if values[i] != made[i]:
            store_half(&values[i], made[i])
    free(made)
    return 0


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
