# A longest-prefix-match table without Python: what a host in C embeds and what the classes of lpm wrap. Row 1.
#
# No function here touches Python: they take no GIL, raise nothing, and say by a number how they went. One thread changes a
# table, any number look up in it meanwhile. An address is in host order (IPv4) or 16 bytes in network order (IPv6); a prefix is
# up to 128 bits left-aligned in (high, low), its host bits 0, an IPv4 one in the upper half of high.
#
#     open_table, close_table             NULL: no memory. Nobody may be inside at the end
#     lookup4, lookup6                    the value of the longest prefix, or the default
#     lookup_batch4, lookup_batch6        the same for n addresses
#     insert_prefix                       1 new, 0 its value replaced, -1 no memory: nothing is changed
#     remove_prefix                       1 removed, 0 was not there, -1 no memory: nothing is changed
#     exact_prefix                        1 and *value when this very prefix is there, else 0; the writer's
#     replace_prefixes                    all routes at once; 0, or -1 no memory: nothing is changed. `routes` is used up
#     release_kept                        frees what changes replaced; no reader may have been inside since the last change
#     table_count, table_bytes            prefixes; bytes in use of what readers search
#
# Publication: see lpm.pyx.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from fastpath.cells cimport FIB_FULL, FIB_NO_MEMORY, Build, Change, close_fib, make_all4, make_cell, open_fib, remake4
from fastpath.fib cimport ROOT4_BITS, Fib, find4, find6, find_all4, find_all6
from fastpath.gather cimport best_path
from fastpath.groups cimport make_all6, make_link, remake6, starts_room
from fastpath.memory cimport load_pointer, store_pointer, store_word
from fastpath.routes cimport Routes, close_routes, exact_route, insert_route, open_routes, provide, remove_route
from fastpath.runs cimport make_runs
from fastpath.wire cimport load_be64

cdef enum:
    ROUTES_FIRST = 64            # room of an empty trie
    FIRST_ROOM = 65536           # room of a Fib without routes; what nobody touches costs nothing
    MOST_ROOM = 1 << 30          # a link to cells or values has 30 bits for the place

cdef struct Table:
    Fib* fib                     # published
    Fib* kept                    # replaced ones, until release_kept
    Routes routes                # the writer's
    int address_bits             # 32 or 128
    int path                     # of batches: PATH_SCALAR … (gather), no more than best_path()
    uint32_t default


# ---- readers ----

cdef inline const Fib* published(const Table* table) noexcept nogil:
    return <const Fib*> load_pointer(<void**> &table.fib)


cdef inline uint32_t lookup4(const Table* table, uint32_t address) noexcept nogil:
    return find4(published(table), address)


cdef inline uint32_t lookup6(const Table* table, const uint8_t* address) noexcept nogil:
    return find6(published(table), load_be64(address), load_be64(address + 8))


cdef inline void lookup_batch4(const Table* table, const uint32_t* addresses, uint32_t* out, size_t n) noexcept nogil:
    find_all4(published(table), table.path, addresses, out, n)


cdef inline void lookup_batch6(const Table* table, const uint8_t* addresses, uint32_t* out, size_t n) noexcept nogil:
    find_all6(published(table), table.path, addresses, out, n)


# ---- the writer ----

cdef inline Table* open_table(int address_bits, uint32_t default) noexcept nogil:
    cdef Table* table = <Table*> calloc(1, sizeof(Table))
    if table is NULL:
        return NULL
    table.address_bits, table.default, table.path = address_bits, default, best_path()
    if not open_routes(&table.routes, ROUTES_FIRST) or publish(table) != 0:
        close_table(table)
        return NULL
    return table


cdef inline void close_table(Table* table) noexcept nogil:
    if table is NULL:
        return
    close_routes(&table.routes)
    release_kept(table)
    if table.fib is not NULL:
        close_fib(table.fib)
    free(table)


cdef inline int insert_prefix(Table* table, uint64_t high, uint64_t low, int length, uint32_t value) noexcept nogil:
    cdef uint32_t was = 0
    cdef bint replaces = exact_prefix(table, high, low, length, &was)
    if insert_route(&table.routes, high, low, length, value) < 0:
        return -1
    if show(table, high, low, length) == 0:
        return not replaces
    if replaces:
        table.routes.nodes[exact_route(&table.routes, high, low, length)].value = was
    else:
        remove_route(&table.routes, high, low, length)
    return -1


cdef inline int remove_prefix(Table* table, uint64_t high, uint64_t low, int length) noexcept nogil:
    cdef uint32_t was = 0
    if not exact_prefix(table, high, low, length, &was):
        return 0
    if not provide(&table.routes, 2):                  # so that it can be put back
        return -1
    remove_route(&table.routes, high, low, length)
    if show(table, high, low, length) == 0:
        return 1
    insert_route(&table.routes, high, low, length, was)
    return -1


cdef inline int exact_prefix(const Table* table, uint64_t high, uint64_t low, int length, uint32_t* value) noexcept nogil:
    cdef int32_t node = exact_route(&table.routes, high, low, length)
    if node < 0 or not table.routes.nodes[node].present:
        return 0
    value[0] = table.routes.nodes[node].value
    return 1


cdef inline int replace_prefixes(Table* table, Routes* routes) noexcept nogil:
    cdef Routes old = table.routes
    table.routes = routes[0]
    if publish(table) == 0:
        close_routes(&old)
        return 0
    close_routes(routes)
    table.routes = old
    return -1


cdef inline void release_kept(Table* table) noexcept nogil:
    cdef Fib* fib
    while table.kept is not NULL:
        fib = table.kept
        table.kept = fib.next
        close_fib(fib)


cdef inline int64_t table_count(const Table* table) noexcept nogil:
    return table.routes.count


cdef inline uint64_t table_bytes(const Table* table) noexcept nogil:
    return <uint64_t> table.fib.cells_used * sizeof(uint64_t) + <uint64_t> table.fib.values_used * sizeof(uint32_t)


# ---- how a change reaches readers ----

cdef inline int show(Table* table, uint64_t high, uint64_t low, int length) noexcept nogil:
    """Let readers see a change of the routes; -1 without memory, and they see nothing of it."""
    cdef Change change
    cdef Build build = build_of(table, table.fib, &change)
    cdef int outcome
    change.high, change.low, change.length = high, low, length
    outcome = remake4(&build) if table.address_bits == 32 else reshow6(&build)
    return 0 if outcome == 0 else publish(table)


cdef inline int reshow6(Build* build) noexcept nogil:
    cdef uint64_t runs
    cdef int outcome = make_runs(build, &runs)
    if outcome == 0:
        outcome = remake6(build)
    if outcome == 0:
        store_word(&build.fib.runs, runs)
    return outcome


cdef inline Build build_of(const Table* table, Fib* fib, const Change* change) noexcept nogil:
    cdef Build build
    build.fib, build.routes, build.change, build.default = fib, &table.routes, change, table.default
    build.make = make_cell if table.address_bits == 32 else make_link
    return build


cdef inline int publish(Table* table) noexcept nogil:
    """Make a new Fib from the routes, with room for changes, and show it to readers; -1 without memory."""
    cdef Fib* old = table.fib
    cdef Fib* fib = NULL
    cdef int outcome = FIB_FULL
    cdef int doubled = 0
    while outcome == FIB_FULL:
        fib = make_fib(table, doubled, &outcome)
        doubled += 1
    if outcome:
        return -1
    store_pointer(<void**> &table.fib, fib)
    if old is not NULL:
        old.next = table.kept
        table.kept = old
    return 0


cdef inline Fib* make_fib(const Table* table, int doubled, int* outcome) noexcept nogil:
    """A Fib of the routes; NULL, and *outcome tells whether it was too small."""
    cdef Build build
    cdef bint v4 = table.address_bits == 32
    cdef uint64_t n = table.routes.count
    cdef uint64_t cells = (FIRST_ROOM + (n // 4 + (1 << ROOT4_BITS) if v4 else 32 * n + starts_room(n))) << doubled
    cdef uint64_t values = (FIRST_ROOM + 2 * n if v4 else 1) << doubled
    cdef Fib* fib
    outcome[0] = FIB_NO_MEMORY
    if cells > MOST_ROOM or values > MOST_ROOM:
        return NULL
    fib = open_fib(<uint32_t> cells, <uint32_t> values)
    if fib is NULL:
        return NULL
    build = build_of(table, fib, NULL)
    outcome[0] = make_all4(&build) if v4 else make_all6(&build)
    if outcome[0] == 0 and not v4:
        outcome[0] = make_runs(&build, &fib.runs)
    if outcome[0] == 0 and (fib.cells_used > cells // 4 * 3 or (v4 and fib.values_used > values // 4 * 3)):
        outcome[0] = FIB_FULL                          # no room for changes
    if outcome[0]:
        close_fib(fib)
        return NULL
    return fib
