"""From the lines of a criterion to rows of bits.

Journey: between fastpath.criteria and fastpath.classify, once a compilation; nothing here takes the interpreter's lock, so
the control plane goes on meanwhile. Each function fills one kind of table; equal rows are one (fastpath.bitmaps). It decides
nothing.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from fastpath.bitmaps cimport BitmapBook, clear_bit, set_bit
from fastpath.domains cimport UNSET, Domain, DomainTable, next_above

cdef extern from *:
    """
    typedef unsigned __int128 fastpath_u128;
    #define FASTPATH_WIDE(words) ((fastpath_u128) (words)[0] << 64 | (words)[1])
    /* The longest block that begins at `at` and ends at `last` or before. Moves `at` behind it; 0 when that was the last. */
    static int fastpath_block(uint64_t *at, const uint64_t *last, unsigned char *length) {
        fastpath_u128 from = FASTPATH_WIDE(at), left = FASTPATH_WIDE(last) - from;   /* addresses behind the first */
        int bits = at[1] ? __builtin_ctzll(at[1]) : at[0] ? 64 + __builtin_ctzll(at[0]) : 128;
        while (bits && (left >> (bits - 1)) >> 1 == 0 && left != (((fastpath_u128) 1 << (bits - 1)) - 1) * 2 + 1) bits--;
        *length = 128 - bits;
        if (left == (bits ? (((fastpath_u128) 1 << (bits - 1)) - 1) * 2 + 1 : 0)) return 0;
        from += (fastpath_u128) 1 << bits;
        at[0] = (uint64_t) (from >> 64), at[1] = (uint64_t) from;
        return 1;
    }
    static int fastpath_within(const uint64_t *address, const uint64_t *prefix, int length) {
        return length == 0 || (FASTPATH_WIDE(address) ^ FASTPATH_WIDE(prefix)) >> (128 - length) == 0;
    }
    """
    bint next_block "fastpath_block" (uint64_t* at, const uint64_t* last, uint8_t* length) noexcept nogil
    bint is_within "fastpath_within" (const uint64_t* address, const uint64_t* prefix, int length) noexcept nogil

cdef enum:
    DEPTH = 130                  # prefixes around one another, and none


cdef int label_rows(BitmapBook book, const uint64_t* rest, const int32_t[::1] clause, const int64_t[::1] starts,
                    const int32_t[::1] offsets, const int32_t[::1] members, uint32_t[::1] rows) noexcept nogil:
    cdef uint64_t* bits = <uint64_t*> malloc(8 * book.words)
    cdef Py_ssize_t count = rows.shape[0] - 1, i, k
    cdef int64_t j, place = -1
    for i in range(count + 1):
        if bits == NULL:
            break
        memcpy(bits, rest, 8 * book.words)
        for k in range(offsets[i] if i < count else 0, offsets[i + 1] if i < count else 0):
            if members[k] < starts.shape[0] - 1:
                for j in range(starts[members[k]], starts[members[k] + 1]):
                    set_bit(bits, clause[j])
        place = book.put(bits)
        if place < 0:
            break
        rows[i] = <uint32_t> place
    free(bits)
    return 0 if place >= 0 else -1


cdef int64_t split_ranges(const uint64_t[:, ::1] first, const uint64_t[:, ::1] last, uint64_t[:, ::1] out, uint8_t[::1] lengths,
                          int32_t[::1] lines) noexcept nogil:
    cdef uint64_t[2] at
    cdef int64_t n = 0
    cdef Py_ssize_t i
    cdef bint more
    cdef uint8_t length
    for i in range(first.shape[0]):
        at[0], at[1] = first[i, 0], first[i, 1]
        more = True
        while more:
            if n < out.shape[0]:
                out[n, 0], out[n, 1], lines[n] = at[0], at[1], <int32_t> i
            more = next_block(at, &last[i, 0], &length)
            if n < out.shape[0]:
                lengths[n] = length
            n += 1
    return n


cdef int64_t prefix_rows(BitmapBook book, const uint64_t* rest, const uint64_t[:, ::1] prefixes, const uint8_t[::1] lengths,
                         const int64_t[::1] order, const int32_t[::1] clause, const uint8_t[::1] excluded,
                         int64_t[::1] chosen, uint32_t[::1] rows) noexcept nogil:
    # A stack of the prefixes around the one at hand: the clauses that name one of them, and those that exclude one.
    cdef int words = book.words, depth = 0, w
    cdef uint64_t* wanted = <uint64_t*> calloc(DEPTH * <size_t> words, 8)
    cdef uint64_t* unwanted = <uint64_t*> calloc(DEPTH * <size_t> words, 8)
    cdef uint64_t* bits = <uint64_t*> malloc(8 * words)
    cdef int64_t[DEPTH] around
    cdef int64_t k = 0, n = 0, p, place = -1, count = order.shape[0]
    if wanted != NULL and unwanted != NULL and bits != NULL:
        while k < count:
            p = order[k]
            while depth and not is_within(&prefixes[p, 0], &prefixes[around[depth], 0], lengths[around[depth]]):
                depth -= 1
            depth += 1
            around[depth] = p
            memcpy(wanted + depth * words, wanted + (depth - 1) * words, 8 * words)
            memcpy(unwanted + depth * words, unwanted + (depth - 1) * words, 8 * words)
            while k < count and lengths[order[k]] == lengths[p] and prefixes[order[k], 0] == prefixes[p, 0] and \
                    prefixes[order[k], 1] == prefixes[p, 1]:
                set_bit((unwanted if excluded[order[k]] else wanted) + depth * words, clause[order[k]])
                k += 1
            for w in range(words):
                bits[w] = (rest[w] | wanted[depth * words + w]) & ~unwanted[depth * words + w]
            place = book.put(bits)
            if place < 0:
                break
            chosen[n], rows[n] = p, <uint32_t> place
            n += 1
        if k == count:
            place = book.put(rest)
            rows[n] = <uint32_t> place
    free(wanted)
    free(unwanted)
    free(bits)
    return n if place >= 0 else -1


cdef int port_rows(BitmapBook book, const uint64_t* rest, const int32_t[::1] port, const int8_t[::1] change,
                   const int32_t[::1] clause, uint32_t[::1] rows) noexcept nogil:
    cdef uint64_t* bits = <uint64_t*> malloc(8 * book.words)
    cdef int32_t* on = <int32_t*> calloc(64 * <size_t> book.words, sizeof(int32_t))
    cdef Py_ssize_t k = 0
    cdef int64_t place = -1
    cdef int32_t at = 0
    if bits != NULL and on != NULL:
        memcpy(bits, rest, 8 * book.words)
        while at < rows.shape[0]:
            if at == 0 or (k < port.shape[0] and port[k] == at):
                while k < port.shape[0] and port[k] == at:
                    on[clause[k]] += change[k]
                    if on[clause[k]]:
                        set_bit(bits, clause[k])
                    elif not rest[clause[k] >> 6] >> (clause[k] & 63) & 1:
                        clear_bit(bits, clause[k])
                    k += 1
                place = book.put(bits)
                if place < 0:
                    break
            rows[at] = <uint32_t> place
            at += 1
    free(bits)
    free(on)
    return 0 if place >= 0 else -1


cdef int protocol_rows(BitmapBook book, const uint64_t* rest, const int16_t[::1] protocol, const int32_t[::1] clause,
                       uint32_t[::1] rows) noexcept nogil:
    cdef uint64_t* bits = <uint64_t*> malloc(8 * book.words)
    cdef Py_ssize_t i, k
    cdef int64_t place = -1
    for i in range(rows.shape[0]):
        if bits == NULL:
            break
        memcpy(bits, rest, 8 * book.words)
        for k in range(protocol.shape[0]):
            if protocol[k] < 0 or protocol[k] == i:
                set_bit(bits, clause[k])
        place = book.put(bits)
        if place < 0:
            break
        rows[i] = <uint32_t> place
    free(bits)
    return 0 if place >= 0 else -1


cdef void add_pattern(uint64_t* bits, uint32_t pattern, bint* owner_found, const uint8_t[::1] owner,
                      const int32_t[::1] clause, const int64_t[::1] starts, const int32_t[::1] owned,
                      const int64_t[::1] owned_starts) noexcept nogil:
    """The clauses that want names of this pattern; and those that want what it owns, if none below it owns it."""
    cdef int64_t j
    for j in range(starts[pattern], starts[pattern + 1]):
        set_bit(bits, clause[j])
    if owner[pattern] and not owner_found[0]:
        owner_found[0] = True
        for j in range(owned_starts[pattern], owned_starts[pattern + 1]):
            set_bit(bits, owned[j])


cdef int64_t pattern_row(BitmapBook book, const DomainTable* table, const uint8_t* text, uint32_t pattern, uint64_t* bits,
                         const uint8_t[::1] owner, const int32_t[::1] clause, const int64_t[::1] starts,
                         const int32_t[::1] owned, const int64_t[::1] owned_starts) noexcept nogil:
    cdef bint owner_found = False
    cdef int at = 0
    add_pattern(bits, pattern, &owner_found, owner, clause, starts, owned, owned_starts)
    while True:
        pattern = next_above(table, text + 1, text[0], &at)
        if pattern == UNSET:
            return book.put(bits)
        add_pattern(bits, pattern, &owner_found, owner, clause, starts, owned, owned_starts)


cdef int pattern_rows(BitmapBook book, DomainTable* table, const uint64_t* rest, const uint8_t[::1] owner,
                      const int32_t[::1] clause, const int64_t[::1] starts, const int32_t[::1] owned,
                      const int64_t[::1] owned_starts) noexcept nogil:
    cdef size_t count = <size_t> table.mask + 1, i
    cdef uint64_t* bits = <uint64_t*> malloc(8 * book.words)
    cdef int64_t* places = <int64_t*> malloc(2 * count * sizeof(int64_t))
    cdef Domain* slot
    cdef int side, outcome = 0 if bits != NULL and places != NULL else -1
    cdef uint32_t pattern
    for i in range(2 * count if outcome == 0 else 0):
        slot, side = &table.slots[i >> 1], i & 1
        pattern = slot.below if side else slot.exact
        if slot.text and pattern != UNSET:
            memcpy(bits, rest, 8 * book.words)
            places[i] = pattern_row(book, table, table.texts + slot.text, pattern, bits, owner, clause, starts, owned, owned_starts)
            outcome = min(outcome, 0 if places[i] >= 0 else -1)
    for i in range(2 * count if outcome == 0 else 0):      # not before: the numbers are needed to the end
        slot, side = &table.slots[i >> 1], i & 1
        if slot.text and side and slot.below != UNSET:
            slot.below = <uint32_t> places[i]
        elif slot.text and not side and slot.exact != UNSET:
            slot.exact = <uint32_t> places[i]
    free(bits)
    free(places)
    return outcome


cdef int age_rows(BitmapBook book, const uint64_t* rest, const uint64_t[::1] limits, const int32_t[::1] clause,
                  const uint64_t[::1] least, const uint64_t[::1] below, uint32_t[::1] rows) noexcept nogil:
    cdef uint64_t* bits = <uint64_t*> malloc(8 * book.words)
    cdef Py_ssize_t i, k
    cdef int64_t place = -1
    for i in range(limits.shape[0]):
        if bits == NULL:
            break
        memcpy(bits, rest, 8 * book.words)
        for k in range(clause.shape[0]):
            if least[k] <= limits[i] and limits[i] < below[k]:
                set_bit(bits, clause[k])
        place = book.put(bits)
        if place < 0:
            break
        rows[i] = <uint32_t> place
    free(bits)
    return 0 if place >= 0 else -1
