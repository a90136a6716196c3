# Ethernet frames that carry Geneve over IPv4 and UDP: rows out of them, headers in front of rows, and who is behind which MAC
# address. Header only. Row 1.
#
# The outer UDP checksum is not looked at: over IPv4 a receiver need not (RFC 8926 §4.3.1), and between two ends of a veth pair
# it is unfinished. What is sent has none (0).

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy
from posix.time cimport clock_gettime, timespec

from fastpath.action cimport DROP_IO_TRUNCATED
from fastpath.batch cimport HEADROOM, Columns, row
from fastpath.outer cimport OUTER_BYTES, write_outer
from fastpath.wire cimport load_be16, load_be32

cdef extern from "<time.h>" nogil:
    int CLOCK_MONOTONIC_COARSE

cdef enum:
    ETHERNET_BYTES = 14
    UDP_BYTES = 8
    FRAME_HEADER_BYTES = 42      # Ethernet, IPv4 without options, UDP
    NEIGHBOURS = 1024
    NEIGHBOUR_LIFE_S = 30        # a gateway speaks often; one that is silent is asked for again, by the kernel

# The MAC address that a peer's packets came from last: where answers to it go. A slot belongs to whoever spoke last of those
# that share it, so strangers can not make it grow; who is not in it is reached by the kernel.
cdef struct Neighbour:
    uint32_t address
    uint32_t seen_s
    uint8_t mac[6]
    uint8_t known

cdef struct Neighbours:
    uint8_t own[6]
    uint32_t now_s
    Neighbour slots[NEIGHBOURS]


cdef inline void tick(Neighbours* all) noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t)
    all.now_s = <uint32_t> t.tv_sec


cdef inline Neighbour* slot_of(Neighbours* all, uint32_t address) noexcept nogil:
    return &all.slots[(address * 0x9E3779B1u) >> 22]


cdef inline const uint8_t* mac_of(Neighbours* all, uint32_t address) noexcept nogil:
    cdef Neighbour* found = slot_of(all, address)
    if found.known and found.address == address and all.now_s - found.seen_s <= NEIGHBOUR_LIFE_S:
        return found.mac
    return NULL


# Make row i of a frame whose first n bytes are at `at`: IPv4, UDP, for us, as the filter or program before it has seen to; its
# lengths are doubted here. Returns how many bytes of its payload are not among the n and have still to be appended.
cdef inline int open_frame(Columns* b, int i, const uint8_t* at, int n, Neighbours* all) noexcept nogil:
    cdef int udp = ETHERNET_BYTES + (at[ETHERNET_BYTES] & 15) * 4 if n >= FRAME_HEADER_BYTES else n
    cdef int length = load_be16(at + udp + 4) - UDP_BYTES if udp + UDP_BYTES <= n else -1
    cdef int here
    cdef Neighbour* peer
    b.start[i], b.length[i], b.peer_address[i], b.peer_port[i] = HEADROOM, 0, 0, 0
    if length < 0:
        b.reason[i] = DROP_IO_TRUNCATED
        return 0
    if length > b.room - HEADROOM:
        b.reason[i] = DROP_IO_TRUNCATED
        length = b.room - HEADROOM
    here = min(length, n - udp - UDP_BYTES)
    memcpy(row(b, i) + HEADROOM, at + udp + UDP_BYTES, here)
    b.length[i] = length
    b.peer_address[i], b.peer_port[i] = load_be32(at + ETHERNET_BYTES + 12), load_be16(at + udp)
    peer = slot_of(all, b.peer_address[i])
    peer.address, peer.seen_s, peer.known = b.peer_address[i], all.now_s, 1
    memcpy(peer.mac, at + 6, 6)
    return length - here


# Write the 42 bytes in front of row i's payload: from own MAC and address:peer_port to the peer's.
cdef inline void write_frame_header(uint8_t* at, Columns* b, int i, const uint8_t* own, const uint8_t* mac,
                                    uint32_t address, uint16_t port) noexcept nogil:
    memcpy(at, mac, 6)
    memcpy(at + 6, own, 6)
    at[12], at[13] = 8, 0
    write_outer(at + ETHERNET_BYTES, address, b.peer_port[i], b.peer_address[i], port, b.length[i])
