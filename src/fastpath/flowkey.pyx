"""FlowKey: the 40-byte key under which a flow is kept, the same for both directions, and its keyed hash.

Journey: after packet.parse, before flowtable.lookup. The hash is keyed per process: whoever chooses addresses and ports can
not aim at one bucket without knowing 256 secret bits.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath.batch cimport PacketBatch
from fastpath.wire cimport load_be32

import ipaddress

if sizeof(FlowKey) != 40:
    raise ImportError("FlowKey must be 40 bytes")


cdef int set_secret(HashKey* secret, object seed) except -1:
    cdef bytes data = bytes(seed)
    if len(data) != 32:
        raise ValueError(f"seed must be 32 bytes, not {len(data)}")
    memcpy(secret, <const uint8_t*> data, 32)
    return 0


@cython.final
cdef class Secret:
    """The hash key of a process: 32 bytes that nobody else knows.

    Raises:
        ValueError: seed is not 32 bytes.
    """

    def __cinit__(self, seed):
        set_secret(&self.key, seed)


def build_batch(PacketBatch batch not None, Secret secret not None):
    """Fill key, direction and hash of each live row from its packet columns and `namespace`; return the rows alive."""
    cdef int n
    with nogil:
        n = build(&batch.columns, &secret.key)
    return n


cdef bytes mapped(object address):
    packed = ipaddress.ip_address(address).packed
    return bytes(10) + b"\xff\xff" + packed if len(packed) == 4 else packed


def make_key(source, destination, *, int protocol, int source_port=0, int destination_port=0, int namespace=0):
    """Return (key, direction): 40 bytes, and which end the source is.

    Raises:
        ValueError: the addresses are of two families, or a number does not fit its field.
    """
    versions = {ipaddress.ip_address(source).version, ipaddress.ip_address(destination).version}
    if len(versions) != 1:
        raise ValueError("source and destination must be of one family")
    for name, value, limit in (("protocol", protocol, 255), ("source_port", source_port, 65535),
                               ("destination_port", destination_port, 65535), ("namespace", namespace, 65535)):
        if not 0 <= value <= limit:
            raise ValueError(f"{name} must be 0 to {limit}, not {value}")
    cdef FlowKey key
    cdef uint8_t direction
    make(&key, &direction, versions.pop(), protocol, namespace, mapped(source), source_port, mapped(destination),
         destination_port)
    return (<const uint8_t*> &key)[:40], direction


def key_hash(const uint8_t[::1] key not None, Secret secret not None):
    """Return the 64-bit hash of a 40-byte key.

    Raises:
        ValueError: key is not 40 bytes.
    """
    cdef FlowKey copy
    if len(key) != 40:
        raise ValueError(f"key must be 40 bytes, not {len(key)}")
    memcpy(&copy, &key[0], 40)
    return hash_key(&copy, &secret.key)


def toeplitz(const uint8_t[::1] key not None, const uint8_t[::1] data not None):
    """Return the 32-bit Toeplitz hash of `data`, as receive-side scaling computes it.

    Args:
        key: at least 4 bytes more than data; RSS uses 40.
        data: source address, destination address, source port, destination port, in network order.
    Raises:
        ValueError: key is too short.
    Source: Microsoft, "RSS hashing functions", and its "Verifying the RSS hash calculation" table.
    """
    cdef uint32_t result = 0
    cdef uint32_t window
    cdef int at, bit
    if len(key) < len(data) + 4:
        raise ValueError(f"key must be at least {len(data) + 4} bytes for this data, not {len(key)}")
    window = load_be32(&key[0])
    for at in range(len(data)):
        for bit in range(7, -1, -1):
            if data[at] >> bit & 1:
                result ^= window
            window = window << 1 | (key[at + 4] >> bit & 1)
    return result


def symmetric_toeplitz(const uint8_t[::1] data not None):
    """Return the Toeplitz hash under the key 6d 5a 6d 5a …, under which both directions of a flow are equal.

    Source: Woo and Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling", KAIST 2012.
    """
    return toeplitz(b"\x6d\x5a" * (len(data) // 2 + 3), data)
