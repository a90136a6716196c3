# GWLB's packets by AF_XDP: past the kernel's network stack. Row 2.

cimport cython
from libc.stdint cimport uint16_t

from fastpath.ethernet cimport Neighbours
from fastpath.kernelflows cimport KernelFlows
from fastpath.packetio cimport GenevePort, GeneveSocket
from fastpath.xskqueue cimport XskQueue

@cython.final
cdef class XskPort(GenevePort):
    cdef readonly GeneveSocket kernel    # for what the program leaves to the kernel, and for peers whose MAC address is unknown
    cdef readonly object redirect
    cdef readonly KernelFlows flows      # None unless asked for
    cdef readonly list queues
    cdef void* _queues[64]               # borrowed of `queues`
    cdef int _n, _next, _last            # how many; whose turn it is; which one the batch in hand came from
    cdef unsigned int _calls
    cdef Neighbours _neighbours
    cdef uint16_t _strangers[4096]
    cdef _open(self, object interface, bint zero_copy, int busy_poll_us, int worker, int workers)
