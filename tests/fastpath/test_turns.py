"""A table that one thread is inside refuses the calls of others, and is whole afterwards.

The calls of the one are so long, and without the interpreter lock, that the other comes while they last.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from argument_calls.call import rows_of
from fastpath.domains import DomainMap
from fastpath.flowtable import FlowTable
from fastpath.lpm import Lpm4, Lpm6
from fastpath.nat import NatTable
from inner_packets import udp

N = 1_000_000
SEED = bytes(range(32))


def refused(inside: Callable[[], Any], others: list[Callable[[], Any]]) -> list[int]:
    """How often each of the others was refused while a thread was inside."""
    thread, found = threading.Thread(target=inside), [0] * len(others)
    thread.start()
    while thread.is_alive():
        for k, call in enumerate(others):
            try:
                call()
            except RuntimeError as error:
                assert "in use by another thread" in str(error)
                found[k] += 1
    thread.join()
    return found


def flow_keys() -> tuple[Any, Any]:
    numbers = np.arange(N, dtype=np.uint64)
    keys = np.zeros((N, 40), np.uint8)
    keys[:, :8] = numbers.view(np.uint8).reshape(-1, 8)
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return keys, mixed ^ mixed >> np.uint64(29)


def test_a_flow_table_has_one_thread_at_a_time() -> None:
    table, (keys, hashes) = FlowTable(N), flow_keys()
    out, one, batch = np.zeros(N, np.int32), np.zeros(1, np.int32), rows_of(udp("10.0.0.1", "192.0.2.9", 9, 53))
    others = [
        lambda: table.get(0), lambda: table.touch_one(0, 1, 1), lambda: table.pin_one(0, False, 1), table.oldest_one,
        lambda: table.find_one(keys[0], int(hashes[0])), lambda: table.due_flows(1, one), lambda: table.expire(1),
        lambda: table.lookup_keys(keys[:1], hashes[:1], one), lambda: table.insert_keys(keys[:1], hashes[:1], 1, 1, one),
        lambda: table.lookup_batch(batch), lambda: table.remove_flows(np.zeros(0, np.int32)) or table.expire(1),
    ]
    table.insert_keys(keys[:1], hashes[:1], 1, 1, one)
    seen = np.array(refused(lambda: table.insert_keys(keys, hashes, 1, 1, out), others))
    seen += refused(lambda: table.lookup_keys(keys, hashes, out), others)
    assert (seen > 0).all(), seen
    assert len(table) == N and table.lookup_keys(keys, hashes, out) == 0 and table.expire(1 << 62) == N


def test_an_lpm_table_has_one_writer_and_readers_beside_it() -> None:
    for table, width in ((Lpm4(5), 0), (Lpm6(5), 16)):
        lengths, values = np.full(N // 4, 24 if width == 0 else 48, np.uint8), np.arange(N // 4, dtype=np.uint32)
        addresses = np.arange(N // 4, dtype=np.uint32) << np.uint32(8)
        if width:
            wide = np.zeros((N // 4, 16), np.uint8)
            wide[:, :4] = addresses.astype(">u4").view(np.uint8).reshape(-1, 4)
            addresses = wide
        out = np.zeros(64, np.uint32)
        others = [lambda table=table: table.insert((0, 1), 1), lambda table=table: table.remove((0, 1)),
                  lambda table=table: table.exact((0, 1))]
        read = [lambda table=table, addresses=addresses, out=out: table.lookup_batch(addresses[:64], out)]
        fill = lambda table=table, a=addresses, n=lengths, v=values: table.replace_arrays(a, n, v)  # noqa: E731
        seen = refused(lambda fill=fill: [fill() for _ in range(3)], [*others, *read])
        assert all(seen[:3]) and seen[3] == 0, seen
        fill()
        assert len(table) == N // 4 and table.lookup_batch(addresses[:64], out) == 64 and out.tolist() == values[:64].tolist()


def test_nobody_writes_names_while_they_are_read() -> None:
    names, text = DomainMap(), np.frombuffer(b"a.example.com\n" * (N // 2), np.uint8)
    names.set("*.example.com", 7)
    out = np.zeros(N // 2, np.uint32)
    assert refused(lambda: names.get_many(text, out), [lambda: names.set("b.example.com", 8)])[0] > 0
    assert (out == 7).all() and names.get("b.example.com") in (7, 8)


def test_bindings_have_one_thread_at_a_time() -> None:
    bindings, batch = NatTable(8, (1, 9), SEED), rows_of(udp("10.0.0.1", "192.0.2.9", 9, 53))
    ends = 17, bytes(16), bytes(16)
    rows, out = np.zeros(N, np.uint16), np.zeros(N, np.int32)
    others = [lambda: bindings.bind_one(*ends, 53, 1, 1), lambda: bindings.find_one(17, bytes(16), 1, bytes(16), 53),
              lambda: bindings.release_one(17, bytes(16), 1, bytes(16), 53),
              lambda: bindings.find_rows(batch, rows[:1], np.zeros(1, np.int32))]
    assert all(refused(lambda: bindings.find_rows(batch, rows, out), others))
    assert len(bindings) <= 1 and (out == -1).all()
