# How the links and lines that IPv6 readers search are made from the writer's routes (fib.pxd). Row 1. One thread.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from fastpath.cells cimport FIB_FULL, Build, concerns, fill, remake_cells, remake_values, take_cells
from fastpath.fib cimport (KEY_BITS, KIND_FLAT, KIND_LEAF, KIND_LOW, KIND_TREE, KIND_VALUE, LEAF_RUNS, LEAP_AT, LEAP_BITS,
                           LEAP_MASK, LINE, MOST_SHARED, NO_KEY, TREE_LEAVES, Fib, Start)
from fastpath.memory cimport forget_pages
from fastpath.routes cimport Route, Routes, bits, expand_routes, longest_below, routes_below

cdef enum:
    # How wide a group is, chosen by measurement (docs/decisions/0005).
    LEAST_BITS = 4
    SPARE_BITS = 3               # 2^2 links for each route
    DIRECT_LINKS = 96            # at most, where the group then holds nothing but values
    DENSE_LINKS = 16             # at most, for a flat group in place of a tree
    DENSE_BITS = 10
    MOST_BITS = 24
    START_SPARE_BITS = 9         # 2^8 links for each route in a group to start from, while it has
    START_ENOUGH_BITS = 15       # fewer than these
    START_DIRECT_BITS = 16       # or so many, if it then holds nothing but values
    START_DIRECT_ROUTES = 32     # for so many routes
    LEAST_SHARED = 8             # fewer bits gain a large table nothing, and a route without them makes all of it anew
    LEAST_LEAP = 6               # a leap skips at least so many bits
    LEAP_ROUTES = 65536          # and has at most so many routes behind it: one that parts from them makes these anew
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
    cdef int outcome
    runs.depth, runs.n = depth, 0
    add_run(&runs, 0, inherited)
    add_runs(&runs, build.routes, node, inherited)
    if runs.n <= RUNS and (depth >= 64 or not long_keys(&runs)) and not dense(build, node, depth, runs.n):
        outcome = make_lines(build.fib, &runs, made)
    else:
        outcome = make_groups(build, node, depth, inherited, made)
    if depth == 64 and made[0] >> 32 != KIND_VALUE:
        made[0] |= <uint64_t> KIND_LOW << 32
    return outcome


cdef inline bint dense(Build* build, int32_t node, int depth, int runs) noexcept nogil:
    """Whether routes that fit in a tree are so near each other that a flat group does it as well."""
    cdef int wide = longest_below(build.routes, node) - depth
    cdef uint32_t n
    if runs <= LEAF_RUNS or wide > DENSE_BITS or depth < 64 < depth + wide:
        return False
    n = routes_below(build.routes, node, RUNS)
    if <uint32_t> 1 << wide > n * DENSE_LINKS:
        return False
    build.fib.direct += n
    return build.fib.flat


cdef inline int make_groups(Build* build, int32_t node, int depth, uint32_t inherited, uint64_t* made) noexcept nogil:
    """The same, for many or long routes."""
    cdef int reach = longest_below(build.routes, node), longest = min(reach, 64 if depth < 64 else 128)
    cdef int lone = min(<int> build.routes.nodes[node].length, longest - 1) - depth, leap = 0, wide
    cdef uint32_t n = routes_below(build.routes, node, 1 << MOST_BITS)
    if lone >= LEAST_LEAP and n <= LEAP_ROUTES and not direct(n, longest - depth):
        leap = min(lone, LEAP_BITS)
    depth += leap
    wide = 1 if leap and lone - leap >= LEAST_LEAP else width(n, longest - depth)
    if reach == depth + wide:
        build.fib.direct += n
        if build.fib.flat:
            return make_flat(build, node, depth, wide, leap, inherited, made)
    return make_group(build, node, depth, wide, leap, inherited, made)


cdef inline int width(uint32_t n, int most) noexcept nogil:
    """The bits that a group of n routes takes, all of `most` where that is worth its memory."""
    return most if direct(n, most) else min(most, width_of(n, SPARE_BITS, MOST_BITS))


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
    cdef uint64_t most = 1 << START_DIRECT_BITS
    return n << START_SPARE_BITS if n << START_SPARE_BITS < most else most


cdef inline int make_group(Build* build, int32_t node, int depth, int wide, int leap, uint32_t inherited,
                           uint64_t* made) noexcept nogil:
    """A group, which nobody sees yet, before it what those come to that differ in the bits that are skipped, and the link."""
    cdef int64_t first = take_cells(build.fib, (<uint32_t> 1 << wide) + 1)
    if first < 0:
        return FIB_FULL
    build.fib.cells[first] = link(KIND_VALUE, inherited)
    made[0] = skipping(build, node, depth, leap) | link(31 - wide | leap << LEAP_AT, <uint32_t> first + 1)
    return fill(build, node, depth, depth + wide, inherited, build.fib.cells + first + 1, NULL)


cdef inline int make_flat(Build* build, int32_t node, int depth, int wide, int leap, uint32_t inherited,
                          uint64_t* made) noexcept nogil:
    """The same of values, where no route is longer."""
    cdef int64_t first = take_cells(build.fib, (<uint32_t> 1 << (wide - 1)) + 1)
    if first < 0:
        return FIB_FULL
    build.fib.cells[first] = link(inherited, inherited)
    made[0] = skipping(build, node, depth, leap) | link(31 - wide | leap << LEAP_AT | KIND_FLAT, <uint32_t> first + 1)
    expand_routes(build.routes, node, depth, wide, inherited, <uint32_t*> &build.fib.cells[first + 1], NULL)
    return 0


cdef inline uint64_t skipping(const Build* build, int32_t node, int depth, int leap) noexcept nogil:
    """What a link tells of the bits that are skipped before `depth`."""
    cdef const Route* route = &build.routes.nodes[node]
    return <uint64_t> bits(route.high, route.low, depth - leap, leap) << (64 - leap) if leap else 0


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
    cdef int leaves = (runs.n + LEAF_RUNS - 1) // LEAF_RUNS, i
    cdef uint32_t kind = KIND_LEAF if leaves == 1 else KIND_TREE
    cdef int64_t at
    cdef uint32_t* line
    if runs.n == 1:
        made[0] = link(KIND_VALUE, runs.values[0])
        return 0
    at = take_line(fib)
    if at < 0 or (leaves > 1 and take_cells(fib, leaves * LINE) < 0):
        return FIB_FULL
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
    """Whether a key has bits behind an address's 64th, in which it begins."""
    cdef int i, behind = runs.depth + KEY_BITS - 64
    if behind <= 0:
        return False
    for i in range(runs.n):
        if runs.keys[i] & ((<uint32_t> 1 << behind) - 1):
            return True
    return False


# ---- all of it, and a change ----

cdef inline int make_all6(Build* build) noexcept nogil:
    """All that a new Fib holds; a second time, with flat groups, where nearly all routes would end in them."""
    cdef Fib* fib = build.fib
    cdef int outcome = make_start(build)
    cdef uint32_t used = fib.cells_used
    if outcome == 0 and fib.direct > build.routes.count - build.routes.count // 8:
        fib.flat, fib.cells_used = True, 0
        outcome = make_start(build)
        if used > fib.cells_used + 1024:               # a page or more is no longer needed
            forget_pages(fib.cells, (<size_t> fib.cells_used + 511) // 512 * 4096, <size_t> used // 512 * 4096)
    fib.start.far = fib.cells_used > 1 << 16
    return outcome


cdef inline int make_start(Build* build) noexcept nogil:
    """The group that addresses start from, behind what all routes share, and all below it."""
    cdef Start* start = &build.fib.start
    cdef int32_t node = build.routes.root
    cdef uint32_t n = routes_below(build.routes, node, 1 << MOST_BITS)
    cdef int shared = 0, wide = 1, longest
    if node >= 0:
        start.prefix, shared = build.routes.nodes[node].high, min(<int> build.routes.nodes[node].length, MOST_SHARED)
        if n > LEAP_ROUTES and shared < LEAST_SHARED:
            shared = 0
        longest = min(longest_below(build.routes, node), 64) - shared
        wide = max(width_of(n, SPARE_BITS, MOST_BITS), width_of(n, START_SPARE_BITS, START_ENOUGH_BITS))
        wide = max(1, longest if n >= START_DIRECT_ROUTES and longest <= START_DIRECT_BITS else min(wide, longest))
    start.shared = shared
    return make_group(build, node, shared, wide, 0, build.default, &start.link)


cdef inline int remake6(Build* build) noexcept nogil:
    """Make anew the links that a change alters, in the deepest group that holds all of it."""
    cdef Fib* fib = build.fib
    cdef uint64_t high = build.change.high, low = build.change.low, link = fib.start.link
    cdef uint64_t* first
    cdef uint32_t* group
    cdef int length = build.change.length, depth = <int> fib.start.shared, to, leap
    if length < depth or (high ^ fib.start.prefix) >> 1 >> (63 - depth):
        return FIB_FULL                                # not within the group to start from: the caller makes all anew
    while True:
        to = depth + 31 - <int> (link >> 32 & 31)
        first = &fib.cells[<uint32_t> link + bits(high, low, depth, to - depth)]
        if length <= to:
            return remake_cells(build, first, length, to)
        link, depth = first[0], to
        leap = <int> (link >> (32 + LEAP_AT) & LEAP_MASK)
        if link >> 32 & KIND_VALUE == KIND_VALUE or length <= depth + leap:
            return remake_cells(build, first, to, to)
        if leap and bits(high, low, depth, leap) != link >> (64 - leap):
            return remake_cells(build, first, to, to)
        depth += leap
        if link >> 32 & KIND_FLAT:
            to = depth + 31 - <int> (link >> 32 & 31)
            if length > to:
                return remake_cells(build, first, depth - leap, depth - leap)
            group = <uint32_t*> &fib.cells[<uint32_t> link]
            return remake_values(build, &group[bits(high, low, depth, to - depth)], length, to)
