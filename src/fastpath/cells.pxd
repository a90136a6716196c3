# How the cells that readers search are made from the writer's routes (fib.pxd). Row 1, between fib and lpmtable. One thread.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastpath.fib cimport (BASE_MASK, CELL_PAIRS, FIB_FULL, FIB_NO_MEMORY, GROUP4_BITS, GROUP6_BITS, ROOT_BITS, ROOTS, SHARED,
                           SLOT_BITS, SLOTS, Fib, run_of)
from fastpath.memory cimport give_pages, store_word, take_pages
from fastpath.routes cimport Routes, bits, expand_routes, routes_within

cdef enum:
    CELLS_FIRST = 512           # room of an empty Fib
    VALUES_FIRST = 1024

# Where a change was; slots that it cannot concern are left.
cdef struct Change:
    uint64_t high, low
    int length

# What a recursion carries along.
cdef struct Build:
    Fib* fib
    const Routes* routes
    const Change* change
    uint32_t default


cdef inline Fib* open_fib(int address_bits) noexcept nogil:
    cdef Fib* fib = <Fib*> calloc(1, sizeof(Fib))
    if fib is NULL:
        return NULL
    fib.pairs, fib.group_bits = address_bits != 32, GROUP4_BITS if address_bits == 32 else GROUP6_BITS
    fib.cells_room, fib.values_room = CELLS_FIRST, VALUES_FIRST
    fib.root = <uint64_t*> take_pages(ROOTS, sizeof(uint64_t))
    fib.cells = <uint64_t*> take_pages(CELLS_FIRST, sizeof(uint64_t))
    fib.values = <uint32_t*> take_pages(VALUES_FIRST, sizeof(uint32_t))
    fib.shared = <uint32_t*> calloc(SHARED, sizeof(uint32_t))
    if fib.root is NULL or fib.cells is NULL or fib.values is NULL or fib.shared is NULL:
        close_fib(fib)
        return NULL
    fib.values_used = 2                             # so that 0 in `shared` means nothing, and pairs are at even indexes
    return fib


cdef inline void close_fib(Fib* fib) noexcept nogil:
    give_pages(fib.root, ROOTS, sizeof(uint64_t))
    give_pages(fib.cells, fib.cells_room, sizeof(uint64_t))
    give_pages(fib.values, fib.values_room, sizeof(uint32_t))
    free(fib.shared)
    free(fib)


cdef inline int64_t take_cells(Fib* fib, uint32_t n) noexcept nogil:
    """The first of n new cells, FIB_FULL or FIB_NO_MEMORY."""
    cdef void* larger
    if fib.cells_room - fib.cells_used < n:
        if fib.fixed:
            return FIB_FULL
        larger = grown(fib.cells, fib.cells_room, sizeof(uint64_t), &fib.cells_room)
        if larger is NULL:
            return FIB_NO_MEMORY
        fib.cells = <uint64_t*> larger
    fib.cells_used += n
    return fib.cells_used - n


cdef inline int64_t take_values(Fib* fib, uint32_t n) noexcept nogil:
    cdef void* larger
    if fib.values_room - fib.values_used < n:
        if fib.fixed:
            return FIB_FULL
        larger = grown(fib.values, fib.values_room, sizeof(uint32_t), &fib.values_room)
        if larger is NULL:
            return FIB_NO_MEMORY
        fib.values = <uint32_t*> larger
    fib.values_used += n
    return fib.values_used - n


cdef inline void* grown(void* old, uint32_t room, size_t each, uint32_t* new_room) noexcept nogil:
    """The old contents in twice the memory; room is at least 512, what one cell may need."""
    cdef void* larger = NULL
    if room < <uint32_t> 1 << 30:
        larger = take_pages(<size_t> room * 2, each)
    if larger is not NULL:
        memcpy(larger, old, room * each)
        give_pages(old, room, each)
        new_room[0] = room * 2
    return larger


cdef inline bint leave_room(Fib* fib) noexcept nogil:
    """At least half as much room as is used, so that Fibs are not made again all the time."""
    cdef uint32_t cells = fib.cells_used, values = fib.values_used
    while fib.cells_room - cells < cells / 2:
        if take_cells(fib, fib.cells_room - fib.cells_used + 1) < 0:
            return False
        fib.cells_used = cells
    while fib.values_room - values < values / 2:
        if take_values(fib, fib.values_room - fib.values_used + 1) < 0:
            return False
        fib.values_used = values
    return True


# ---- cells ----

cdef inline int refresh_block(Build* build, uint64_t high, int length) noexcept nogil:
    """Make the root cells of a prefix of at most ROOT_BITS bits."""
    cdef uint32_t inherited = build.default
    cdef int32_t node = routes_within(build.routes, high, 0, length, &inherited)
    cdef uint32_t first = <uint32_t> (high >> 45), i
    cdef uint64_t cell
    cdef int outcome
    if node >= 0 and length < ROOT_BITS:
        outcome = refresh_block(build, high, length + 1)
        return outcome if outcome else refresh_block(build, high | <uint64_t> 1 << (63 - length), length + 1)
    if node >= 0:
        outcome = make_cell(build, node, ROOT_BITS, inherited, 0, &cell)
    else:
        outcome = share_cell(build.fib, inherited, &cell)
    if outcome:
        return outcome
    for i in range(first, first + (<uint32_t> 1 << (ROOT_BITS - length))):
        store_word(&build.fib.root[i], cell)
    return 0


cdef inline int refresh_path(Build* build) noexcept nogil:
    """Make anew the one cell that a change of more than ROOT_BITS bits alters."""
    cdef Fib* fib = build.fib
    cdef const Change* change = build.change
    cdef uint64_t* cell = &fib.root[change.high >> 45]
    cdef uint32_t inherited = build.default
    cdef uint64_t made
    cdef int32_t node
    cdef int64_t group
    cdef int depth = ROOT_BITS, outcome
    while change.length > depth + SLOT_BITS + fib.group_bits:
        group = group_at(fib, cell[0], bits(change.high, change.low, depth, SLOT_BITS))
        if group < 0:
            break
        cell = &fib.cells[group + bits(change.high, change.low, depth + SLOT_BITS, fib.group_bits)]
        depth += SLOT_BITS + fib.group_bits
    node = routes_within(build.routes, change.high, change.low, depth, &inherited)
    outcome = make_cell(build, node, depth, inherited, cell[0], &made)
    if outcome == 0:
        store_word(cell, made)
    return outcome


cdef inline int64_t group_at(const Fib* fib, uint64_t cell, uint32_t slot) noexcept nogil:
    """The first cell of the group that a slot leads to, -1 when it has a value."""
    cdef const uint32_t* pair = &fib.values[(cell >> 32 & BASE_MASK) + 2 * run_of(cell, slot)]
    return pair[0] if cell >> 63 and pair[1] else -1


cdef inline int make_cell(Build* build, int32_t node, int depth, uint32_t inherited, uint64_t was, uint64_t* made) noexcept nogil:
    """The cell of the SLOT_BITS bits after `depth`; groups of the cell that `was` there stay if no change concerns them."""
    cdef uint32_t outcomes[SLOTS]
    cdef int32_t below[SLOTS]
    cdef uint32_t deeper = 0
    cdef int64_t group
    cdef int slot, outcome
    expand_routes(build.routes, node, depth, SLOT_BITS, inherited, outcomes, below)
    for slot in range(SLOTS):
        if below[slot] < 0:
            continue
        group = group_at(build.fib, was, slot)
        if group < 0 or concerns(build, below[slot], depth + SLOT_BITS):
            group = take_cells(build.fib, <uint32_t> 1 << build.fib.group_bits)
            if group < 0:
                return <int> group
            outcome = make_group(build, below[slot], depth + SLOT_BITS, outcomes[slot], <uint32_t> group)
            if outcome:
                return outcome
        outcomes[slot], deeper = <uint32_t> group, 1
    return write_cell(build.fib, outcomes, below, deeper, made)


cdef inline int make_group(Build* build, int32_t node, int depth, uint32_t inherited, uint32_t first) noexcept nogil:
    """Fill the cells of the group_bits bits after `depth`; nobody sees them yet."""
    cdef uint32_t outcomes[1 << GROUP6_BITS]
    cdef int32_t below[1 << GROUP6_BITS]
    cdef uint64_t made
    cdef int i, outcome, bits_more = build.fib.group_bits
    expand_routes(build.routes, node, depth, bits_more, inherited, outcomes, below)
    for i in range(1 << bits_more):
        if below[i] < 0:
            outcome = share_cell(build.fib, outcomes[i], &made)
        else:
            outcome = make_cell(build, below[i], depth + bits_more, outcomes[i], 0, &made)
        if outcome:
            return outcome
        build.fib.cells[first + i] = made
    return 0


cdef inline int share_cell(Fib* fib, uint32_t value, uint64_t* made) noexcept nogil:
    """A cell of one run; equal ones share their outcome's place."""
    cdef uint32_t* place = &fib.shared[value * 2654435769u >> 17]
    cdef int64_t base = place[0]
    if base == 0 or fib.values[base] != value:
        base = take_values(fib, 1 << fib.pairs)
        if base < 0:
            return <int> base
        fib.values[base] = value
        if fib.pairs:
            fib.values[base + 1] = 0
        place[0] = <uint32_t> base
    made[0] = <uint64_t> base << 32 | (CELL_PAIRS if fib.pairs else 0)
    return 0


cdef inline int write_cell(Fib* fib, const uint32_t* outcomes, const int32_t* below, uint32_t deeper, uint64_t* made) noexcept nogil:
    cdef uint32_t starts = 0
    cdef uint32_t at[SLOTS]                            # of each run the first slot
    cdef int slot, n = 1
    cdef uint32_t pairs = deeper | fib.pairs
    cdef int64_t base
    at[0] = 0
    for slot in range(1, SLOTS):
        if outcomes[slot] != outcomes[slot - 1] or (below[slot] >= 0) != (below[slot - 1] >= 0):
            starts |= <uint32_t> 1 << slot
            at[n] = slot
            n += 1
    if n == 1 and not deeper:
        return share_cell(fib, outcomes[0], made)
    base = take_values(fib, n << pairs)
    if base < 0:
        return <int> base
    for slot in range(n):
        fib.values[base + (slot << pairs)] = outcomes[at[slot]]
        if pairs:
            fib.values[base + 2 * slot + 1] = below[at[slot]] >= 0
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
