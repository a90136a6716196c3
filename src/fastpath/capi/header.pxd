# What fastpath.h declares, for libfastpath: the types; the compiler holds the functions to the header's prototypes. Row 3.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "fastpath/capi/fastpath.h" nogil:
    enum:
        FASTPATH_API_VERSION
        FASTPATH_SECRET_SIZE

    enum fastpath_error:
        FASTPATH_OK
        FASTPATH_EINVAL
        FASTPATH_ENOMEM
        FASTPATH_ENOENT
        FASTPATH_EEXIST
        FASTPATH_EFULL
        FASTPATH_EROOM

    enum fastpath_reason:
        FASTPATH_GENEVE_SHORT
        FASTPATH_GENEVE_VERSION
        FASTPATH_GENEVE_OPTION_OVERRUN
        FASTPATH_GENEVE_PROTOCOL
        FASTPATH_GWLB_OPTION_MISSING
        FASTPATH_GWLB_OPTION_LENGTH
        FASTPATH_GWLB_HEADER_LONG
        FASTPATH_PACKET_SHORT
        FASTPATH_PACKET_VERSION
        FASTPATH_PACKET_HEADER_LENGTH
        FASTPATH_PACKET_TOTAL_LENGTH
        FASTPATH_PACKET_EXTENSION_CHAIN
        FASTPATH_PACKET_L4_SHORT
        FASTPATH_PACKET_SOURCE_ROUTE

    ctypedef struct fastpath_lpm4:
        pass

    ctypedef struct fastpath_lpm6:
        pass

    ctypedef struct fastpath_flows:
        pass

    struct fastpath_packet:
        uint8_t source[16]
        uint8_t destination[16]
        uint32_t length
        uint32_t l4_start
        uint16_t source_port
        uint16_t destination_port
        uint8_t ip_version
        uint8_t protocol
        uint8_t fragment
        uint8_t tcp_flags

    struct fastpath_geneve:
        uint32_t vni
        uint16_t protocol
        uint16_t header_size
        uint8_t flags

    struct fastpath_geneve_option:
        const uint8_t* data
        uint16_t option_class
        uint8_t type
        uint8_t size

    struct fastpath_gwlb:
        uint64_t endpoint
        uint64_t attachment
        uint32_t cookie
        uint16_t header_size

    struct fastpath_flow_key:
        pass

    struct fastpath_flow:
        fastpath_flow_key key
        uint64_t hash
        uint64_t started_ns
        uint64_t last_seen_ns
        uint64_t packets[2]
        uint64_t bytes[2]
        uint32_t owner
        uint8_t state
        uint8_t initiator
        uint8_t timeout


cdef inline void give(void* out, size_t room, const void* made, size_t size) noexcept nogil:
    """Fill a caller's structure of `room` bytes, at least `size`; it may be of a later header, whose members become 0."""
    memcpy(out, made, size)
    memset(<uint8_t*> out + size, 0, room - size)
