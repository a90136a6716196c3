# What readers of an lpm table search, made from the writer's routes. Row 0, above routes and memory.
#
# The first 16 bits of an address choose a root entry: a value, or the number of a cell that knows the rest.
#   IPv4: a Line, 256 slots by the third byte; a slot with longer routes leads to a Line by the fourth byte.
#   IPv6: a Node, 64 slots by the next 6 bits (a poptrie: Asai and Ohara, SIGCOMM 2015), and so on.
# Cells and values never change once an entry that leads to them is published; a change makes new ones and stores the
# entry (8 bytes, release). Readers load it (acquire). What became garbage is dropped with the whole Fib.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from fastpath.memory cimport load_word
from fastpath.routes cimport Routes, bits

cdef extern from *:
    """
    #define fastpath_ones(x) ((unsigned) __builtin_popcountll(x))
    """
    unsigned ones "fastpath_ones" (uint64_t x) noexcept nogil
    const uint64_t ENTRY_CELL "((uint64_t) 1 << 63)"   # set in a root entry that names a cell

cdef enum:
    ROOT_BITS = 16
    ROOTS = 65536
    FIB_FULL = -1            # a published Fib does not grow
    FIB_NO_MEMORY = -2


# 64 bytes, one cache line. Slots with equal outcome that follow each other are one run.
cdef struct Line:
    uint64_t change[4]       # 0, bit p: slot p begins a run; slot 0 does not count
    uint8_t before[4]        # 32, bits set in the words before
    uint32_t base            # 36, of the runs' values
    uint32_t deeper          # 40, 1: each run is a pair of (value or cell, whether it is a cell)
    uint32_t pad[5]          # 44

# 24 bytes.
cdef struct Node:
    uint64_t children        # 0, bit s: slot s leads to a Node
    uint64_t runs            # 8, bit s: slot s leads to a value other than the last such slot's
    uint32_t values          # 16, of the runs
    uint32_t cells           # 20, of the children, contiguous

cdef struct Fib:
    uint64_t* root           # ROOTS entries
    uint8_t* cells           # Line or Node
    uint32_t cell_bytes
    uint32_t cells_used, cells_room
    uint32_t* values
    uint32_t values_used, values_room
    int fixed                # published: what is there may not move
    Fib* next                # in a list of Fibs kept for readers

# Where a change was; entries that it cannot concern are left.
cdef struct Change:
    uint64_t high, low
    int length

# The writer's routes and what readers see of them.
cdef struct Table:
    Fib* fib                 # published
    Fib* kept                # replaced ones, until release_kept
    Routes routes
    int address_bits         # 32 or 128
    uint32_t default

cdef Table* open_table(int address_bits, uint32_t default) noexcept nogil          # NULL: no memory
cdef void close_table(Table* table) noexcept nogil
cdef void release_kept(Table* table) noexcept nogil
# Let readers see a change that was made to table.routes; -1 without memory.
cdef int show(Table* table, uint64_t high, uint64_t low, int length) noexcept nogil
# Replace all routes, which takes `routes` over; -1 without memory, all then stays as it was.
cdef int swap_routes(Table* table, Routes* routes) noexcept nogil
cdef uint64_t fib_bytes(const Fib* fib) noexcept nogil                              # in use


cdef inline uint32_t run_of(const Line* line, uint32_t slot) noexcept nogil:
    return line.before[slot >> 6] + ones(line.change[slot >> 6] & (~<uint64_t> 0 >> (63 - (slot & 63))))


cdef inline uint32_t find4(const Fib* fib, uint32_t address) noexcept nogil:
    # An entry that is a value goes through line 0, which is empty, so that no branch depends on it: whether a random address
    # has a line cannot be predicted.
    cdef uint64_t entry = load_word(&fib.root[address >> 16])
    cdef uint32_t is_cell = -<uint32_t> (entry >> 63)
    cdef const Line* line = &(<const Line*> fib.cells)[<uint32_t> entry & is_cell]
    cdef const uint32_t* run
    if not line.deeper:
        return fib.values[line.base + run_of(line, address >> 8 & 255)] & is_cell | <uint32_t> entry & ~is_cell
    run = &fib.values[line.base + 2 * run_of(line, address >> 8 & 255)]
    if not run[1]:
        return run[0]
    line = &(<const Line*> fib.cells)[run[0]]
    return fib.values[line.base + run_of(line, address & 255)]


cdef inline uint32_t find6(const Fib* fib, uint64_t high, uint64_t low) noexcept nogil:
    cdef uint64_t entry = load_word(&fib.root[high >> 48])
    cdef const Node* node
    cdef uint32_t slot
    cdef int depth = ROOT_BITS
    if not entry >> 63:
        return <uint32_t> entry
    node = &(<const Node*> fib.cells)[<uint32_t> entry]
    slot = bits(high, low, depth, 6)
    while node.children >> slot & 1:
        node = &(<const Node*> fib.cells)[node.cells + ones(node.children & ((<uint64_t> 1 << slot) - 1))]
        depth += 6
        slot = bits(high, low, depth, 6)
    return fib.values[node.values + ones(node.runs & ((<uint64_t> 2 << slot) - 1)) - 1]
