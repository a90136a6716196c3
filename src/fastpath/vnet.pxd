# What stands before a packet on a TUN queue that has offloads: struct virtio_net_hdr (linux/virtio_net.h). Row 0.
#
# The kernel writes it in the machine's order; fastpath is built for little-endian machines only, where that is virtio's too.

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memset

cdef enum:
    VNET_BYTES = 10
    VNET_NEEDS_CHECKSUM = 1      # flags: the sum from checksum_start on is not written yet
    VNET_NONE = 0                # kind: one packet
    VNET_TCP4 = 1
    VNET_TCP6 = 4
    VNET_UDP = 5                 # datagrams, of either family
    VNET_ECN = 0x80              # a bit beside the kind

cdef struct Vnet:
    uint8_t flags
    uint8_t kind
    uint16_t header              # bytes in front of the payload, a hint
    uint16_t size                # payload a packet
    uint16_t checksum_start      # of the transport header
    uint16_t checksum_offset     # from there


cdef inline void read_vnet(Vnet* out, const uint8_t* at) noexcept nogil:
    memcpy(out, at, VNET_BYTES)


cdef inline void no_vnet(Vnet* out) noexcept nogil:
    memset(out, 0, VNET_BYTES)
