# The calls of cryptography's OpenSSL that carry records, and what a connection hands to them. Row 0.

ctypedef int (*Transfer)(void* of, void* data, int n) noexcept nogil
ctypedef int (*ErrorOf)(void* ssl, int result) noexcept nogil
ctypedef void (*Clear)() noexcept nogil

cdef struct Handles:
    void* ssl
    void* inbound                # the memory BIO that it reads, and the one that it writes
    void* outbound

cdef Transfer ssl_read, ssl_write, bio_read, bio_write
cdef ErrorOf ssl_get_error
cdef Clear err_clear_error

# Of an OpenSSL.SSL.Connection over memory BIOs; TypeError for any other.
cdef Handles handles_of(connection) except *
cdef int forbid_renegotiation(connection) except -1
