"""Flow keys, the obvious way. The hash is the module's own secret recipe: written here with Python's integers."""

import ipaddress
import struct

_WORD = (1 << 64) - 1


class Secret:
    """Four words."""

    def __init__(self, seed):
        if len(seed) != 32 or not any(seed):
            raise ValueError("seed must be 32 secret bytes, not zeros")
        self.words = struct.unpack("<4Q", seed)


def _mapped(address):
    packed = ipaddress.ip_address(address).packed
    return bytes(10) + b"\xff\xff" + packed if len(packed) == 4 else packed


def make_key(source, destination, *, protocol, source_port=0, destination_port=0, namespace=0):
    """The lower end first."""
    versions = {ipaddress.ip_address(source).version, ipaddress.ip_address(destination).version}
    if len(versions) != 1:
        raise ValueError("source and destination must be of one family")
    if not (
        0 <= protocol <= 255 and all(0 <= v <= 65535 for v in (source_port, destination_port, namespace))
    ):
        raise ValueError("protocol, source_port, destination_port or namespace")
    ends = [(_mapped(source), source_port), (_mapped(destination), destination_port)]
    direction = int(ends[0] > ends[1])
    (a, ap), (b, bp) = sorted(ends)
    return a + b + struct.pack("<HHHBB", ap, bp, namespace, protocol, versions.pop()), direction


def _fold(a, b):
    product = a * b
    return (product & _WORD) ^ (product >> 64)


def key_hash(key, secret):
    """Multiply and fold."""
    if len(key) != 40:
        raise ValueError("key must be 40 bytes")
    w, s = struct.unpack("<5Q", key), secret.words
    h = _fold(w[0] ^ s[0], w[1] ^ s[1]) ^ _fold(w[2] ^ s[2], w[3] ^ s[3])
    product = (h ^ s[1]) * (w[4] ^ s[2] ^ (h >> 32))
    return _fold((product & _WORD) ^ s[0], (product >> 64) ^ s[3])


def build_batch(batch, secret):
    """Every live row."""
    for i in range(batch.count):
        if batch.reason[i]:
            continue
        source, destination = batch.source[i].tobytes(), batch.destination[i].tobytes()
        ends = [(source, int(batch.source_port[i])), (destination, int(batch.destination_port[i]))]
        batch.direction[i] = int(ends[0] > ends[1])
        (a, ap), (b, bp) = sorted(ends)
        key = (
            a + b + struct.pack("<HHHBB", ap, bp, batch.namespace[i], batch.protocol[i], batch.ip_version[i])
        )
        batch.key[i], batch.hash[i] = list(key), key_hash(key, secret)
    return batch.alive()


def toeplitz(key, data):
    """Bit by bit: a one in the data adds the 32 bits of the key that begin there."""
    if len(key) < len(data) + 4:
        raise ValueError("key is too short")
    bits = int.from_bytes(key, "big")
    total = 0
    for n in range(8 * len(data)):
        if data[n // 8] >> (7 - n % 8) & 1:
            total ^= bits >> (8 * len(key) - 32 - n) & 0xFFFFFFFF
    return total


def symmetric_toeplitz(data):
    """The key 6d 5a repeated."""
    return toeplitz(b"\x6d\x5a" * (len(data) // 2 + 3), data)
