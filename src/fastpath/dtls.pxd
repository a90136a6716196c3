# The data phase of a DTLS session through cryptography's OpenSSL, without the GIL. Row 1.
# One thread owns a session at a time: the control plane during the handshake (pyOpenSSL), then a worker.

from libc.stdint cimport uint8_t

cdef enum:
    DTLS_CLOSED = -2       # close_notify or fatal alert: the session is over
    DTLS_BAD_RECORD = -1   # not a record of this session (forged, replayed, too short); ignore it
    DTLS_NOTHING = 0       # handshake retransmission or alert consumed; no data

cdef class Session:
    cdef readonly object connection       # OpenSSL.SSL.Connection over memory BIOs, kept alive
    cdef void* ssl
    cdef void* inbound                    # BIO the network's bytes go into
    cdef void* outbound                   # BIO the bytes for the network come out of
    # One datagram out of n plain bytes. Returns its length, or DTLS_CLOSED.
    cdef int seal(self, const uint8_t* plain, int n, uint8_t* out, int room) noexcept nogil
    # One datagram in; the plain bytes of its first application record to out. Call again with n = 0 for further records
    # of the same datagram until DTLS_NOTHING. Returns a length or one of the values above.
    cdef int open(self, const uint8_t* datagram, int n, uint8_t* out, int room) noexcept nogil
    # What OpenSSL wants to send by itself (handshake retransmission, alert): its length, 0 when nothing.
    cdef int pending(self, uint8_t* out, int room) noexcept nogil
