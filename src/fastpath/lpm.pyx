"""Lpm4 and Lpm6: longest prefix match with 32-bit values and a default.

Journey: classify finds a packet's source and destination networks here. Spec: CIDR, RFC 4632; IPv6, RFC 4291 §2.3.
One writer, many readers without locks. The writer keeps the routes (routes.pxd) and makes from them what readers search
(fib.pxd). Publication order:

    insert, remove   new cells are written behind those in use, then the root entries that lead to them are stored
                     (8 bytes each, release); a prefix shorter than /16 becomes visible entry by entry
    no room left     a new Fib is made from the routes, then the pointer to it is stored (release)
    replace          the same; a reader sees the old table or the new one, whole
    reclaim          frees the Fibs that were replaced; until then they are kept, since a reader may still be inside

So what a reader holds stays as it was until `reclaim` or the end of the table. Only the owner can know that no reader is
inside, so `reclaim` is never called from here. It does not know what a value means.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

import ipaddress
from collections.abc import Mapping

import numpy as np

from fastpath.fib cimport ROOTS, Change, Fib, close_fib, find4, find6, open_fib, refresh
from fastpath.memory cimport load_pointer, store_pointer
from fastpath.routes cimport (Route, Routes, close_routes, exact_route, insert_route, next_route, open_routes,
                              remove_route)
from fastpath.wire cimport load_be64

__all__ = ["Lpm4", "Lpm6"]

cdef enum:
    CELLS_FIRST = 512           # room of an empty table
    VALUES_FIRST = 1024
    ROUTES_FIRST = 64

# The module's own: what both classes hold behind _table.
cdef struct Table:
    Fib* fib                    # what readers search; published
    Fib* kept                   # replaced ones, until reclaim
    Routes routes
    int address_bits
    uint32_t default


# ---- leaves ----

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
    """Make a new Fib from the routes and show it to readers; -1 without memory, the old one then stays."""
    cdef Change everything
    cdef Fib* fib = open_fib(table.address_bits, CELLS_FIRST, VALUES_FIRST)
    cdef Fib* old = table.fib
    if fib is NULL:
        return -1
    everything.high = everything.low = 0
    everything.length = 0
    if refresh(fib, &table.routes, table.default, &everything) != 0:
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


cdef void find_all4(Table* table, const uint32_t* addresses, uint32_t* out, Py_ssize_t n) noexcept nogil:
    cdef const Fib* fib = <Fib*> load_pointer(<void**> &table.fib)
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = find4(fib, addresses[i])


cdef void find_all6(Table* table, const uint8_t* addresses, uint32_t* out, Py_ssize_t n) noexcept nogil:
    cdef const Fib* fib = <Fib*> load_pointer(<void**> &table.fib)
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = find6(fib, load_be64(addresses + 16 * i), load_be64(addresses + 16 * i + 8))


# ---- what both classes do ----

cdef tuple parse_prefix(object prefix, object address_bits):
    """(high, low, length) of a network, str or (int, length); ValueError names what is wrong."""
    version = 4 if address_bits == 32 else 6
    if isinstance(prefix, tuple):
        address, length = prefix
        if not 0 <= length <= address_bits:
            raise ValueError(f"prefix {prefix!r}: length must be 0 to {address_bits}")
        if not 0 <= address < 1 << address_bits:
            raise ValueError(f"prefix {prefix!r}: address must have at most {address_bits} bits")
        if address & ((1 << (address_bits - length)) - 1):
            raise ValueError(f"prefix {prefix!r}: host bits set")
    else:
        network = ipaddress.ip_network(prefix) if isinstance(prefix, str) else prefix
        if network.version != version:
            raise ValueError(f"prefix {prefix!s} is not IPv{version}")
        address, length = int(network.network_address), network.prefixlen
    address <<= 128 - address_bits
    return address >> 64, address & 0xFFFFFFFFFFFFFFFF, length


cdef object parse_address(object address, int version):
    if isinstance(address, int):
        address = (ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address)(address)
    elif isinstance(address, (str, bytes)):
        address = ipaddress.ip_address(address)
    if address.version != version:
        raise ValueError(f"address {address!s} is not IPv{version}")
    return int(address)


cdef int put(Table* table, object prefix, uint32_t value) except -1:
    high, low, length = parse_prefix(prefix, table.address_bits)
    if insert_route(&table.routes, high, low, length, value) < 0 or show(table, high, low, length) < 0:
        raise MemoryError(f"no memory for prefix {prefix!s}")
    return 0


cdef bint take_out(Table* table, object prefix) except -1:
    high, low, length = parse_prefix(prefix, table.address_bits)
    if not remove_route(&table.routes, high, low, length):
        return False
    if show(table, high, low, length) < 0:
        raise MemoryError(f"no memory to remove prefix {prefix!s}")
    return True


cdef object value_of(Table* table, object prefix):
    high, low, length = parse_prefix(prefix, table.address_bits)
    cdef int32_t node = exact_route(&table.routes, high, low, length)
    return table.routes.nodes[node].value if node >= 0 and table.routes.nodes[node].present else None


cdef list listed(Table* table):
    """(prefix, value) in order of address and length."""
    cdef int32_t stack[256]
    cdef int depth = 0
    cdef const Route* route
    cdef list found = []
    network = ipaddress.IPv4Network if table.address_bits == 32 else ipaddress.IPv6Network
    if table.routes.root >= 0:
        stack[0], depth = table.routes.root, 1
    while True:
        node = next_route(&table.routes, stack, &depth)
        if node < 0:
            return found
        route = &table.routes.nodes[node]
        address = (<object> route.high << 64 | route.low) >> (128 - table.address_bits)
        found.append((network((address, route.length)), route.value))


cdef int put_all(Table* table, const uint64_t[::1] high, const uint64_t[::1] low, const uint8_t[::1] lengths,
                 const uint32_t[::1] values, const int64_t[::1] order) except -1:
    """Replace all routes by these, inserted in this order."""
    cdef Routes routes
    cdef Py_ssize_t k, i
    cdef int outcome = 0
    if not open_routes(&routes, ROUTES_FIRST):
        raise MemoryError("no memory for routes")
    with nogil:
        for k in range(order.shape[0]):
            i = order[k]
            outcome = insert_route(&routes, high[i], low[i] if low.shape[0] else 0, lengths[i], values[i])
            if outcome < 0:
                close_routes(&routes)
                break
        if outcome >= 0:
            outcome = swap_routes(table, &routes)
    if outcome < 0:
        raise MemoryError(f"no memory for {order.shape[0]} routes")
    return 0


cdef int put_pairs(Table* table, object routes) except -1:
    """Replace all routes by a mapping or an iterable of (prefix, value)."""
    pairs = list(routes.items() if isinstance(routes, Mapping) else routes)
    parsed = [parse_prefix(pair[0], table.address_bits) for pair in pairs]
    high = np.array([row[0] for row in parsed], np.uint64)
    low = np.array([row[1] for row in parsed], np.uint64)
    lengths = np.array([row[2] for row in parsed], np.uint8)
    values = np.array([pair[1] for pair in pairs], np.int64)
    if values.size and not 0 <= values.min() <= values.max() <= 0xFFFFFFFF:
        raise ValueError("routes: a value must be 0 to 4294967295")
    return put_all(table, high, low, lengths, values.astype(np.uint32), np.lexsort((lengths, low, high)))


cdef int check_arrays(object addresses_shape, object lengths, object values, int address_bits) except -1:
    if not addresses_shape == lengths.shape[0] == values.shape[0]:
        raise ValueError(f"addresses, lengths and values must be equally many, not {addresses_shape}, "
                         f"{lengths.shape[0]} and {values.shape[0]}")
    if lengths.shape[0] and np.max(lengths) > address_bits:
        raise ValueError(f"lengths[{int(np.argmax(lengths))}] must be at most {address_bits}, not {np.max(lengths)}")
    return 0


cdef int check_host_bits(object bad) except -1:
    if bad.any():
        raise ValueError(f"addresses[{int(np.argmax(bad))}]: host bits set")
    return 0


cdef int check_width(const uint8_t[:, ::1] addresses) except -1:
    if addresses.shape[1] != 16:
        raise ValueError(f"addresses must be [n, 16], not [n, {addresses.shape[1]}]")
    return 0


cdef object tail_mask(object lengths):
    """The bits past the first `lengths` of 64, for lengths of any size or sign."""
    within = np.clip(lengths, 0, 64)
    return np.where(within == 0, np.uint64(0xFFFFFFFFFFFFFFFF),
                    (np.uint64(1) << (64 - np.maximum(within, 1)).astype(np.uint64)) - np.uint64(1))


cdef uint64_t memory_of(const Fib* fib) noexcept:
    return ROOTS * sizeof(uint64_t) + <uint64_t> fib.cells_used * fib.cell_bytes + <uint64_t> fib.values_used * sizeof(uint32_t)


@cython.final
cdef class Lpm4:
    """IPv4 prefixes to 32-bit values.

    Args:
        default: the answer where no prefix matches.
    Raises:
        MemoryError: the system has no 1 MiB.
    """

    def __cinit__(self, uint32_t default=0):
        self.default = default
        self._table = open_table(32, default)
        if self._table is NULL:
            raise MemoryError("no memory for an empty table")

    def __dealloc__(self):
        close_table(<Table*> self._table)

    def __len__(self):
        return (<Table*> self._table).routes.count

    def __iter__(self):
        return iter(listed(<Table*> self._table))

    cdef uint32_t find(self, uint32_t address) noexcept nogil:
        return find4(<Fib*> load_pointer(<void**> &(<Table*> self._table).fib), address)

    def insert(self, prefix, uint32_t value):
        """Set the value of a prefix: an IPv4Network, a str, or (address as int, length).

        Raises:
            ValueError: not an IPv4 prefix, or host bits set.
            MemoryError: readers go on seeing the table without this change.
        """
        put(<Table*> self._table, prefix, value)

    def remove(self, prefix):
        """Remove a prefix; return whether it was there.

        Raises:
            ValueError: not an IPv4 prefix, or host bits set.
        """
        return take_out(<Table*> self._table, prefix)

    def exact(self, prefix):
        """Return the value of this very prefix, or None.

        Raises:
            ValueError: not an IPv4 prefix, or host bits set.
        """
        return value_of(<Table*> self._table, prefix)

    def replace(self, routes):
        """Replace the whole table at once.

        Args:
            routes: a mapping from prefixes to values, or an iterable of (prefix, value); the last of equal prefixes counts.
        Raises:
            ValueError: a prefix or value is wrong; the table is as it was.
        """
        put_pairs(<Table*> self._table, routes)

    def replace_arrays(self, const uint32_t[::1] addresses not None, const uint8_t[::1] lengths not None,
                       const uint32_t[::1] values not None):
        """Replace the whole table at once; the last of equal prefixes counts.

        Args:
            addresses: uint32[n], host order.
            lengths: uint8[n], 0 … 32.
            values: uint32[n].
        Raises:
            ValueError: shapes differ, a length is out of range or host bits are set; the table is as it was.
        """
        check_arrays(addresses.shape[0], lengths, values, 32)
        high = np.asarray(addresses).astype(np.uint64)
        sizes = np.asarray(lengths)
        check_host_bits(high & ((np.uint64(1) << (32 - sizes).astype(np.uint64)) - np.uint64(1)))
        order = np.argsort(high << np.uint64(8) | sizes, kind="stable")
        put_all(<Table*> self._table, high << np.uint64(32), np.empty(0, np.uint64), sizes, values, order)

    def lookup(self, address):
        """Return the value of the longest prefix that holds an address (IPv4Address, str or int), or the default.

        Raises:
            ValueError: not an IPv4 address.
        """
        return self.find(parse_address(address, 4))

    def lookup_batch(self, const uint32_t[::1] addresses not None, uint32_t[::1] out not None):
        """Write the value for each address.

        Args:
            addresses: uint32[n], host order.
            out: uint32[n], written.
        Returns:
            n.
        Raises:
            ValueError: shapes differ.
        """
        cdef Py_ssize_t n = addresses.shape[0]
        if out.shape[0] != n:
            raise ValueError(f"out must have the {n} elements of addresses, not {out.shape[0]}")
        if n:
            with nogil:
                find_all4(<Table*> self._table, &addresses[0], &out[0], n)
        return n

    def reclaim(self):
        """Free what replaced tables hold. The caller knows that no reader has been inside since the last change."""
        release_kept(<Table*> self._table)

    @property
    def memory(self):
        """Bytes in use of what readers search."""
        return memory_of((<Table*> self._table).fib)


@cython.final
cdef class Lpm6:
    """IPv6 prefixes to 32-bit values.

    Args:
        default: the answer where no prefix matches.
    Raises:
        MemoryError: the system has no 1 MiB.
    """

    def __cinit__(self, uint32_t default=0):
        self.default = default
        self._table = open_table(128, default)
        if self._table is NULL:
            raise MemoryError("no memory for an empty table")

    def __dealloc__(self):
        close_table(<Table*> self._table)

    def __len__(self):
        return (<Table*> self._table).routes.count

    def __iter__(self):
        return iter(listed(<Table*> self._table))

    cdef uint32_t find(self, const uint8_t* address) noexcept nogil:
        return find6(<Fib*> load_pointer(<void**> &(<Table*> self._table).fib), load_be64(address), load_be64(address + 8))

    def insert(self, prefix, uint32_t value):
        """Set the value of a prefix: an IPv6Network, a str, or (address as int, length).

        Raises:
            ValueError: not an IPv6 prefix, or host bits set.
            MemoryError: readers go on seeing the table without this change.
        """
        put(<Table*> self._table, prefix, value)

    def remove(self, prefix):
        """Remove a prefix; return whether it was there.

        Raises:
            ValueError: not an IPv6 prefix, or host bits set.
        """
        return take_out(<Table*> self._table, prefix)

    def exact(self, prefix):
        """Return the value of this very prefix, or None.

        Raises:
            ValueError: not an IPv6 prefix, or host bits set.
        """
        return value_of(<Table*> self._table, prefix)

    def replace(self, routes):
        """Replace the whole table at once.

        Args:
            routes: a mapping from prefixes to values, or an iterable of (prefix, value); the last of equal prefixes counts.
        Raises:
            ValueError: a prefix or value is wrong; the table is as it was.
        """
        put_pairs(<Table*> self._table, routes)

    def replace_arrays(self, const uint8_t[:, ::1] addresses not None, const uint8_t[::1] lengths not None,
                       const uint32_t[::1] values not None):
        """Replace the whole table at once; the last of equal prefixes counts.

        Args:
            addresses: uint8[n, 16], network order.
            lengths: uint8[n], 0 … 128.
            values: uint32[n].
        Raises:
            ValueError: shapes differ, a length is out of range or host bits are set; the table is as it was.
        """
        check_width(addresses)
        check_arrays(addresses.shape[0], lengths, values, 128)
        halves = np.asarray(addresses).view(">u8").astype(np.uint64)
        high, low, sizes = halves[:, 0].copy(), halves[:, 1].copy(), np.asarray(lengths)
        check_host_bits((high & tail_mask(sizes.astype(np.int64))) | (low & tail_mask(sizes.astype(np.int64) - 64)))
        put_all(<Table*> self._table, high, low, sizes, values, np.lexsort((sizes, low, high)))

    def lookup(self, address):
        """Return the value of the longest prefix that holds an address (IPv6Address, str, 16 bytes or int), or the default.

        Raises:
            ValueError: not an IPv6 address.
        """
        cdef bytes packed = parse_address(address, 6).to_bytes(16)
        return self.find(packed)

    def lookup_batch(self, const uint8_t[:, ::1] addresses not None, uint32_t[::1] out not None):
        """Write the value for each address.

        Args:
            addresses: uint8[n, 16], network order.
            out: uint32[n], written.
        Returns:
            n.
        Raises:
            ValueError: shapes differ.
        """
        cdef Py_ssize_t n = addresses.shape[0]
        check_width(addresses)
        if out.shape[0] != n:
            raise ValueError(f"out must have the {n} elements of addresses, not {out.shape[0]}")
        if n:
            with nogil:
                find_all6(<Table*> self._table, &addresses[0, 0], &out[0], n)
        return n

    def reclaim(self):
        """Free what replaced tables hold. The caller knows that no reader has been inside since the last change."""
        release_kept(<Table*> self._table)

    @property
    def memory(self):
        """Bytes in use of what readers search."""
        return memory_of((<Table*> self._table).fib)
