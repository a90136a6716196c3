"""One writer and many readers of an lpm table, without a lock: readers see what was there before or after a change, never else.

cffi gives the interpreter lock up during a call, so these are real threads in the library.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .library import OK, ffi, lib

READERS = 3
ROUNDS = 150
N = 20_000
OUTER, INNER, FALLBACK = 1, 2, 3


def test_readers_go_on_while_a_writer_changes_and_rebuilds() -> None:
    handle = ffi.new("fastpath_lpm4 **")
    assert lib.fastpath_lpm4_create(FALLBACK, handle) == OK
    table = handle[0]
    assert lib.fastpath_lpm4_insert(table, 10 << 24, 8, OUTER) == OK
    written = threading.Event()

    def read(seed: int) -> tuple[int, set[int]]:
        random = np.random.default_rng(seed)
        inside = (10 << 24 | random.integers(0, 1 << 24, N)).astype(np.uint32)
        values, seen, calls = np.zeros(N, np.uint32), set(), 0
        while not written.is_set() or not calls:
            addresses = ffi.from_buffer("uint32_t[]", inside)
            assert lib.fastpath_lpm4_lookup_batch(table, addresses, ffi.from_buffer("uint32_t[]", values), N) == OK
            seen |= set(np.unique(values).tolist())
            calls += 1
        return calls, seen

    with ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(read, seed) for seed in range(READERS)]
        try:
            for turn in range(ROUNDS):
                write(table, turn)
        finally:
            written.set()
        found = [reader.result(60) for reader in readers]
    assert all(calls > 0 and seen <= {OUTER, INNER} for calls, seen in found)
    assert OUTER in set().union(*(seen for _, seen in found))
    assert lib.fastpath_lpm4_reclaim(table) == OK               # nobody is inside any more
    lib.fastpath_lpm4_free(handle)


def write(table, turn: int) -> None:
    """Longer prefixes inside 10.0.0.0/8 come and go; every tenth turn the whole table is made anew."""
    if turn % 10 == 9:
        addresses = ffi.new("uint32_t[2]", [10 << 24, 10 << 24 | turn << 16])
        lengths, values = ffi.new("uint8_t[2]", [8, 16]), ffi.new("uint32_t[2]", [OUTER, INNER])
        assert lib.fastpath_lpm4_build(table, addresses, lengths, values, 2) == OK
        return
    for k in range(20):
        address, length = 10 << 24 | (turn * 20 + k) << 10, 22 + k % 11
        assert lib.fastpath_lpm4_insert(table, address, length, INNER) == OK
        if k % 2:
            assert lib.fastpath_lpm4_remove(table, address, length) == OK


def test_flow_tables_of_several_threads_share_nothing() -> None:
    def work(number: int) -> int:
        handle, index = ffi.new("fastpath_flows **"), ffi.new("int32_t *")
        assert lib.fastpath_flows_create(5_000, ffi.new("uint64_t[6]", [1] * 6), 6, handle) == OK
        key = ffi.new("struct fastpath_flow_key *", {"protocol": number})
        for k in range(5_000):
            key.a_port = k
            assert lib.fastpath_flows_insert(handle[0], key, k * 0x9E3779B97F4A7C15 % (1 << 64), 0, 3, k, index) == OK
        size = lib.fastpath_flows_size(handle[0])
        lib.fastpath_flows_free(handle)
        return size

    with ThreadPoolExecutor(READERS) as pool:
        assert list(pool.map(work, range(READERS))) == [5_000] * READERS
