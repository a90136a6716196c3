# A large segment that the kernel left for its device to cut, and the packets that it stands for. Row 1.

from libc.stdint cimport uint8_t

from fastpath.batch cimport Columns
from fastpath.vnet cimport Vnet

# What is still to be cut; nothing: at == length.
cdef struct Superpacket:
    uint8_t* bytes
    int length
    int at                   # the payload from here on is in no packet yet
    int header               # bytes of IP and transport header
    int l4                   # where the latter begins
    int size                 # payload a packet; 0 = it is one packet as it is
    int made                 # packets made of it
    uint8_t version
    uint8_t kind
    uint8_t reason           # DropReason: it is cut into nothing, and why

# Take a packet that came behind `vnet`; its bytes must stay until it is cut, and its checksum may be written.
cdef void take(Superpacket* s, const Vnet* vnet, uint8_t* bytes, int length) noexcept nogil
# The next packet into row i, behind HEADROOM: start, length and reason are written. s.at == s.length afterwards: it was the last.
cdef void next_packet(Superpacket* s, Columns* b, int i) noexcept nogil
