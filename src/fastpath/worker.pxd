# The worker: one thread's devices and the order in which packets walk the stages. Row 3.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.admission cimport Admission
from fastpath.batch cimport Columns, PacketBatch
from fastpath.dnslistener cimport DnsListener
from fastpath.egress cimport Egress
from fastpath.endpoint cimport EndpointMap
from fastpath.ingress cimport Ingress
from fastpath.message cimport Message
from fastpath.packetio cimport Device, GenevePort
from fastpath.returns cimport Returns
from fastpath.ring cimport Ring
from fastpath.shard cimport Shard
from fastpath.watch cimport Watch

cdef class Worker:
    cdef readonly GenevePort geneve
    cdef readonly Device device
    cdef readonly EndpointMap endpoints
    cdef readonly Admission admission
    cdef readonly Egress egress
    cdef readonly Ingress ingress
    cdef readonly Returns returns
    cdef readonly Watch watch
    cdef readonly Ring commands
    cdef readonly Shard shard        # None: there is one worker
    cdef readonly DnsListener listener
    cdef bint listens                # whether there is one
    cdef uint64_t rests_until        # it is not looked at before; 0 = it does not rest
    cdef int ready                   # READY_ bits: what the last wait() saw; step() takes it that everything is
    cdef PacketBatch batch
    cdef object exchanges          # callables, one a command EXCHANGE in the ring, in its order
    cdef int stopping, wants_exchange

    cdef void turn(self, uint64_t now_ns) noexcept nogil
    cdef void wait(self) noexcept nogil
    cdef uint64_t resting(self) noexcept nogil
    cdef int held(self) noexcept nogil
    cdef void carry_out(self) noexcept nogil
    cdef void obey(self, Message* m, const uint8_t* packet) noexcept nogil
    cdef bint load(self, Message* m, const uint8_t* packet) noexcept nogil
    cdef void teach(self, Message* m) noexcept nogil
    cdef void refuse(self, Message* m) noexcept nogil
    cdef _exchange_one(self)
    cdef void from_geneve(self, Columns* b, bint resumed, bint mine) noexcept nogil
    cdef void from_others(self, Columns* b) noexcept nogil
    cdef bint may_obey(self, Message* m) noexcept nogil
    cdef void tell_kernel(self, Columns* b) noexcept nogil
    cdef void hear_kernel(self, uint64_t now_ns) noexcept nogil
