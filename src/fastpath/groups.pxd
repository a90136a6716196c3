# How the links and lines that IPv6 readers search are made from the writer's routes (fib.pxd). Row 1. One thread.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath.cells cimport FIB_FULL, Build, concerns, fill, remake_cells, take_cells
from fastpath.fib cimport (KEY_BITS, KIND_ALONE, KIND_LEAF, KIND_LEAP, KIND_TREE, KIND_VALUE, LEAF_RUNS, LEAP_WORDS, LENGTH_AT,
                           LINE, MOST_SKIPPED, NO_KEY, START_BITS, STARTS, TREE_LEAVES, Fib, Leap, Starts, begins)
from fastpath.routes cimport Route, Routes, bits, head_mask, longest_below, routes_below, routes_within

cdef enum:
    # How wide a group is, chosen by measurement (docs/decisions/0005).
    LEAST_BITS = 4
    SPARE_BITS = 3               # 2^2 links for each route
    DIRECT_LINKS = 96            # at most, where the group then holds nothing but values
    MOST_BITS = 24
    START_SPARE_BITS = 9         # 2^8 links for each route in a group to start from, while it has
    START_ENOUGH_BITS = 15       # fewer than these
    START_DIRECT_BITS = 16       # or so many, if it then holds nothing but values
    START_DIRECT_ROUTES = 32     # for so many routes
    SKIP_ROUTES = 64             # fewer may soon share less, and a route that does not makes all anew, dear in a large table
    LEAP_BITS = 8                # a leap takes at least so many bits, and as many as a group would
    LEAP_ROUTES = 4096           # and has at most so many routes behind it, since what parts from its path makes all anew
    RUNS = 128                   # TREE_LEAVES * LEAF_RUNS

# The KEY_BITS bits after `depth` in runs of equal outcome.
cdef struct Runs:
    int depth
    int n                        # more than RUNS: they can not be told
    uint32_t keys[RUNS]          # the first of each
    uint32_t values[RUNS]


cdef inline uint64_t link(uint32_t kind, uint32_t value) noexcept nogil:
    return <uint64_t> kind << 32 | value


cdef inline int make_link(Build* build, int32_t node, int depth, uint32_t inherited, uint64_t was,
                          uint64_t* made) noexcept nogil:
    cdef const Route* route
    if node < 0:
        made[0] = link(KIND_VALUE, inherited)
        return 0
    if was and was >> 32 != KIND_VALUE and not concerns(build, node, depth):
        made[0] = was
        return 0
    route = &build.routes.nodes[node]
    if route.length == depth and route.present:
        inherited = route.value
    return make_below(build, node, depth, inherited, made)


cdef inline int make_below(Build* build, int32_t node, int depth, uint32_t inherited, uint64_t* made) noexcept nogil:
    """The link of a prefix of `depth` bits with routes within."""
    cdef Runs runs
    cdef int begin = build.routes.nodes[node].length, longest = longest_below(build.routes, node), wide
    cdef uint32_t n = routes_below(build.routes, node, 1 << MOST_BITS)
    runs.depth, runs.n = depth, 0
    add_run(&runs, 0, inherited)
    add_runs(&runs, build.routes, node, inherited)
    if runs.n <= RUNS:
        return make_lines(build.fib, &runs, made)
    wide = width_of(n, SPARE_BITS, MOST_BITS)
    if direct(n, longest - depth):
        return make_group(build, node, depth, longest - depth, inherited, made)
    if begin - depth >= max(wide, LEAP_BITS) and n <= LEAP_ROUTES and not direct(n, begin - depth):
        return make_leap(build, node, begin if begin < longest else begin - 1, inherited, made)
    return make_group(build, node, depth, wide, inherited, made)


cdef inline bint direct(uint32_t n, int wide) noexcept nogil:
    """Whether a group as wide as the longest of n routes is worth its memory."""
    return wide <= MOST_BITS and <uint64_t> 1 << wide <= <uint64_t> n * DIRECT_LINKS


cdef inline int width_of(uint32_t n, int spare, int most) noexcept nogil:
    """The bits that a group of n routes takes."""
    cdef int wide = LEAST_BITS
    while wide < most and <uint64_t> n << spare >> wide > 1:
        wide += 1
    return wide


cdef inline uint64_t starts_room(uint64_t n) noexcept nogil:
    """The most cells that groups to start from take beyond those of other groups."""
    cdef uint64_t most = STARTS << START_DIRECT_BITS
    return n << START_SPARE_BITS if n << START_SPARE_BITS < most else most


cdef inline int make_group(Build* build, int32_t node, int depth, int wide, uint32_t inherited, uint64_t* made) noexcept nogil:
    """A group, which nobody sees yet, and the link that leads to it."""
    cdef uint32_t kind
    cdef int64_t first
    if depth < 64 < depth + wide:
        wide = 64 - depth                              # batches know 64 bits only
    elif wide > 128 - depth:
        wide = 128 - depth
    first = take_cells(build.fib, <uint32_t> 1 << wide)
    if first < 0:
        return FIB_FULL
    kind = 63 - wide
    if depth + wide > 64:
        kind |= KIND_ALONE
    made[0] = link(kind, <uint32_t> first)
    return fill(build, node, depth, depth + wide, inherited, build.fib.cells + first, NULL)


cdef inline int make_leap(Build* build, int32_t node, int length, uint32_t inherited, uint64_t* made) noexcept nogil:
    """A group behind the first `length` bits of a node, which are compared at once."""
    cdef const Route* route = &build.routes.nodes[node]
    cdef int wide = longest_below(build.routes, node) - length
    cdef uint32_t n = routes_below(build.routes, node, 1 << MOST_BITS)
    cdef int64_t at = take_cells(build.fib, LEAP_WORDS)
    cdef Leap* leap
    cdef uint64_t group
    cdef int outcome
    if at < 0:
        return FIB_FULL
    leap = <Leap*> &build.fib.cells[at]
    leap.high, leap.low = route.high & head_mask(length), route.low & head_mask(length - 64)
    leap.otherwise, leap.length = link(KIND_VALUE, inherited), length
    if not direct(n, wide):
        wide = width_of(n, SPARE_BITS, MOST_BITS)
    outcome = make_group(build, node, length, wide, inherited, &group)
    made[0] = link(<uint32_t> (group >> 32) | KIND_LEAP | <uint32_t> length << LENGTH_AT, <uint32_t> at)
    if length > 64:
        made[0] |= <uint64_t> KIND_ALONE << 32
    return outcome


# ---- lines ----

cdef inline void add_run(Runs* runs, uint32_t key, uint32_t value) noexcept nogil:
    """A run begins, perhaps where one has begun already, perhaps with the same outcome as the one before."""
    if runs.n and runs.n <= RUNS and runs.keys[runs.n - 1] == key:
        runs.n -= 1
    if runs.n > RUNS or (runs.n and runs.values[runs.n - 1] == value):
        return
    if runs.n < RUNS:
        runs.keys[runs.n], runs.values[runs.n] = key, value
    runs.n += 1


cdef inline void add_runs(Runs* runs, const Routes* routes, int32_t node, uint32_t inherited) noexcept nogil:
    """Those of a node and all below it."""
    cdef const Route* route = &routes.nodes[node]
    cdef int behind = runs.depth + KEY_BITS - route.length
    cdef uint32_t value = route.value if route.present else inherited
    cdef uint64_t first
    if behind < 0:
        runs.n = RUNS + 1
    if runs.n > RUNS:
        return
    first = bits(route.high, route.low, runs.depth, KEY_BITS)
    if route.present:
        add_run(runs, <uint32_t> first, value)
    if route.child[0] >= 0:
        add_runs(runs, routes, route.child[0], value)
    if route.child[1] >= 0:
        add_runs(runs, routes, route.child[1], value)
    first += <uint64_t> 1 << behind
    if route.present and first >> KEY_BITS == 0:
        add_run(runs, <uint32_t> first, inherited)


cdef inline int64_t take_line(Fib* fib) noexcept nogil:
    """LINE words in one cache line, or FIB_FULL."""
    fib.cells_used += -fib.cells_used % LINE
    return take_cells(fib, LINE)


cdef inline int make_lines(Fib* fib, const Runs* runs, uint64_t* made) noexcept nogil:
    """A value, a leaf or a tree, for at most RUNS runs."""
    cdef int leaves = (runs.n + LEAF_RUNS - 1) / LEAF_RUNS, i
    cdef uint32_t kind = KIND_LEAF if leaves == 1 else KIND_TREE
    cdef int64_t at
    cdef uint32_t* line
    if runs.n == 1:
        made[0] = link(KIND_VALUE, runs.values[0])
        return 0
    at = take_line(fib)
    if at < 0 or (leaves > 1 and take_cells(fib, leaves * LINE) < 0):
        return FIB_FULL
    if runs.depth + KEY_BITS > 64 and long_keys(runs):
        kind |= KIND_ALONE
    made[0] = link(kind, <uint32_t> at)
    line = <uint32_t*> &fib.cells[at]
    if leaves == 1:
        write_leaf(runs, 0, line)
        return 0
    for i in range(TREE_LEAVES):
        line[i] = runs.keys[i * LEAF_RUNS] if i < leaves else NO_KEY
    for i in range(leaves):
        write_leaf(runs, i * LEAF_RUNS, line + 2 * LINE * (i + 1))
    return 0


cdef inline void write_leaf(const Runs* runs, int first, uint32_t* line) noexcept nogil:
    cdef int i
    for i in range(LEAF_RUNS):
        line[i], line[LEAF_RUNS + i] = NO_KEY, 0
        if first + i < runs.n:
            line[i], line[LEAF_RUNS + i] = runs.keys[first + i], runs.values[first + i]


cdef inline bint long_keys(const Runs* runs) noexcept nogil:
    """Whether a key has bits behind an address's 64th."""
    cdef int i, behind = runs.depth + KEY_BITS - 64
    if behind > KEY_BITS:
        return True
    for i in range(runs.n):
        if runs.keys[i] & ((<uint32_t> 1 << behind) - 1):
            return True
    return False


# ---- all of it, and a change ----

cdef inline int make_all6(Build* build) noexcept nogil:
    """All that a new Fib holds."""
    cdef int branch, outcome
    for branch in range(STARTS):
        outcome = make_start(build, branch)
        if outcome:
            return outcome
    build.fib.starts.far = build.fib.cells_used > 1 << 16
    return 0


cdef inline int make_start(Build* build, int branch) noexcept nogil:
    """The group that addresses with these first bits start from, behind what all routes there share."""
    cdef Starts* starts = &build.fib.starts
    cdef uint64_t high = <uint64_t> branch << (64 - START_BITS)
    cdef uint32_t inherited = build.default, n = 0
    cdef int32_t node = routes_within(build.routes, high, 0, START_BITS, &inherited)
    cdef int depth = START_BITS, wide, longest, outcome
    if node >= 0:
        n, high = routes_below(build.routes, node, 1 << MOST_BITS), build.routes.nodes[node].high
        if n >= SKIP_ROUTES or build.routes.count < SKIP_ROUTES:
            depth = min(<int> build.routes.nodes[node].length, MOST_SKIPPED)
    starts.prefixes[branch], starts.skipped[branch] = high, depth
    outcome = make_group(build, -1, START_BITS, 1, inherited, &starts.others[branch])
    if outcome:
        return outcome
    wide = max(width_of(n, SPARE_BITS, MOST_BITS), width_of(n, START_SPARE_BITS, START_ENOUGH_BITS))
    if node >= 0:
        longest = longest_below(build.routes, node) - depth
        wide = max(1, longest if n >= START_DIRECT_ROUTES and longest <= START_DIRECT_BITS else min(wide, longest))
    return make_group(build, node, depth, wide, inherited, &starts.links[branch])


cdef inline int remake6(Build* build) noexcept nogil:
    """Make anew the links that a change alters, in the deepest group that holds all of it."""
    cdef Fib* fib = build.fib
    cdef uint64_t high = build.change.high, low = build.change.low, group
    cdef uint64_t* first
    cdef const Leap* leap
    cdef int length = build.change.length, branch = <int> (high >> (64 - START_BITS)), depth, to
    depth = <int> fib.starts.skipped[branch]
    if length < depth or (high ^ fib.starts.prefixes[branch]) >> (64 - depth):
        return FIB_FULL                                # not within a group to start from: the caller makes all anew
    group = fib.starts.links[branch]
    while True:
        to = depth + 63 - <int> (group >> 32 & 63)
        first = &fib.cells[<uint32_t> group + (bits(high, low, depth, to - depth))]
        if length <= to:
            return remake_cells(build, first, length, to)
        group, depth = first[0], to
        if group >> 32 & KIND_VALUE == KIND_VALUE:
            return remake_cells(build, first, to, to)
        if group >> 32 & KIND_LEAP:
            leap = <const Leap*> &fib.cells[<uint32_t> group]
            if not begins(leap, high, low) or length <= <int> leap.length:
                return remake_cells(build, first, to, to)
            group, depth = group + LEAP_WORDS, <int> leap.length
