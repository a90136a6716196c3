"""Lpm4 and Lpm6: longest prefix match with 32-bit values and a default.

Journey: classify finds a packet's source and destination networks here. Spec: CIDR, RFC 4632; IPv6, RFC 4291 §2.3.
One writer, many readers without locks. The writer keeps the routes (routes.pxd) and makes from them what readers search
(fib.pxd, by cells.pxd, groups.pxd and runs.pxd); lpmtable.pxd puts both together and knows nothing of Python. Publication:

    insert, remove   all that is new is written behind what is in use, then the words that lead to it are stored (8 bytes
                     each, release); a prefix that covers several of them becomes visible word by word
    no room left     a new Fib with twice the room is made from the routes, then the pointer to it is stored (release)
    replace          the same; a reader sees the old table or the new one, whole
    reclaim          frees the Fibs that were replaced; until then they are kept, since a reader may still be inside
    no memory        nothing is stored; the routes are as before

So what a reader holds stays as it was until `reclaim` or the end of the table. Only the owner can know that no reader is
inside, so `reclaim` is never called from here. It does not know what a value means.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

import numpy as np

from fastpath.arguments cimport WORD_MAX, apart, byte_rows, integer, same_size, uint8s, uint32s, writable32
from fastpath.gather cimport best_path
from fastpath.lpmtable cimport (ROUTES_FIRST, Table, close_table, exact_prefix, insert_prefix, lookup4, lookup6, lookup_batch4,
                                lookup_batch6, open_table, release_kept, remove_prefix, replace_prefixes, table_bytes,
                                table_count)
from fastpath.routes cimport Route, Routes, close_routes, insert_route, next_route, open_routes
from fastpath.turn cimport check_turn, take_turn

from fastpath.prefixes import check_columns, columns_of, network_of, order_of, parse_address, parse_prefix, words_of

__all__ = ["PATHS", "Lpm4", "Lpm6"]

# How this processor can look up a batch, the fastest last; PATH_SCALAR … of gather.
PATHS = ("scalar", "avx2", "avx512")[:best_path() + 1]

if sizeof(Route) != 32:
    raise ImportError("fastpath.lpm was built for another layout of Route: build fastpath again")


# ---- what both classes do ----

cdef Table* new_table(int address_bits, uint32_t default, object path) except NULL:
    if path is not None and path not in PATHS:
        raise ValueError(f"path must be one of {', '.join(PATHS)}, not {path!r}")
    cdef Table* table = open_table(address_bits, default)
    if table is NULL:
        raise MemoryError("no memory for an empty table")
    if path is not None:
        table.path = PATHS.index(path)
    return table


cdef int put(Table* table, const int* taken, object prefix, uint32_t value) except -1:
    high, low, length = parse_prefix(prefix, table.address_bits)
    check_turn(taken, "table")
    if insert_prefix(table, high, low, length, value) < 0:
        raise MemoryError(f"no memory for prefix {prefix!s}")
    return 0


cdef bint take_out(Table* table, const int* taken, object prefix) except -1:
    high, low, length = parse_prefix(prefix, table.address_bits)
    check_turn(taken, "table")
    cdef int outcome = remove_prefix(table, high, low, length)
    if outcome < 0:
        raise MemoryError(f"no memory to remove prefix {prefix!s}")
    return outcome


cdef object value_of(Table* table, const int* taken, object prefix):
    cdef uint32_t value = 0
    high, low, length = parse_prefix(prefix, table.address_bits)
    check_turn(taken, "table")
    return value if exact_prefix(table, high, low, length, &value) else None


cdef list routes_in(Table* table, const int* taken):
    """(prefix, value) in order of address and length."""
    check_turn(taken, "table")
    cdef Py_ssize_t count = <Py_ssize_t> table_count(table), k
    cdef Route* copies = <Route*> malloc((count + 1) * sizeof(Route))
    cdef list found = []
    if copies is NULL:
        raise MemoryError(f"no memory for {count} routes")
    copy_routes(table, copies)          # whole, before there is an object whose making could run other code
    try:
        for k in range(count):
            found.append((network_of(copies[k].high, copies[k].low, copies[k].length, table.address_bits), copies[k].value))
        return found
    finally:
        free(copies)


cdef void copy_routes(const Table* table, Route* copies) noexcept nogil:
    cdef int32_t stack[256]
    cdef int depth = 0
    cdef int32_t node
    if table.routes.root >= 0:
        stack[0], depth = table.routes.root, 1
    while True:
        node = next_route(&table.routes, stack, &depth)
        if node < 0:
            return
        copies[0] = table.routes.nodes[node]
        copies += 1


cdef int put_all(Table* table, int* taken, const uint64_t[::1] high, const uint64_t[::1] low, const uint8_t[::1] lengths,
                 const uint32_t[::1] values) except -1:
    """Replace all routes by these, in sorted order, so that neighbours in the trie are made one after the other."""
    cdef const int64_t[::1] order = order_of(np.asarray(high), np.asarray(low), np.asarray(lengths), table.address_bits)
    cdef Routes routes
    cdef Py_ssize_t k, i
    cdef int outcome = 0
    take_turn(taken, "table")
    if not open_routes(&routes, ROUTES_FIRST):
        taken[0] = 0
        raise MemoryError("no memory for routes")
    with nogil:
        for k in range(order.shape[0]):
            i = order[k]
            outcome = insert_route(&routes, high[i], low[i], lengths[i], values[i])
            if outcome < 0:
                close_routes(&routes)
                break
        if outcome >= 0:
            outcome = replace_prefixes(table, &routes)
    taken[0] = 0
    if outcome < 0:
        raise MemoryError(f"no memory for {order.shape[0]} routes")
    return 0


cdef int put_arrays(Table* table, int* taken, object addresses, const uint8_t[::1] lengths, const uint32_t[::1] values) except -1:
    cdef const uint8_t[::1] own = np.array(lengths)     # what is checked is what is used
    high, low = words_of(np.asarray(addresses))
    check_columns(high, low, np.asarray(own), values.shape[0], table.address_bits)
    return put_all(table, taken, high, low, own, values)


@cython.final
cdef class Lpm4:
    """IPv4 prefixes to 32-bit values.

    Args:
        default: the answer where no prefix matches.
        path: how to look up a batch, one of PATHS; None = the fastest.
    Raises:
        ValueError: path is not one of PATHS.
        MemoryError: the system has not that much address space.
    """

    def __cinit__(self, default=0, path=None):
        self.default = integer(default, "default", 0, WORD_MAX)
        self._table = new_table(32, self.default, path)

    def __dealloc__(self):
        close_table(<Table*> self._table)

    def __len__(self):
        return table_count(<Table*> self._table)

    def __iter__(self):
        return iter(routes_in(<Table*> self._table, &self._taken))

    cdef uint32_t find(self, uint32_t address) noexcept nogil:
        return lookup4(<Table*> self._table, address)

    def insert(self, prefix, value):
        """Set the value of a prefix: an IPv4Network, a str, or (address as int, length).

        Raises:
            ValueError: not an IPv4 prefix, host bits set, or a value of more than 32 bits.
            TypeError: the value is no int.
            MemoryError: readers go on seeing the table without this change.
        """
        put(<Table*> self._table, &self._taken, prefix, <uint32_t> integer(value, "value", 0, WORD_MAX))

    def remove(self, prefix):
        """Remove a prefix; return whether it was there.

        Raises:
            ValueError: not an IPv4 prefix, or host bits set.
        """
        return take_out(<Table*> self._table, &self._taken, prefix)

    def exact(self, prefix):
        """Return the value of this very prefix, or None.

        Raises:
            ValueError: not an IPv4 prefix, or host bits set.
        """
        return value_of(<Table*> self._table, &self._taken, prefix)

    def replace(self, routes):
        """Replace the whole table at once.

        Args:
            routes: a mapping from prefixes to values, or an iterable of (prefix, value); the last of equal prefixes counts.
        Raises:
            ValueError: a prefix or value is wrong; the table is as it was.
        """
        high, low, lengths, values = columns_of(routes, 32)
        put_all(<Table*> self._table, &self._taken, high, low, lengths, values)

    def replace_arrays(self, addresses, lengths, values):
        """Replace the whole table at once; the last of equal prefixes counts.

        Args:
            addresses: uint32[n], host order.
            lengths: uint8[n], 0 … 32.
            values: uint32[n].
        Raises:
            ValueError: an array has another shape, dtype or order, a length is out of range or host bits are set; the table
                is as it was.
        """
        put_arrays(<Table*> self._table, &self._taken, uint32s(addresses, "addresses"), uint8s(lengths, "lengths"),
                   uint32s(values, "values"))

    def lookup(self, address):
        """Return the value of the longest prefix that holds an address (IPv4Address, str or int), or the default.

        Raises:
            ValueError: not an IPv4 address.
        """
        return self.find(parse_address(address, 32))

    def lookup_batch(self, addresses, out):
        """Write the value for each address.

        Args:
            addresses: uint32[n], host order.
            out: uint32[n], written.
        Returns:
            n.
        Raises:
            ValueError: an array has another shape, dtype or order, or out is read-only or shares memory with addresses.
        """
        cdef const uint32_t[::1] asked = uint32s(addresses, "addresses")
        cdef uint32_t[::1] found = writable32(out, "out")
        cdef Py_ssize_t n = asked.shape[0]
        same_size(found.shape[0], "out", n, "addresses")
        if n:
            apart(&found[0], 4 * <size_t> n, "out", &asked[0], 4 * <size_t> n, "addresses")
            with nogil:
                lookup_batch4(<Table*> self._table, &asked[0], &found[0], n)
        return n

    def reclaim(self):
        """Free what replaced tables hold. The caller knows that no reader has been inside since the last change."""
        check_turn(&self._taken, "table")
        release_kept(<Table*> self._table)

    @property
    def memory(self):
        """Bytes in use of what readers search."""
        return table_bytes(<Table*> self._table)


@cython.final
cdef class Lpm6:
    """IPv6 prefixes to 32-bit values.

    Args:
        default: the answer where no prefix matches.
        path: how to look up a batch, one of PATHS; None = the fastest.
    Raises:
        ValueError: path is not one of PATHS.
        MemoryError: the system has not that much address space.
    """

    def __cinit__(self, default=0, path=None):
        self.default = integer(default, "default", 0, WORD_MAX)
        self._table = new_table(128, self.default, path)

    def __dealloc__(self):
        close_table(<Table*> self._table)

    def __len__(self):
        return table_count(<Table*> self._table)

    def __iter__(self):
        return iter(routes_in(<Table*> self._table, &self._taken))

    cdef uint32_t find(self, const uint8_t* address) noexcept nogil:
        return lookup6(<Table*> self._table, address)

    def insert(self, prefix, value):
        """Set the value of a prefix: an IPv6Network, a str, or (address as int, length).

        Raises:
            ValueError: not an IPv6 prefix, host bits set, or a value of more than 32 bits.
            TypeError: the value is no int.
            MemoryError: readers go on seeing the table without this change.
        """
        put(<Table*> self._table, &self._taken, prefix, <uint32_t> integer(value, "value", 0, WORD_MAX))

    def remove(self, prefix):
        """Remove a prefix; return whether it was there.

        Raises:
            ValueError: not an IPv6 prefix, or host bits set.
        """
        return take_out(<Table*> self._table, &self._taken, prefix)

    def exact(self, prefix):
        """Return the value of this very prefix, or None.

        Raises:
            ValueError: not an IPv6 prefix, or host bits set.
        """
        return value_of(<Table*> self._table, &self._taken, prefix)

    def replace(self, routes):
        """Replace the whole table at once.

        Args:
            routes: a mapping from prefixes to values, or an iterable of (prefix, value); the last of equal prefixes counts.
        Raises:
            ValueError: a prefix or value is wrong; the table is as it was.
        """
        high, low, lengths, values = columns_of(routes, 128)
        put_all(<Table*> self._table, &self._taken, high, low, lengths, values)

    def replace_arrays(self, addresses, lengths, values):
        """Replace the whole table at once; the last of equal prefixes counts.

        Args:
            addresses: uint8[n, 16], network order.
            lengths: uint8[n], 0 … 128.
            values: uint32[n].
        Raises:
            ValueError: an array has another shape, dtype or order, a length is out of range or host bits are set; the table
                is as it was.
        """
        put_arrays(<Table*> self._table, &self._taken, byte_rows(addresses, "addresses", 16), uint8s(lengths, "lengths"),
                   uint32s(values, "values"))

    def lookup(self, address):
        """Return the value of the longest prefix that holds an address (IPv6Address, str, 16 bytes or int), or the default.

        Raises:
            ValueError: not an IPv6 address.
        """
        cdef bytes packed = parse_address(address, 128).to_bytes(16)
        return self.find(packed)

    def lookup_batch(self, addresses, out):
        """Write the value for each address.

        Args:
            addresses: uint8[n, 16], network order.
            out: uint32[n], written.
        Returns:
            n.
        Raises:
            ValueError: an array has another shape, dtype or order, or out is read-only or shares memory with addresses.
        """
        cdef const uint8_t[:, ::1] asked = byte_rows(addresses, "addresses", 16)
        cdef uint32_t[::1] found = writable32(out, "out")
        cdef Py_ssize_t n = asked.shape[0]
        same_size(found.shape[0], "out", n, "addresses")
        if n:
            apart(&found[0], 4 * <size_t> n, "out", &asked[0, 0], 16 * <size_t> n, "addresses")
            with nogil:
                lookup_batch6(<Table*> self._table, &asked[0, 0], &found[0], n)
        return n

    def reclaim(self):
        """Free what replaced tables hold. The caller knows that no reader has been inside since the last change."""
        check_turn(&self._taken, "table")
        release_kept(<Table*> self._table)

    @property
    def memory(self):
        """Bytes in use of what readers search."""
        return table_bytes(<Table*> self._table)
