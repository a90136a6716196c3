"""RoutedPort: workload packets that the kernel routes to a device, without a gateway load balancer.

    kernel ─▶ device ─▶ a header as GWLB would put before the packet ─▶ the worker's batch
    kernel ◀─ device ◀─ without its header, to the device whose endpoint the header names ◀─ rows for GWLB

Journey: where else a GenevePort is; the stages behind it see no difference. Each device stands for one endpoint, and by that for a
namespace and a location. LOCAL gives a packet back to the kernel, which routes it on. One thread owns it.

Source: gwlb (the header).
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from fastpath.action cimport DROP_IO_SEND, DROP_NONE
from fastpath.arguments cimport listed, several, uint64
from fastpath.batch cimport HEADROOM, Columns, row
from fastpath.gwlb cimport ENDPOINT_OPTION, GWLB_HEADER_BYTES, write_header
from fastpath.packetio cimport Device, GenevePort
from fastpath.wire cimport load_be32, load_be64

from fastpath.interfaces import lost_at


@cython.final
cdef class RoutedPort(GenevePort):
    """Devices as a way to workloads.

    Args:
        ways: 1 to 16 (Device, endpoint id); the port closes the devices.
    Raises:
        ValueError: none, too many, or an endpoint twice.
    """

    def __cinit__(self, ways):
        pairs = [several(way, "ways", "(device, endpoint) pairs", 2) for way in listed(ways, "ways", "(device, endpoint) pairs")]
        if not 1 <= len(pairs) <= WAYS_MAX:
            raise ValueError(f"ways must be 1 to {WAYS_MAX}, not {len(pairs)}")
        if len({endpoint for _, endpoint in pairs}) != len(pairs):
            raise ValueError("ways must not name an endpoint twice")
        self.count = self.turn = 0
        self.devices = tuple(device for device, _ in pairs)
        for device, endpoint in pairs:
            self._add(device, uint64(endpoint, "ways: endpoint"))
        self._lost = [lost_at(device.name) for device in self.devices]
        self.fd = self.devices[0].fd

    cdef _add(self, Device device, uint64_t endpoint):
        if device is None:
            raise TypeError("ways: device must be a Device, not None")
        self.ways[self.count], self.endpoints[self.count] = <void*> device, endpoint
        write_header(self.four[self.count], endpoint, 0, 0, 4)
        write_header(self.six[self.count], endpoint, 0, 0, 6)
        self.count += 1

    cdef int recv_rows(self, Columns* b) noexcept nogil:
        cdef int k, way, n = 0
        for k in range(self.count):
            way = (self.turn + k) % self.count
            n = (<Device> self.ways[way]).recv_rows(b)
            if n:
                self.turn = (way + 1) % self.count
                self._dress(b, n, way)
                return n
        return n

    cdef void _dress(self, Columns* b, int n, int way) noexcept nogil:
        """Put the header of a device's packets before them."""
        cdef const uint8_t* header
        cdef int i
        for i in range(n):
            header = &self.four[way][0]
            if row(b, i)[HEADROOM] >> 4 == 6:
                header = &self.six[way][0]
            memcpy(row(b, i) + HEADROOM - GWLB_HEADER_BYTES, header, GWLB_HEADER_BYTES)
            b.start[i] = HEADROOM - GWLB_HEADER_BYTES
            b.length[i] += GWLB_HEADER_BYTES
            b.peer_address[i] = b.peer_port[i] = 0

    cdef int send_rows(self, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        cdef int k, way, m, left = 0
        for way in range(self.count):
            m = 0
            for k in range(n):
                if self._way_of(b, rows[k]) == way:
                    self.rows[m] = rows[k]
                    m += 1
            if m:
                left += (<Device> self.ways[way]).send_rows(b, self.rows, m)
        return left

    cdef int _way_of(self, Columns* b, int i) noexcept nogil:
        """Whose packet it is, which becomes the inner one of the row; -1: nobody's, and it is dropped."""
        cdef const uint8_t* at = row(b, i) + b.start[i]
        cdef int way
        if b.reason[i] != DROP_NONE:
            return -1
        if b.length[i] > GWLB_HEADER_BYTES and b.start[i] + b.length[i] <= b.room and load_be32(at + 8) == ENDPOINT_OPTION:
            for way in range(self.count):
                if load_be64(at + 12) == self.endpoints[way]:
                    b.inner_start[i] = b.start[i] + GWLB_HEADER_BYTES
                    b.inner_length[i] = b.length[i] - GWLB_HEADER_BYTES
                    return way
        b.reason[i] = DROP_IO_SEND
        return -1

    cdef int watch(self, int* fds) noexcept nogil:
        cdef int way
        for way in range(self.count):
            fds[way] = (<Device> self.ways[way]).fd
        return self.count

    cdef bint holds(self) noexcept nogil:
        cdef int way
        for way in range(self.count):
            if (<Device> self.ways[way]).holds():
                return True
        return False

    def lost(self):
        """Return how many packets the kernel had to drop before we took them, since the port was opened."""
        return sum(lost_at(device.name) - before for device, before in zip(self.devices, self._lost))

    def close(self):
        """Close the devices; again is no error."""
        for device in self.devices:
            device.close()
        self.fd = -1
