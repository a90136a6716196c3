# bpf(2), the few commands that this package needs; without libbpf. Row 0.

from libc.stdint cimport uint32_t, uint64_t

# For a worker's loop; 0 or -1 with errno set.
cdef int update_element(int fd, const void* key, const void* value, uint64_t flags) noexcept nogil
cdef int look_up_element(int fd, const void* key, void* value) noexcept nogil
cdef int delete_element(int fd, const void* key) noexcept nogil
