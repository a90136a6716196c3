# The 40-byte, direction-symmetric key of a flow and its keyed hash. Row 1.

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from fastpath.action cimport DIRECTION_FORWARD, DIRECTION_REVERSE, DROP_NONE
from fastpath.batch cimport Columns, alive
from fastpath.wire cimport swap64

cdef extern from *:
    """
    static inline uint64_t fastpath_fold(uint64_t a, uint64_t b)
    {
        unsigned __int128 product = (unsigned __int128) a * b;
        return (uint64_t) product ^ (uint64_t) (product >> 64);
    }
    /* Both halves of a product, multiplied in turn. */
    static inline uint64_t fastpath_fold_twice(uint64_t a, uint64_t b, uint64_t low_secret, uint64_t high_secret)
    {
        unsigned __int128 product = (unsigned __int128) a * b;
        return fastpath_fold((uint64_t) product ^ low_secret, (uint64_t) (product >> 64) ^ high_secret);
    }
    """
    uint64_t fold "fastpath_fold" (uint64_t a, uint64_t b) noexcept nogil
    uint64_t fold_twice "fastpath_fold_twice" (uint64_t a, uint64_t b, uint64_t low_secret, uint64_t high_secret) noexcept nogil

# 40 bytes, no gaps. (a_address, a_port) ≤ (b_address, b_port) in byte-wise order, so both directions give one key.
cdef struct FlowKeyFields:
    uint8_t a_address[16]    # 0
    uint8_t b_address[16]    # 16
    uint16_t a_port          # 32, host order
    uint16_t b_port          # 34, host order
    uint16_t namespace       # 36, so that equal addresses of two customers never meet
    uint8_t protocol         # 38
    uint8_t ip_version       # 39

cdef union FlowKey:
    FlowKeyFields fields
    uint64_t words[5]

cdef struct HashKey:
    uint64_t words[4]        # secret, per process

cdef int set_secret(HashKey* secret, object seed, str name) except -1     # seed: 32 bytes

cdef class Secret:
    cdef HashKey key


cdef inline void make(FlowKey* out, uint8_t* direction, uint8_t ip_version, uint8_t protocol, uint16_t namespace,
                      const uint8_t* source, uint16_t source_port,
                      const uint8_t* destination, uint16_t destination_port) noexcept nogil:
    # Without a branch: which end is the lower one is a coin's toss from packet to packet, and a wrong guess costs more than this.
    cdef uint64_t s0, s1, d0, d1, turn, both
    cdef int high, low, equal, reverse
    memcpy(&s0, source, 8)
    memcpy(&s1, source + 8, 8)
    memcpy(&d0, destination, 8)
    memcpy(&d1, destination + 8, 8)
    high, equal = swap64(d0) < swap64(s0), d0 == s0
    low = swap64(d1) < swap64(s1)
    reverse = high | (equal & (low | ((d1 == s1) & (destination_port < source_port))))
    turn = 0 - <uint64_t> reverse
    both = (s0 ^ d0) & turn
    out.words[0], out.words[2] = s0 ^ both, d0 ^ both
    both = (s1 ^ d1) & turn
    out.words[1], out.words[3] = s1 ^ both, d1 ^ both
    both = (source_port ^ destination_port) & turn
    # The last word by its bytes (wire.pxd holds us to little-endian machines): ports, namespace, protocol, version.
    out.words[4] = (source_port ^ both) | (destination_port ^ both) << 16 | <uint64_t> namespace << 32 | \
        <uint64_t> protocol << 48 | <uint64_t> ip_version << 56
    direction[0] = DIRECTION_REVERSE if reverse else DIRECTION_FORWARD


cdef inline uint64_t hash_key(const FlowKey* key, const HashKey* secret) noexcept nogil:
    # Multiply and fold, as wyhash and its kin do: 64×64→128 bits, the halves XORed. A secret word enters every factor, so a
    # zero factor, a zero product or a pair of keys that collide can not be prepared without the secret, and no bit of it is
    # ever shown: neither the hash nor which flow lies where. Four multiplications for 40 bytes.
    # The last one is for keys in a row: under one product alone, the ports of one client count upwards in steps of one size, and
    # for one secret in some hundred these steps meet few buckets over and over (chi² per bucket up to 70, with it 1.1).
    # Limits: no cryptographic hash. Who could read hashes, or time single lookups very well, might solve for the secret;
    # a new process draws another one. Not for a place where the one who asks sees the value.
    cdef uint64_t h = fold(key.words[0] ^ secret.words[0], key.words[1] ^ secret.words[1])
    h ^= fold(key.words[2] ^ secret.words[2], key.words[3] ^ secret.words[3])
    return fold_twice(h ^ secret.words[1], key.words[4] ^ secret.words[2] ^ (h >> 32), secret.words[0], secret.words[3])


# Fills key, direction and hash of every live row; `namespace` must be set.
cdef inline int build(Columns* b, const HashKey* secret) noexcept nogil:
    cdef Columns c = b[0]      # a copy that no store can reach: see batch.pxd
    cdef HashKey mine = secret[0]
    cdef FlowKey key
    cdef int i
    for i in range(c.count):
        if c.reason[i] != DROP_NONE:
            continue
        make(&key, &c.direction[i], c.ip_version[i], c.protocol[i], c.namespace[i],
             c.source + 16 * i, c.source_port[i], c.destination + 16 * i, c.destination_port[i])
        c.hash[i] = hash_key(&key, &mine)
        (<FlowKey*> (c.key + 40 * i))[0] = key
    return alive(&c)
