"""One writer, many readers: what a reader finds is the value before a change or after it, never anything else."""

import threading

import numpy as np
import pytest

from fastpath import lpm

ROUNDS = 400
READERS = 2


def packed(addresses, bits):
    if bits == 32:
        return np.array(addresses, np.uint32)
    return np.frombuffer(b"".join(address.to_bytes(16) for address in addresses), np.uint8).reshape(-1, 16).copy()


class Reader(threading.Thread):
    """Looks up the same addresses until told to stop; each may show one of the values that are allowed for it."""

    def __init__(self, table, addresses, allowed, done):
        super().__init__()
        self.table, self.addresses, self.allowed, self.done = table, addresses, allowed, done
        self.rounds, self.wrong = 0, None

    def run(self):
        out = np.zeros(len(self.addresses), np.uint32)
        while self.wrong is None and not (self.done.is_set() and self.rounds):
            self.table.lookup_batch(self.addresses, out)
            if not (out[:, None] == self.allowed).any(axis=1).all():
                self.wrong = out
            self.rounds += 1


@pytest.mark.parametrize("path", lpm.PATHS)
@pytest.mark.parametrize("bits, cover", [(32, 20), (128, 40)], ids=["IPv4", "IPv6"])
def test_readers_see_the_value_before_or_after_a_change(bits, cover, path):
    """Each cover has a value of its own, and so have the prefixes in it; an address shows one of the two.

    The prefixes are of many lengths, so that changes store one word, several, and words deep in the table, and make groups,
    lines and leaps around the watched addresses over and over.
    """
    table = (lpm.Lpm4 if bits == 32 else lpm.Lpm6)(0, path)
    covers = [(10 << 24 if bits == 32 else 0x20010DB8 << 96) | number << (bits - cover) for number in range(8)]
    inner = [((address, length), 2000 + number) for number, address in enumerate(covers)
             for length in range(cover + 1, cover + 13)]
    for number, address in enumerate(covers):
        table.insert((address, cover), 1000 + number)
    allowed = np.array([[1000 + number, 2000 + number] for number in range(8)], np.uint32).repeat(32, axis=0)
    watched = packed([address for address in covers for _ in range(32)], bits)
    done = threading.Event()
    readers = [Reader(table, watched, allowed, done) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    for turn in range(ROUNDS):
        for step in range(len(inner)):
            prefix, value = inner[(step * 7 + turn) % len(inner)]
            if (turn + step) % 3:
                table.insert(prefix, value)
            else:
                table.remove(prefix)
        if turn % 50 == 0:
            table.replace(list(table))
    done.set()
    for reader in readers:
        reader.join()
    assert [reader.wrong for reader in readers] == [None] * READERS
    assert min(reader.rounds for reader in readers) > 0
