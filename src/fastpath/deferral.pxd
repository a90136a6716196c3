# Interrupts that stay off while a socket's reader does the receive work itself. Row 1, below packetio, its only user.

from fastpath.batch cimport Columns
from fastpath.mmsg cimport Ring

cdef struct Deferral:
    int epoll
    int event            # always readable: what an event poll finds
    bint off             # interrupts are kept off: receive_polling is to be called again at once

cdef Deferral* new_deferral(int fd) except NULL                      # OSError: the kernel does not offer it, or not to us
cdef int receive_polling(int fd, Ring* ring, Columns* b, Deferral* deferral) noexcept nogil       # with peer_address, peer_port
cdef void free_deferral(Deferral* deferral) noexcept nogil
