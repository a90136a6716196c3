# The data phase of a DTLS session through cryptography's OpenSSL, without the GIL. Row 1.
# One thread owns a session at a time: the control plane during the handshake (pyOpenSSL), then a worker.

cimport cython
from libc.stdint cimport uint8_t

cdef enum:
    DTLS_CLOSED = -2       # close_notify or fatal alert: the session is over
    DTLS_BAD_RECORD = -1   # not a record of this session (forged, replayed, too short); ignore it
    DTLS_NOTHING = 0       # handshake retransmission or alert consumed; no data
    DTLS_OVERHEAD = 37     # bytes a record adds under AES-GCM: header 13, nonce 8, tag 16 (RFC 6347 §4.1, RFC 5288 §3)

@cython.final
cdef class Session:
    cdef readonly object connection       # OpenSSL.SSL.Connection over memory BIOs, kept alive
    cdef void* ssl
    cdef void* inbound                    # BIO the network's bytes go into
    cdef void* outbound                   # BIO the bytes for the network come out of
    # One datagram out of n plain bytes. Returns its length, or DTLS_CLOSED; DTLS_BAD_RECORD when n or room cannot be a record's.
    cdef int seal(self, const uint8_t* plain, int n, uint8_t* out, int room) noexcept nogil
    # One datagram in; the plain bytes of its first application record to out (which may be the datagram itself; room at
    # least n). Call again with n = 0 for further records of the same datagram until DTLS_NOTHING; those not asked for are
    # forgotten at the next datagram. Returns a length or one of the values above.
    cdef int open(self, const uint8_t* datagram, int n, uint8_t* out, int room) noexcept nogil
    # What OpenSSL wants to send by itself (handshake retransmission, alert): its length, 0 when nothing.
    cdef int pending(self, uint8_t* out, int room) noexcept nogil
    cdef bint _more            # records of the last datagram may be unread
    cdef bint _unsent          # outbound may hold bytes that nobody asked for
    cdef readonly bint closed  # the peer said so, or the session failed
