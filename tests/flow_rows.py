"""Keys, hashes and packets of flow numbers, for the tests of the flow table."""

import hashlib

import numpy as np

from fastpath.batch import PacketBatch

UDP = 17


def key_of(number, protocol=UDP):
    return number.to_bytes(38, "big") + bytes([protocol, 4])


def hash_of(key, kinds=1 << 64):
    """Any function of the key; a small `kinds` makes keys collide."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) % kinds


def rows(numbers, protocol=UDP, direction=0, flags=0, kinds=1 << 64):
    """A batch with one packet of 100 bytes for each flow number."""
    batch = PacketBatch(max(1, len(numbers)), 256)
    batch.reset(len(numbers))
    for i, number in enumerate(numbers):
        key = key_of(number, protocol)
        batch.key[i] = np.frombuffer(key, np.uint8)
        batch.hash[i] = hash_of(key, kinds)
    batch.protocol[:], batch.direction[:], batch.tcp_flags[:], batch.inner_length[:] = protocol, direction, flags, 100
    return batch


def columns(numbers, kinds=1 << 64):
    """Keys, hashes and room for indexes, in no batch."""
    keys = np.array([list(key_of(number)) for number in numbers], np.uint8).reshape(-1, 40)
    return keys, np.array([hash_of(bytes(key), kinds) for key in keys], np.uint64), np.zeros(len(keys), np.int32)
