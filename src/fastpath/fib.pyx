"""What readers of an lpm table search, made from the writer's routes. Structure and publication are described in fib.pxd.

Journey: find4 and find6 (fib.pxd) are the longest prefix match of classify. Only fastpath.lpm builds and changes one.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastpath.memory cimport give_pages, store_pointer, store_word, take_pages
from fastpath.routes cimport Route, Routes, close_routes, expand_routes, open_routes, routes_within

if sizeof(Line) != 64 or sizeof(Node) != 24:
    raise ImportError("fastpath.fib was built for another layout of Line and Node: build fastpath again")

cdef enum:
    CELLS_FIRST = 512           # room of an empty Fib
    VALUES_FIRST = 1024
    ROUTES_FIRST = 64
    LINE_SLOTS = 256
    NODE_SLOTS = 64
    NODE_BITS = 6

# What a recursion carries along.
cdef struct Build:
    Fib* fib
    const Routes* routes
    const Change* change


cdef Fib* open_fib(int address_bits, uint32_t cells, uint32_t values) noexcept nogil:
    cdef Fib* fib = <Fib*> calloc(1, sizeof(Fib))
    if fib is NULL:
        return NULL
    fib.cell_bytes = sizeof(Line) if address_bits == 32 else sizeof(Node)
    fib.cells_room, fib.values_room = cells, values
    fib.root = <uint64_t*> take_pages(ROOTS, sizeof(uint64_t))
    fib.cells = <uint8_t*> take_pages(cells, fib.cell_bytes)
    fib.values = <uint32_t*> take_pages(values, sizeof(uint32_t))
    if fib.root is NULL or fib.cells is NULL or fib.values is NULL:
        close_fib(fib)
        return NULL
    fib.cells_used = fib.values_used = 1            # cell 0 is an empty Line whose value is unused (find4)
    return fib


cdef void close_fib(Fib* fib) noexcept nogil:
    give_pages(fib.root, ROOTS, sizeof(uint64_t))
    give_pages(fib.cells, fib.cells_room, fib.cell_bytes)
    give_pages(fib.values, fib.values_room, sizeof(uint32_t))
    free(fib)


cdef int refresh(Fib* fib, const Routes* routes, uint32_t default, const Change* change) noexcept nogil:
    cdef uint32_t slot = <uint32_t> (change.high >> 48)
    cdef uint32_t left = <uint32_t> 1 << (ROOT_BITS - change.length) if change.length < ROOT_BITS else 1
    cdef Build build
    cdef int outcome
    build.fib, build.routes, build.change = fib, routes, change
    while left:
        outcome = refresh_root(&build, slot, default)
        if outcome:
            return outcome
        slot, left = slot + 1, left - 1
    return 0


cdef int refresh_root(Build* build, uint32_t slot, uint32_t default) noexcept nogil:
    cdef Fib* fib = build.fib
    cdef uint32_t inherited = default
    cdef int32_t node = routes_within(build.routes, <uint64_t> slot << 48, 0, ROOT_BITS, &inherited)
    cdef const Route* route
    cdef int64_t cell, old = -1
    cdef int outcome
    if node >= 0:
        route = &build.routes.nodes[node]
        if route.length == ROOT_BITS and route.present and route.child[0] < 0 and route.child[1] < 0:
            inherited, node = route.value, -1
    if node < 0:
        store_word(&fib.root[slot], inherited)
        return 0
    if build.change.length > ROOT_BITS and fib.root[slot] & ENTRY_CELL:
        old = <uint32_t> fib.root[slot]
    cell = take_cells(fib, 1)
    if cell < 0:
        return <int> cell
    if fib.cell_bytes == sizeof(Line):
        outcome = build_line(build, node, ROOT_BITS, inherited, <uint32_t> cell)
    else:
        outcome = build_node(build, node, ROOT_BITS, inherited, <uint32_t> cell, old)
    if outcome == 0:
        store_word(&fib.root[slot], ENTRY_CELL | <uint64_t> cell)
    return outcome


cdef int64_t take_cells(Fib* fib, uint32_t n) noexcept nogil:
    """The first of n new cells, FIB_FULL or FIB_NO_MEMORY."""
    cdef void* larger
    if fib.cells_room - fib.cells_used < n:
        if fib.fixed:
            return FIB_FULL
        larger = grown(fib.cells, fib.cells_room, fib.cell_bytes, &fib.cells_room)
        if larger is NULL:
            return FIB_NO_MEMORY
        fib.cells = <uint8_t*> larger
    fib.cells_used += n
    return fib.cells_used - n


cdef int64_t take_values(Fib* fib, uint32_t n) noexcept nogil:
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


cdef void* grown(void* old, uint32_t room, size_t each, uint32_t* new_room) noexcept nogil:
    """The old contents in twice the memory; room is at least 512, what one cell may need."""
    cdef void* larger = NULL
    if room < <uint32_t> 1 << 30:
        larger = take_pages(<size_t> room * 2, each)
    if larger is not NULL:
        memcpy(larger, old, room * each)
        give_pages(old, room, each)
        new_room[0] = room * 2
    return larger


# ---- IPv4 ----

cdef int build_line(Build* build, int32_t node, int depth, uint32_t inherited, uint32_t cell) noexcept nogil:
    cdef uint32_t outcomes[256]
    cdef int32_t below[256]
    cdef uint32_t deeper = 0
    cdef int64_t child
    cdef int slot, outcome
    expand_routes(build.routes, node, depth, 8, inherited, outcomes, below)
    for slot in range(LINE_SLOTS):
        if below[slot] < 0:
            continue
        child = take_cells(build.fib, 1)
        if child < 0:
            return <int> child
        outcome = build_line(build, below[slot], depth + 8, outcomes[slot], <uint32_t> child)
        if outcome:
            return outcome
        outcomes[slot], deeper = <uint32_t> child, 1
    return write_line(build.fib, outcomes, below, deeper, cell)


cdef int write_line(Fib* fib, const uint32_t* outcomes, const int32_t* below, uint32_t deeper, uint32_t cell) noexcept nogil:
    cdef Line line
    cdef uint32_t at[256]            # first slot of each run
    cdef int slot, n = 1
    cdef int64_t base
    memset(&line, 0, sizeof(Line))
    at[0] = 0
    for slot in range(1, LINE_SLOTS):
        if slot & 63 == 0:
            line.before[slot >> 6] = <uint8_t> (n - 1)
        if outcomes[slot] != outcomes[slot - 1] or (below[slot] >= 0) != (below[slot - 1] >= 0):
            line.change[slot >> 6] |= <uint64_t> 1 << (slot & 63)
            at[n] = slot
            n += 1
    base = take_values(fib, n << deeper)
    if base < 0:
        return <int> base
    line.base, line.deeper = <uint32_t> base, deeper
    for slot in range(n):
        fib.values[base + (slot << deeper)] = outcomes[at[slot]]
        if deeper:
            fib.values[base + 2 * slot + 1] = below[at[slot]] >= 0
    (<Line*> fib.cells)[cell] = line
    return 0


# ---- IPv6 ----

cdef bint concerns(const Change* change, const Route* route, int depth) noexcept nogil:
    """Whether a change may alter what the first `depth` bits of a node's prefix lead to."""
    cdef int n = depth if depth < change.length else change.length
    return shares(change.high ^ route.high, n) and (n <= 64 or shares(change.low ^ route.low, n - 64))


cdef inline bint shares(uint64_t differing, int n) noexcept nogil:
    return n <= 0 or differing >> (64 - n if n < 64 else 0) == 0


cdef int build_node(Build* build, int32_t node, int depth, uint32_t inherited, uint32_t cell, int64_t old) noexcept nogil:
    cdef uint32_t outcomes[64]
    cdef int32_t below[64]
    cdef uint64_t was = (<Node*> build.fib.cells)[old].children if old >= 0 else 0
    cdef int64_t former
    cdef int slot, outcome
    cdef uint32_t child
    expand_routes(build.routes, node, depth, NODE_BITS, inherited, outcomes, below)
    outcome = write_node(build.fib, outcomes, below, cell)
    if outcome:
        return outcome
    child = (<Node*> build.fib.cells)[cell].cells
    for slot in range(NODE_SLOTS):
        if below[slot] < 0:
            continue
        former = -1
        if was >> slot & 1:
            former = (<Node*> build.fib.cells)[old].cells + ones(was & ((<uint64_t> 1 << slot) - 1))
        if former >= 0 and not concerns(build.change, &build.routes.nodes[below[slot]], depth + NODE_BITS):
            (<Node*> build.fib.cells)[child] = (<Node*> build.fib.cells)[former]
        else:
            outcome = build_node(build, below[slot], depth + NODE_BITS, outcomes[slot], child, former)
            if outcome:
                return outcome
        child += 1
    return 0


cdef int write_node(Fib* fib, const uint32_t* outcomes, const int32_t* below, uint32_t cell) noexcept nogil:
    """Fill a cell; its children are taken, not filled."""
    cdef Node made
    cdef uint32_t values[64]
    cdef int slot, n = 0
    cdef int64_t cells, base
    memset(&made, 0, sizeof(Node))
    for slot in range(NODE_SLOTS):
        if below[slot] >= 0:
            made.children |= <uint64_t> 1 << slot
        elif n == 0 or values[n - 1] != outcomes[slot]:
            made.runs |= <uint64_t> 1 << slot
            values[n] = outcomes[slot]
            n += 1
    cells, base = take_cells(fib, ones(made.children)), take_values(fib, n)
    if cells < 0 or base < 0:
        return <int> (cells if cells < 0 else base)
    made.cells, made.values = <uint32_t> cells, <uint32_t> base
    memcpy(&fib.values[base], values, n * sizeof(uint32_t))
    (<Node*> fib.cells)[cell] = made
    return 0


# ---- what readers are given ----

cdef Table* open_table(int address_bits, uint32_t default) noexcept nogil:
    cdef Table* table = <Table*> calloc(1, sizeof(Table))
    if table is NULL:
        return NULL
    table.address_bits, table.default = address_bits, default
    if not open_routes(&table.routes, ROUTES_FIRST) or publish(table) != 0:
        close_table(table)
        return NULL
    return table


cdef void close_table(Table* table) noexcept nogil:
    if table is NULL:
        return
    close_routes(&table.routes)
    release_kept(table)
    if table.fib is not NULL:
        close_fib(table.fib)
    free(table)


cdef void release_kept(Table* table) noexcept nogil:
    cdef Fib* fib
    while table.kept is not NULL:
        fib = table.kept
        table.kept = fib.next
        close_fib(fib)


cdef int publish(Table* table) noexcept nogil:
    """Make a new Fib from the routes, with room for changes, and show it to readers; -1 without memory."""
    cdef Change everything
    cdef Fib* fib = open_fib(table.address_bits, CELLS_FIRST, VALUES_FIRST)
    cdef Fib* old = table.fib
    if fib is NULL:
        return -1
    everything.high = everything.low = 0
    everything.length = 0
    if refresh(fib, &table.routes, table.default, &everything) != 0 or not leave_room(fib):
        close_fib(fib)
        return -1
    fib.fixed = 1
    store_pointer(<void**> &table.fib, fib)
    if old is not NULL:
        old.next = table.kept
        table.kept = old
    return 0


cdef int show(Table* table, uint64_t high, uint64_t low, int length) noexcept nogil:
    """Let readers see a change of the routes; -1 without memory."""
    cdef Change change
    change.high, change.low, change.length = high, low, length
    if refresh(table.fib, &table.routes, table.default, &change) == 0:
        return 0
    return publish(table)


cdef int swap_routes(Table* table, Routes* routes) noexcept nogil:
    """Replace all routes; -1 without memory, all then stays as it was. Either way `routes` is used up."""
    cdef Routes old = table.routes
    table.routes = routes[0]
    if publish(table) == 0:
        close_routes(&old)
        return 0
    close_routes(routes)
    table.routes = old
    return -1


cdef bint leave_room(Fib* fib) noexcept nogil:
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


cdef uint64_t fib_bytes(const Fib* fib) noexcept nogil:
    return ROOTS * sizeof(uint64_t) + <uint64_t> fib.cells_used * fib.cell_bytes \
        + <uint64_t> fib.values_used * sizeof(uint32_t)
