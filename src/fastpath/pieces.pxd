# Cutting an IPv4 packet into fragments that fit its way out. Row 1.

from fastpath.batch cimport Columns

cdef enum:
    PIECES_MAX = 16          # 9,000 bytes into pieces of 576

# Cuts the packet of row i of b, IPv4 and parsed, into rows 0 … n-1 of `out`, each at most mtu bytes from its IP header on;
# returns n. 0: it can not be cut so (no room, too many, no 8 bytes of payload a piece). start and length of the rows are the
# packet's; peer and Geneve columns are not set. A packet that is itself a fragment is cut further.
cdef int cut(Columns* b, int i, int mtu, Columns* out) noexcept nogil
