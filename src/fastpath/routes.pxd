# Prefixes with values in a path-compressed binary trie: what the writer of an lpm table keeps. Row 0. One thread.
#
# A key is up to 128 bits, left-aligned in (high, low); an IPv4 prefix is the top 32 bits of high.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

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

cdef int open_routes(Routes* routes, int32_t room) noexcept nogil            # 0 when there is no memory
cdef void close_routes(Routes* routes) noexcept nogil
# 1 = new, 0 = value replaced, ROUTES_NO_MEMORY.
cdef int insert_route(Routes* routes, uint64_t high, uint64_t low, int length, uint32_t value) noexcept nogil
cdef int remove_route(Routes* routes, uint64_t high, uint64_t low, int length) noexcept nogil    # 1 if it was there
# The node of this very prefix, present or not; -1 none.
cdef int32_t exact_route(const Routes* routes, uint64_t high, uint64_t low, int length) noexcept nogil
# The topmost node at least `length` long within this prefix, or -1; the value of the longest route shorter than `length` that
# covers the prefix goes to *covering (left as it is when there is none).
cdef int32_t routes_within(const Routes* routes, uint64_t high, uint64_t low, int length, uint32_t* covering) noexcept nogil
cdef int32_t next_route(const Routes* routes, int32_t* stack, int* depth) noexcept nogil

# What the next `stride` bits after `depth` bits lead to, starting at trie node `node` (-1 = nothing): the value of each of
# the 2^stride slots (in: `inherited` everywhere), and the topmost node at least depth + stride long in it, or -1.
cdef void expand_routes(const Routes* routes, int32_t node, int depth, int stride, uint32_t inherited,
                        uint32_t* values, int32_t* below) noexcept nogil


# The bits from `at` on, `n` of them (1 … 32), bits past the 128th being 0.
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
    return <uint32_t> (word >> (64 - n))
