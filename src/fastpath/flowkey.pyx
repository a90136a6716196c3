"""FlowKey: the 40-byte key under which a flow is kept, the same for both directions, and its keyed hash.

Journey: after packet.parse, before flowtable.lookup. The hash is keyed per process: whoever chooses addresses and ports can
not aim at one bucket without knowing 256 secret bits.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from fastpath.arguments cimport BYTE_MAX, SHORT_MAX, integer, ip, mapped, octets_of, uint8s
from fastpath.batch cimport PacketBatch
from fastpath.wire cimport load_be32

if sizeof(FlowKey) != 40:
    raise ImportError("FlowKey must be 40 bytes")


cdef int set_secret(HashKey* secret, object seed, str name) except -1:
    cdef bytes data = octets_of(seed, name, 32)
    if data == bytes(32):
        raise ValueError(f"{name} must be 32 secret bytes, not zeros, which everybody can guess")
    memcpy(secret, <const uint8_t*> data, 32)
    return 0


@cython.final
cdef class Secret:
    """The hash key of a process: 32 bytes that nobody else knows.

    Raises:
        ValueError: seed is not 32 bytes, or all of them are 0.
    """

    def __cinit__(self, seed):
        set_secret(&self.key, seed, "seed")


def build_batch(PacketBatch batch not None, Secret secret not None):
    """Fill key, direction and hash of each live row from its packet columns and `namespace`; return the rows alive."""
    cdef int n
    with nogil:
        n = build(&batch.columns, &secret.key)
    return n


def make_key(source, destination, *, protocol, source_port=0, destination_port=0, namespace=0):
    """Return (key, direction): 40 bytes, and which end the source is.

    Raises:
        ValueError: the addresses are of two families, or a number does not fit its field.
    """
    cdef FlowKey key
    cdef uint8_t direction
    here, there = ip(source, "source"), ip(destination, "destination")
    if here.version != there.version:
        raise ValueError("source and destination must be of one family")
    make(&key, &direction, here.version, <uint8_t> integer(protocol, "protocol", 0, BYTE_MAX),
         <uint16_t> integer(namespace, "namespace", 0, SHORT_MAX), mapped(here),
         <uint16_t> integer(source_port, "source_port", 0, SHORT_MAX), mapped(there),
         <uint16_t> integer(destination_port, "destination_port", 0, SHORT_MAX))
    return (<const uint8_t*> &key)[:40], direction


def key_hash(key, Secret secret not None):
    """Return the 64-bit hash of a 40-byte key.

    Raises:
        ValueError: key is not 40 bytes.
    """
    cdef FlowKey copy
    cdef const uint8_t[::1] data = uint8s(key, "key")
    if data.shape[0] != 40:
        raise ValueError(f"key must be 40 bytes, not {data.shape[0]}")
    memcpy(&copy, &data[0], 40)
    return hash_key(&copy, &secret.key)


def toeplitz(key, data):
    """Return the 32-bit Toeplitz hash of `data`, as receive-side scaling computes it.

    Args:
        key: at least 4 bytes more than data; RSS uses 40.
        data: source address, destination address, source port, destination port, in network order.
    Raises:
        ValueError: key is too short.
    Source: Microsoft, "RSS hashing functions", and its "Verifying the RSS hash calculation" table.
    """
    cdef const uint8_t[::1] secret = uint8s(key, "key"), hashed = uint8s(data, "data")
    cdef uint32_t result = 0
    cdef uint32_t window
    cdef Py_ssize_t at
    cdef int bit
    if secret.shape[0] < hashed.shape[0] + 4:
        raise ValueError(f"key must be at least {hashed.shape[0] + 4} bytes for this data, not {secret.shape[0]}")
    window = load_be32(&secret[0])
    for at in range(hashed.shape[0]):
        for bit in range(7, -1, -1):
            if hashed[at] >> bit & 1:
                result ^= window
            window = window << 1 | (secret[at + 4] >> bit & 1)
    return result


def symmetric_toeplitz(data):
    """Return the Toeplitz hash under the key 6d 5a 6d 5a …, under which both directions of a flow are equal.

    Source: Woo and Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling", KAIST 2012.
    """
    return toeplitz(b"\x6d\x5a" * (uint8s(data, "data").shape[0] // 2 + 3), data)
