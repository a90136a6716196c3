"""dtls: seal and open the records of an established DTLS 1.2 session, without the GIL.

Journey: between the Geneve packets of the internet tunnel and UDP. pyOpenSSL makes contexts and shakes hands; this module goes on
with the same library (fastpath.openssl). One thread owns a session at a time; the GIL is no lock here.

Memory BIOs are streams while DTLS wants datagrams: a datagram goes in alone, only if its records tile it exactly (RFC 6347
§4.1), and nothing of it is left when the next one comes. So a forged or cut datagram cannot spoil the next.
It does not shake hands, verify certificates or keep timers.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t

from fastpath.action cimport DROP_DTLS_RECORD, DROP_NONE
from fastpath.arguments cimport rows_in_use
from fastpath.batch cimport HEADROOM, Columns, PacketBatch, inside, row
from fastpath.openssl cimport (
    Handles, bio_read, bio_write, err_clear_error, forbid_renegotiation, handles_of, ssl_get_error, ssl_read, ssl_write,
)
from fastpath.wire cimport load_be16

import numpy as np

cdef enum:
    RECORD_HEADER = 13           # type 1, version 2, epoch 2, sequence 6, length 2 (RFC 6347 §4.1)
    APPLICATION_DATA = 23
    PLAIN_MAX = 16384            # RFC 6347 §4.1.1 by RFC 5246 §6.2.1
    DATAGRAM_MAX = PLAIN_MAX + 256
    SSL_ERROR_SSL = 1            # openssl/ssl.h, unchanged since SSLeay
    SSL_ERROR_SYSCALL = 5
    SSL_ERROR_ZERO_RETURN = 6


cdef int records(const uint8_t* datagram, int n, bint* only_data) noexcept nogil:
    """How many records tile the datagram exactly; 0 when they do not. only_data: all of them are application data."""
    cdef int at = 0, found = 0
    only_data[0] = True
    while n - at > RECORD_HEADER:
        if datagram[at] != APPLICATION_DATA:
            only_data[0] = False
        at += RECORD_HEADER + load_be16(datagram + at + 11)
        found += 1
    return found if at == n else 0


cdef void discard(void* bio) noexcept nogil:
    """Empty a memory BIO."""
    cdef uint8_t scratch[4096]
    while bio_read(bio, scratch, sizeof(scratch)) > 0:
        pass


cdef object chosen(PacketBatch batch, object rows):
    """The rows as a checked uint16 array: all live ones for None."""
    if rows is None:
        return np.flatnonzero(batch.reason[:batch.columns.count] == 0).astype(np.uint16)
    rows_in_use(rows, "rows", &batch.columns.count)
    return rows


cdef int seal(Session s, const uint8_t* plain, int n, uint8_t* out, int room) noexcept nogil:
    cdef int got
    if s.closed:
        return DTLS_CLOSED
    if n <= 0 or n > PLAIN_MAX or room < n + DTLS_OVERHEAD:
        return DTLS_BAD_RECORD
    if s._unsent:            # nobody came for it: as good as lost on the way, and the peer asks again
        discard(s.outbound)
        s._unsent = False
    err_clear_error()
    got = ssl_write(s.ssl, <void*> plain, n)
    if got <= 0:
        s._unsent = True
        return failed(s, got)
    got = bio_read(s.outbound, out, room)
    if got <= 0:
        return DTLS_BAD_RECORD
    if got == room:          # another cipher with a larger overhead; what does not fit must not lead the next datagram
        discard(s.outbound)
    return got


cdef int failed(Session s, int result) noexcept nogil:
    """What a call of OpenSSL that gave no data means."""
    cdef int error = ssl_get_error(s.ssl, result)
    if error == SSL_ERROR_ZERO_RETURN or error == SSL_ERROR_SSL or error == SSL_ERROR_SYSCALL:
        s.closed = True
        s._unsent = True
        err_clear_error()    # this thread's queue is not ours alone
        return DTLS_CLOSED
    return DTLS_NOTHING


cdef void forget(Session s) noexcept nogil:
    """Read what the last datagram still holds and throw it away."""
    cdef uint8_t scratch[PLAIN_MAX]
    cdef int got = 1
    while got > 0:
        err_clear_error()
        got = ssl_read(s.ssl, scratch, sizeof(scratch))
    failed(s, got)
    s._more = False


cdef int open_(Session s, const uint8_t* datagram, int n, uint8_t* out, int room) noexcept nogil:
    cdef bint only_data = False
    cdef int found = 2, got
    if s._more and n > 0:
        forget(s)
    if s.closed:
        return DTLS_CLOSED
    if n > 0:
        if n > DATAGRAM_MAX or room < n:
            return DTLS_BAD_RECORD
        found = records(datagram, n, &only_data)
        if found == 0:
            return DTLS_BAD_RECORD
        if bio_write(s.inbound, <void*> datagram, n) != n:
            discard(s.inbound)
            return DTLS_BAD_RECORD
        s._unsent = s._unsent or not only_data
    elif not s._more:
        return DTLS_NOTHING
    err_clear_error()
    got = ssl_read(s.ssl, out, room)
    s._more = got > 0 and found > 1
    if got > 0:
        return got
    got = failed(s, got)
    return DTLS_BAD_RECORD if got == DTLS_NOTHING and only_data else got


cdef int pending(Session s, uint8_t* out, int room) noexcept nogil:
    cdef int got
    if not s._unsent:
        return 0
    got = bio_read(s.outbound, out, room)
    if got <= 0:
        s._unsent = False
        return 0
    return got


@cython.final
cdef class Session:
    """The data phase of one DTLS session.

    Args:
        connection: OpenSSL.SSL.Connection(context, None), handshake done. Use it no more except through this object.
    Raises:
        TypeError: connection is not one over memory BIOs.
    """

    def __cinit__(self, connection not None):
        cdef Handles handles = handles_of(connection)
        self.connection = connection
        self.ssl, self.inbound, self.outbound = handles.ssl, handles.inbound, handles.outbound
        forbid_renegotiation(connection)     # a worker cannot shake hands
        self._unsent = True      # the last flight of the handshake may still be there
        self._more = True        # and early records behind it

    cdef int seal(self, const uint8_t* plain, int n, uint8_t* out, int room) noexcept nogil:
        return seal(self, plain, n, out, room)

    cdef int open(self, const uint8_t* datagram, int n, uint8_t* out, int room) noexcept nogil:
        return open_(self, datagram, n, out, room)

    cdef int pending(self, uint8_t* out, int room) noexcept nogil:
        return pending(self, out, room)

    def seal(self, bytes plain not None):
        """Return the datagram that carries `plain` (1 … 16,384 bytes), or None when the session is closed.

        Raises:
            ValueError: plain is empty or too long.
        """
        if not 0 < len(plain) <= PLAIN_MAX:
            raise ValueError(f"plain must be 1 to {PLAIN_MAX} bytes, not {len(plain)}")
        out = bytearray(len(plain) + 256)
        cdef uint8_t[::1] view = out
        cdef const uint8_t* data = plain
        cdef int n = len(plain), room = len(out), got
        with nogil:
            got = seal(self, data, n, &view[0], room)
        return bytes(out[:got]) if got > 0 else None

    def open(self, bytes datagram not None):
        """Return the plain bytes of the first application record of `datagram`; b"" asks for the next of the same one.

        Returns: None for anything without data: forged, replayed, cut, a handshake message, or `closed`.
        """
        out = bytearray(max(len(datagram), <int> DATAGRAM_MAX))
        cdef uint8_t[::1] view = out
        cdef const uint8_t* data = datagram
        cdef int n = len(datagram), room = len(out), got
        with nogil:
            got = open_(self, data, n, &view[0], room)
        return bytes(out[:got]) if got > 0 else None

    def pending(self):
        """Return the bytes that OpenSSL wants sent by itself (an alert, a repeated handshake message), or b""."""
        out = bytearray(DATAGRAM_MAX)
        cdef uint8_t[::1] view = out
        return bytes(out[:pending(self, &view[0], DATAGRAM_MAX)])

    def close(self):
        """End the session. Return the datagram that says so to the peer, b"" when it is closed already."""
        if self.closed:
            return b""
        discard(self.outbound)
        try:
            self.connection.shutdown()
        except Exception:        # OpenSSL.SSL.Error: in the middle of a handshake; then there is nothing to say
            err_clear_error()
        self._unsent = True
        said = self.pending()
        self.closed = True
        return said

    def open_rows(self, PacketBatch batch not None, rows=None):
        """Open the datagram of each of `rows` in place: plain bytes at HEADROOM, start and length theirs.

        Args:
            rows: uint16, rows of the batch that came from this peer; None = every live row.
        Returns: how many hold data now. Drops: DROP_DTLS_RECORD for all else.
        """
        array = chosen(batch, rows)
        cdef const uint16_t[::1] view = array
        cdef Columns* b = &batch.columns
        cdef int k, i, got, opened = 0, n = <int> view.shape[0]
        inside(b, b.start, b.length, "start and length")
        with nogil:
            for k in range(n):
                i = view[k]
                if b.reason[i] != DROP_NONE:
                    continue
                got = open_(self, row(b, i) + b.start[i], b.length[i], row(b, i) + HEADROOM, b.room - HEADROOM)
                if got > 0:
                    b.start[i], b.length[i] = HEADROOM, <uint16_t> got
                    opened += 1
                else:
                    b.reason[i] = DROP_DTLS_RECORD
        return opened

    def seal_rows(self, PacketBatch batch not None, rows=None):
        """Seal start … start+length of each of `rows`; the record lies at HEADROOM afterwards, start and length its own.

        Args:
            rows: uint16; None = every live row.
        Returns: how many were sealed. Drops: DROP_DTLS_RECORD for what does not fit its row, or all when `closed`.
        """
        array = chosen(batch, rows)
        cdef const uint16_t[::1] view = array
        cdef Columns* b = &batch.columns
        cdef int k, i, got, sealed = 0, n = <int> view.shape[0]
        inside(b, b.start, b.length, "start and length")
        with nogil:
            for k in range(n):
                i = view[k]
                if b.reason[i] != DROP_NONE:
                    continue
                got = seal(self, row(b, i) + b.start[i], b.length[i], row(b, i) + HEADROOM, b.room - HEADROOM)
                if got > 0:
                    b.start[i], b.length[i] = HEADROOM, <uint16_t> got
                    sealed += 1
                else:
                    b.reason[i] = DROP_DTLS_RECORD
        return sealed
