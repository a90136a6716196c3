"""libfastpath, longest prefix match: the fastpath_lpm4 and fastpath_lpm6 functions of fastpath.h over lpmtable.

Rules of the folder: see library.pyx.
"""

from libc.stdint cimport INT32_MAX, uint8_t, uint32_t, uint64_t

from fastpath.capi.header cimport *
from fastpath.lpmtable cimport (ROUTES_FIRST, Table, close_table, exact_prefix, insert_prefix, lookup4, lookup6, lookup_batch4,
                                lookup_batch6, open_table, release_kept, remove_prefix, replace_prefixes, table_bytes,
                                table_count)
from fastpath.routes cimport Routes, close_routes, head_mask, insert_route, open_routes
from fastpath.wire cimport load_be64


cdef inline uint64_t key4(uint32_t address) noexcept nogil:
    return <uint64_t> address << 32


cdef inline bint is_prefix(uint64_t high, uint64_t low, unsigned length, unsigned bits) noexcept nogil:
    """The length fits and no host bit is set."""
    return length <= bits and not high & ~head_mask(<int> length) and not low & ~head_mask(<int> length - 64)


cdef inline int done(int outcome) noexcept nogil:
    """From the outcome of a change: below 0 is no memory."""
    return FASTPATH_ENOMEM if outcome < 0 else FASTPATH_OK


cdef inline int found(int outcome) noexcept nogil:
    """The same, where 0 is "was not there"."""
    return FASTPATH_ENOENT if outcome == 0 else done(outcome)


cdef inline int build(Table* table, const uint8_t* addresses, unsigned bits, const uint8_t* lengths, const uint32_t* values,
                      size_t n) noexcept nogil:
    cdef Routes routes
    cdef uint64_t high = 0, low = 0
    cdef size_t i
    if table is NULL or n > INT32_MAX or n and (addresses is NULL or lengths is NULL or values is NULL):
        return FASTPATH_EINVAL
    if not open_routes(&routes, ROUTES_FIRST):
        return FASTPATH_ENOMEM
    for i in range(n):
        if bits == 32:
            high = key4((<const uint32_t*> addresses)[i])
        else:
            high, low = load_be64(addresses + 16 * i), load_be64(addresses + 16 * i + 8)
        if not is_prefix(high, low, lengths[i], bits):
            close_routes(&routes)
            return FASTPATH_EINVAL
        if insert_route(&routes, high, low, lengths[i], values[i]) < 0:
            close_routes(&routes)
            return FASTPATH_ENOMEM
    return done(replace_prefixes(table, &routes))


cdef public int fastpath_lpm4_create(uint32_t fallback, fastpath_lpm4** table) noexcept nogil:
    if table is NULL:
        return FASTPATH_EINVAL
    table[0] = <fastpath_lpm4*> open_table(32, fallback)
    return FASTPATH_ENOMEM if table[0] is NULL else FASTPATH_OK


cdef public int fastpath_lpm6_create(uint32_t fallback, fastpath_lpm6** table) noexcept nogil:
    if table is NULL:
        return FASTPATH_EINVAL
    table[0] = <fastpath_lpm6*> open_table(128, fallback)
    return FASTPATH_ENOMEM if table[0] is NULL else FASTPATH_OK


cdef public void fastpath_lpm4_free(fastpath_lpm4** table) noexcept nogil:
    if table is not NULL:
        close_table(<Table*> table[0])
        table[0] = NULL


cdef public void fastpath_lpm6_free(fastpath_lpm6** table) noexcept nogil:
    if table is not NULL:
        close_table(<Table*> table[0])
        table[0] = NULL


cdef public int fastpath_lpm4_insert(fastpath_lpm4* table, uint32_t address, unsigned length, uint32_t value) noexcept nogil:
    if table is NULL or not is_prefix(key4(address), 0, length, 32):
        return FASTPATH_EINVAL
    return done(insert_prefix(<Table*> table, key4(address), 0, <int> length, value))


cdef public int fastpath_lpm6_insert(fastpath_lpm6* table, const uint8_t* address, unsigned length,
                                     uint32_t value) noexcept nogil:
    if table is NULL or address is NULL or not is_prefix(load_be64(address), load_be64(address + 8), length, 128):
        return FASTPATH_EINVAL
    return done(insert_prefix(<Table*> table, load_be64(address), load_be64(address + 8), <int> length, value))


cdef public int fastpath_lpm4_remove(fastpath_lpm4* table, uint32_t address, unsigned length) noexcept nogil:
    if table is NULL or not is_prefix(key4(address), 0, length, 32):
        return FASTPATH_EINVAL
    return found(remove_prefix(<Table*> table, key4(address), 0, <int> length))


cdef public int fastpath_lpm6_remove(fastpath_lpm6* table, const uint8_t* address, unsigned length) noexcept nogil:
    if table is NULL or address is NULL or not is_prefix(load_be64(address), load_be64(address + 8), length, 128):
        return FASTPATH_EINVAL
    return found(remove_prefix(<Table*> table, load_be64(address), load_be64(address + 8), <int> length))


cdef public int fastpath_lpm4_exact(const fastpath_lpm4* table, uint32_t address, unsigned length,
                                    uint32_t* value) noexcept nogil:
    if table is NULL or value is NULL or not is_prefix(key4(address), 0, length, 32):
        return FASTPATH_EINVAL
    return found(exact_prefix(<const Table*> table, key4(address), 0, <int> length, value))


cdef public int fastpath_lpm6_exact(const fastpath_lpm6* table, const uint8_t* address, unsigned length,
                                    uint32_t* value) noexcept nogil:
    if table is NULL or address is NULL or value is NULL or \
            not is_prefix(load_be64(address), load_be64(address + 8), length, 128):
        return FASTPATH_EINVAL
    return found(exact_prefix(<const Table*> table, load_be64(address), load_be64(address + 8), <int> length, value))


cdef public int fastpath_lpm4_build(fastpath_lpm4* table, const uint32_t* addresses, const uint8_t* lengths,
                                    const uint32_t* values, size_t n) noexcept nogil:
    return build(<Table*> table, <const uint8_t*> addresses, 32, lengths, values, n)


cdef public int fastpath_lpm6_build(fastpath_lpm6* table, const uint8_t* addresses6, const uint8_t* lengths,
                                    const uint32_t* values, size_t n) noexcept nogil:
    return build(<Table*> table, addresses6, 128, lengths, values, n)


cdef public int fastpath_lpm4_lookup(const fastpath_lpm4* table, uint32_t address, uint32_t* value) noexcept nogil:
    if table is NULL or value is NULL:
        return FASTPATH_EINVAL
    value[0] = lookup4(<const Table*> table, address)
    return FASTPATH_OK


cdef public int fastpath_lpm6_lookup(const fastpath_lpm6* table, const uint8_t* address, uint32_t* value) noexcept nogil:
    if table is NULL or address is NULL or value is NULL:
        return FASTPATH_EINVAL
    value[0] = lookup6(<const Table*> table, address)
    return FASTPATH_OK


cdef public int fastpath_lpm4_lookup_batch(const fastpath_lpm4* table, const uint32_t* addresses, uint32_t* values,
                                           size_t n) noexcept nogil:
    if table is NULL or n and (addresses is NULL or values is NULL):
        return FASTPATH_EINVAL
    lookup_batch4(<const Table*> table, addresses, values, n)
    return FASTPATH_OK


cdef public int fastpath_lpm6_lookup_batch(const fastpath_lpm6* table, const uint8_t* addresses6, uint32_t* values,
                                           size_t n) noexcept nogil:
    if table is NULL or n and (addresses6 is NULL or values is NULL):
        return FASTPATH_EINVAL
    lookup_batch6(<const Table*> table, addresses6, values, n)
    return FASTPATH_OK


cdef inline int reclaim(Table* table) noexcept nogil:
    if table is NULL:
        return FASTPATH_EINVAL
    release_kept(table)
    return FASTPATH_OK


cdef public int fastpath_lpm4_reclaim(fastpath_lpm4* table) noexcept nogil:
    return reclaim(<Table*> table)


cdef public int fastpath_lpm6_reclaim(fastpath_lpm6* table) noexcept nogil:
    return reclaim(<Table*> table)


cdef public size_t fastpath_lpm4_size(const fastpath_lpm4* table) noexcept nogil:
    return 0 if table is NULL else <size_t> table_count(<const Table*> table)


cdef public size_t fastpath_lpm6_size(const fastpath_lpm6* table) noexcept nogil:
    return 0 if table is NULL else <size_t> table_count(<const Table*> table)


cdef public size_t fastpath_lpm4_bytes(const fastpath_lpm4* table) noexcept nogil:
    return 0 if table is NULL else table_bytes(<const Table*> table)


cdef public size_t fastpath_lpm6_bytes(const fastpath_lpm6* table) noexcept nogil:
    return 0 if table is NULL else table_bytes(<const Table*> table)
