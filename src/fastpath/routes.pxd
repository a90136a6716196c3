# Prefixes with values in a path-compressed binary trie: what the writer of an lpm table keeps. Row 0. One thread.
# All inline: a host that is not Python compiles it into its own file.
#
# A key is up to 128 bits, left-aligned in (high, low); an IPv4 prefix is the top 32 bits of high.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc

# 32 bytes. A node without a route has two children.
cdef struct Route:
    uint64_t high            # 0, bits past `length` are 0
    uint64_t low             # 8
    uint32_t value           # 16, valid iff present
    int32_t child[2]         # 20, by the bit after the prefix; -1 none
    uint8_t length           # 28
    uint8_t present          # 29
    uint8_t pad[2]           # 30

cdef struct Routes:
    Route* nodes
    int32_t room, fresh      # nodes there is memory for; nodes from here on were never used
    int32_t root, free       # -1 none
    int64_t count            # routes

cdef enum:
    ROUTES_NO_MEMORY = -2


# The bits from `at` on, `n` of them (0 … 32), bits past the 128th being 0.
cdef inline uint32_t bits(uint64_t high, uint64_t low, int at, int n) noexcept nogil:
    cdef uint64_t word
    if at >= 128:
        return 0
    if at >= 64:
        word = low << (at - 64)
    elif at:
        word = high << at | low >> (64 - at)
    else:
        word = high
    return <uint32_t> (word >> 1 >> (63 - n))    # in two steps, since n may be 0


cdef inline uint64_t head_mask(int n) noexcept nogil:
    return 0 if n <= 0 else ~<uint64_t> 0 << (64 - n) if n < 64 else ~<uint64_t> 0


cdef inline bint covers(const Route* route, uint64_t high, uint64_t low) noexcept nogil:
    return (((route.high ^ high) & head_mask(route.length)) | ((route.low ^ low) & head_mask(route.length - 64))) == 0


cdef inline int common_length(const Route* route, uint64_t high, uint64_t low, int limit) noexcept nogil:
    """How many leading bits agree, at most `limit`."""
    cdef uint64_t differing = route.high ^ high
    cdef int n = 0, length
    if differing == 0:
        differing, n = route.low ^ low, 64
    length = n + (leading_zeros(differing) if differing else 64)
    return length if length < limit else limit


cdef extern from *:
    """
    #define fastpath_leading_zeros(x) __builtin_clzll(x)
    """
    int leading_zeros "fastpath_leading_zeros" (uint64_t x) noexcept nogil


# 0 when there is no memory.
cdef inline int open_routes(Routes* routes, int32_t room) noexcept nogil:
    routes.nodes = <Route*> malloc(<size_t> room * sizeof(Route))
    routes.room, routes.fresh, routes.root, routes.free, routes.count = room, 0, -1, -1, 0
    return routes.nodes is not NULL


cdef inline void close_routes(Routes* routes) noexcept nogil:
    free(routes.nodes)
    routes.nodes = NULL


cdef inline int provide(Routes* routes, int nodes) noexcept nogil:
    """Make sure that `nodes` more nodes can be taken."""
    cdef void* larger
    cdef int32_t room = routes.room
    if routes.fresh + nodes <= room:
        return 1
    if room > (1 << 29):
        return 0
    larger = realloc(routes.nodes, <size_t> room * 2 * sizeof(Route))
    if larger is NULL:
        return 0
    routes.nodes, routes.room = <Route*> larger, room * 2
    return 1


cdef inline int32_t take(Routes* routes, uint64_t high, uint64_t low, int length) noexcept nogil:
    cdef int32_t node = routes.free
    cdef Route* route
    if node >= 0:
        routes.free = routes.nodes[node].child[0]
    else:
        node = routes.fresh
        routes.fresh += 1
    route = &routes.nodes[node]
    route.high, route.low = high & head_mask(length), low & head_mask(length - 64)
    route.value, route.length, route.present = 0, <uint8_t> length, 0
    route.child[0] = route.child[1] = -1
    return node


cdef inline void give(Routes* routes, int32_t node) noexcept nogil:
    routes.nodes[node].child[0] = routes.free
    routes.free = node


# 1 = new, 0 = value replaced, ROUTES_NO_MEMORY.
cdef inline int insert_route(Routes* routes, uint64_t high, uint64_t low, int length, uint32_t value) noexcept nogil:
    cdef int32_t* link = &routes.root
    cdef int32_t node, fork
    cdef Route* route
    cdef int agreed
    if not provide(routes, 2):
        return ROUTES_NO_MEMORY
    while True:
        node = link[0]
        if node < 0:
            break
        route = &routes.nodes[node]
        agreed = common_length(route, high, low, length if length < route.length else route.length)
        if agreed < route.length:                      # the paths part inside this node's prefix
            fork = take(routes, high, low, agreed)
            routes.nodes[fork].child[bits(route.high, route.low, agreed, 1)] = node
            link[0] = fork
            if agreed == length:
                return set_value(routes, fork, value)
            link = &routes.nodes[fork].child[bits(high, low, agreed, 1)]
            break
        if route.length == length:
            return set_value(routes, node, value)
        link = &route.child[bits(high, low, route.length, 1)]
    link[0] = take(routes, high, low, length)
    return set_value(routes, link[0], value)


cdef inline int set_value(Routes* routes, int32_t node, uint32_t value) noexcept nogil:
    cdef int new = not routes.nodes[node].present
    routes.nodes[node].value, routes.nodes[node].present = value, 1
    routes.count += new
    return new


# 1 if it was there.
cdef inline int remove_route(Routes* routes, uint64_t high, uint64_t low, int length) noexcept nogil:
    cdef int32_t* above = NULL                          # the link to the parent of the node
    cdef int32_t* link = &routes.root
    cdef Route* route
    cdef int32_t node = link[0]
    while node >= 0 and routes.nodes[node].length < length and covers(&routes.nodes[node], high, low):
        above, link = link, &routes.nodes[node].child[bits(high, low, routes.nodes[node].length, 1)]
        node = link[0]
    if node < 0:
        return 0
    route = &routes.nodes[node]
    if route.length != length or not covers(route, high, low) or not route.present:
        return 0
    route.present = 0
    routes.count -= 1
    if bypass(routes, link) and link[0] < 0 and above is not NULL:
        bypass(routes, above)                           # the parent may have been there only to fork
    return 1


cdef inline int bypass(Routes* routes, int32_t* link) noexcept nogil:
    """Take out a node that has neither a route nor two children; 1 if so."""
    cdef int32_t node = link[0]
    cdef Route* route = &routes.nodes[node]
    if route.present or (route.child[0] >= 0 and route.child[1] >= 0):
        return 0
    link[0] = route.child[0] if route.child[0] >= 0 else route.child[1]
    give(routes, node)
    return 1


# The node of this very prefix, present or not; -1 none.
cdef inline int32_t exact_route(const Routes* routes, uint64_t high, uint64_t low, int length) noexcept nogil:
    cdef uint32_t covering = 0
    cdef int32_t node = routes_within(routes, high, low, length, &covering)
    return node if node >= 0 and routes.nodes[node].length == length else -1


# The topmost node at least `length` long within this prefix, or -1; the value of the longest route shorter than `length`
# that covers the prefix goes to *covering (left as it is when there is none).
cdef inline int32_t routes_within(const Routes* routes, uint64_t high, uint64_t low, int length, uint32_t* covering) noexcept nogil:
    cdef int32_t node = routes.root
    cdef const Route* route
    while node >= 0:
        route = &routes.nodes[node]
        if route.length >= length:
            return node if common_length(route, high, low, length) == length else -1
        if not covers(route, high, low):
            return -1
        if route.present:
            covering[0] = route.value
        node = route.child[bits(high, low, route.length, 1)]
    return -1


# What the next `stride` bits after `depth` bits lead to, starting at trie node `node` (-1 = nothing): the value of each of
# the 2^stride slots (in: `inherited` everywhere), and the topmost node at least depth + stride long in it, or -1; `below` may
# be NULL where no route is longer.
cdef inline void expand_routes(const Routes* routes, int32_t node, int depth, int stride, uint32_t inherited,
                        uint32_t* values, int32_t* below) noexcept nogil:
    cdef int32_t slot
    for slot in range(1 << stride):
        values[slot] = inherited
        if below is not NULL:
            below[slot] = -1
    if node >= 0:
        paint(routes, node, depth, stride, values, below)


cdef inline void paint(const Routes* routes, int32_t node, int depth, int stride, uint32_t* values, int32_t* below) noexcept nogil:
    """Write one node's value over its slots, then its children's; at most `stride` deep."""
    cdef const Route* route = &routes.nodes[node]
    cdef uint32_t first = bits(route.high, route.low, depth, stride), slot
    cdef int span
    if route.length >= depth + stride:
        if route.present and route.length == depth + stride:
            values[first] = route.value
            if route.child[0] < 0 and route.child[1] < 0:
                return
        if below is not NULL:
            below[first] = node
        return
    if route.present:
        span = depth + stride - route.length if route.length > depth else stride
        for slot in range(first, first + (<uint32_t> 1 << span)):
            values[slot] = route.value
    if route.child[0] >= 0:
        paint(routes, route.child[0], depth, stride, values, below)
    if route.child[1] >= 0:
        paint(routes, route.child[1], depth, stride, values, below)


cdef inline int32_t next_route(const Routes* routes, int32_t* stack, int* depth) noexcept nogil:
    """The next route in order of address and length, -1 at the end. `stack`: 130 places, the root pushed by the caller."""
    cdef int32_t node
    cdef const Route* route
    while depth[0]:
        depth[0] -= 1
        node = stack[depth[0]]
        route = &routes.nodes[node]
        if route.child[1] >= 0:
            stack[depth[0]] = route.child[1]
            depth[0] += 1
        if route.child[0] >= 0:
            stack[depth[0]] = route.child[0]
            depth[0] += 1
        if route.present:
            return node
    return -1


# How many routes a node and the nodes below it have, counted up to about `enough`.
cdef inline uint32_t routes_below(const Routes* routes, int32_t node, uint32_t enough) noexcept nogil:
    cdef const Route* route
    cdef uint32_t n = 0
    while node >= 0 and n < enough:
        route = &routes.nodes[node]
        n += route.present + routes_below(routes, route.child[0], enough - n)
        node = route.child[1]
    return n


# The length of the longest route at a node or below it.
cdef inline int longest_below(const Routes* routes, int32_t node) noexcept nogil:
    cdef const Route* route
    cdef int longest = 0, other
    while node >= 0:
        route = &routes.nodes[node]
        longest = max(longest, <int> route.length)
        other = longest_below(routes, route.child[0])
        longest = max(longest, other)
        node = route.child[1]
    return longest
