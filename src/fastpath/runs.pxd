# How a few IPv6 routes are made into sorted runs of equal outcome, which batches search in place of groups (pivots.pxd). Row 1.
# One thread.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from fastpath.cells cimport FIB_FULL, Build, take_cells
from fastpath.fib cimport LINE, Fib
from fastpath.routes cimport Route, Routes, longest_below

cdef enum:
    FEW_ROUTES = 255             # so that there are at most
    FEW_RUNS = 512
    TOP = 8
    PIVOTS = 64

cdef extern from *:
    """
    #define FASTPATH_FIRST_BIT ((uint64_t) 1 << 63)
    #define FASTPATH_GREATEST (FASTPATH_FIRST_BIT - 1)
    """
    const uint64_t FIRST_BIT "FASTPATH_FIRST_BIT"
    const uint64_t GREATEST "FASTPATH_GREATEST"                 # of signed numbers

# The first 64 bits of all addresses, in runs of equal outcome.
cdef struct Few:
    int n                        # more than FEW_RUNS: they can not be told
    uint64_t begins[FEW_RUNS]
    uint32_t values[FEW_RUNS]


cdef inline void begin_run(Few* few, uint64_t at, uint32_t value) noexcept nogil:
    """A run begins, perhaps where one has begun already, perhaps with the same outcome as the one before."""
    if few.n and few.n <= FEW_RUNS and few.begins[few.n - 1] == at:
        few.n -= 1
    if few.n > FEW_RUNS or (few.n and few.values[few.n - 1] == value):
        return
    if few.n < FEW_RUNS:
        few.begins[few.n], few.values[few.n] = at, value
    few.n += 1


cdef inline void begin_runs(Few* few, const Routes* routes, int32_t node, uint32_t inherited) noexcept nogil:
    """Those of a node and all below it."""
    cdef const Route* route = &routes.nodes[node]
    cdef uint32_t value = route.value if route.present else inherited
    cdef uint64_t behind
    if route.length > 64:
        few.n = FEW_RUNS + 1
    if few.n > FEW_RUNS:
        return
    if route.present:
        begin_run(few, route.high, value)
    if route.child[0] >= 0:
        begin_runs(few, routes, route.child[0], value)
    if route.child[1] >= 0:
        begin_runs(few, routes, route.child[1], value)
    behind = route.high + (<uint64_t> 1 << (64 - route.length)) if route.length else 0
    if route.present and behind:
        begin_run(few, behind, inherited)


cdef inline bint flat(const Build* build) noexcept nogil:
    """Whether the group that addresses start from holds nothing but values: nothing is quicker than that."""
    cdef int end = <int> build.fib.start.shared + 31 - <int> (build.fib.start.link >> 32 & 31)
    return build.routes.root < 0 or longest_below(build.routes, build.routes.root) <= end


cdef inline int make_runs(Build* build, uint64_t* made) noexcept nogil:
    """The block of all runs, which nobody sees yet, and the word that leads to it; 0 where groups are searched."""
    cdef Few few
    made[0] = 0
    if build.routes.count > FEW_ROUTES or flat(build):
        return 0
    few.n = 0
    begin_run(&few, 0, build.default)
    if build.routes.root >= 0:
        begin_runs(&few, build.routes, build.routes.root, build.default)
    return 0 if few.n > FEW_RUNS else write_runs(build.fib, &few, made)


cdef inline int write_runs(Fib* fib, const Few* few, uint64_t* made) noexcept nogil:
    cdef uint64_t lines = <uint64_t> few.n + 7 >> 3     # one end fewer than runs, and the greatest number
    cdef int64_t at
    cdef uint64_t* ends
    cdef uint32_t* values
    cdef int i
    fib.cells_used += -fib.cells_used % LINE
    at = take_cells(fib, <uint32_t> (TOP + PIVOTS + 12 * lines))
    if at < 0:
        return FIB_FULL
    ends = fib.cells + at + TOP + PIVOTS
    values = <uint32_t*> (ends + 8 * lines)
    for i in range(8 * <int> lines):
        ends[i] = few.begins[i + 1] - 1 ^ FIRST_BIT if i + 1 < few.n else GREATEST
        values[i] = few.values[i] if i < few.n else 0
    for i in range(PIVOTS):
        fib.cells[at + TOP + i] = ends[8 * i + 7] if i < <int> lines else GREATEST
    for i in range(TOP):
        fib.cells[at + i] = fib.cells[at + TOP + 8 * i + 7]
    made[0] = lines << 32 | <uint64_t> at
    return 0
