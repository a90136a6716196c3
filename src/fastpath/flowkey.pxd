# The 40-byte, direction-symmetric key of a flow and its keyed hash. Row 1.

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from fastpath.batch cimport Columns

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

cdef void make(FlowKey* out, uint8_t* direction, uint8_t ip_version, uint8_t protocol, uint16_t namespace,
               const uint8_t* source, uint16_t source_port, const uint8_t* destination, uint16_t destination_port) noexcept nogil
cdef uint64_t hash_key(const FlowKey* key, const HashKey* secret) noexcept nogil
# Fills key, direction and hash of every live row; `namespace` must be set.
cdef int build(Columns* b, const HashKey* secret) noexcept nogil
cdef int set_secret(HashKey* secret, object seed) except -1     # seed: 32 bytes

cdef class Secret:
    cdef HashKey key
