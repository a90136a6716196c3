"""The slow, obvious dtls: pyOpenSSL's own methods, one datagram at a time. Same names and signatures as fastpath.dtls."""

import numpy as np
from OpenSSL import SSL

from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES

RECORD_HEADER, PLAIN_MAX, OVERHEAD = 13, 16384, 37


def tiles(datagram):
    """Whether a datagram is records from end to end."""
    at = 0
    while len(datagram) - at > RECORD_HEADER:
        at += RECORD_HEADER + int.from_bytes(datagram[at + 11:at + 13], "big")
    return at > 0 and at == len(datagram)


class Session:
    """fastpath.dtls.Session."""

    def __init__(self, connection):
        for name in ("_ssl", "_into_ssl", "_from_ssl"):
            if getattr(connection, name, None) is None:
                raise TypeError("connection must be an OpenSSL.SSL.Connection made with socket None")
        self.connection, self.closed = connection, False
        self._drain()

    def _drain(self):
        try:
            return self.connection.bio_read(1 << 17)
        except SSL.WantReadError:
            return b""

    def _read(self):
        try:
            return self.connection.recv(PLAIN_MAX)
        except SSL.WantReadError:
            return None
        except SSL.Error:
            self.closed = True
            return None

    def seal(self, plain):
        if not 0 < len(plain) <= PLAIN_MAX:
            raise ValueError(f"plain must be 1 to {PLAIN_MAX} bytes")
        if self.closed:
            return None
        self._drain()
        self.connection.send(plain)
        return self._drain()

    def open(self, datagram):
        if datagram:
            while not self.closed and self._read() is not None:
                pass
            if self.closed or not tiles(datagram) or len(datagram) > PLAIN_MAX + 256:
                return None
            self.connection.bio_write(datagram)
        return None if self.closed else self._read()

    def pending(self):
        return self._drain()

    def close(self):
        if self.closed:
            return b""
        self._drain()
        self.connection.shutdown()
        self.closed = True
        return self._drain()

    def _rows(self, batch, rows):
        if rows is None:
            return np.flatnonzero(batch.reason[:batch.count] == 0).tolist()
        if not isinstance(rows, np.ndarray) or rows.dtype != np.uint16 or rows.ndim != 1:
            raise TypeError("rows must be a one-dimensional uint16 array")
        if len(rows) and int(rows.max()) >= batch.count:
            raise ValueError("rows must be below the batch's count")
        return [row for row in rows.tolist() if batch.reason[row] == 0]

    def _put(self, batch, row, made):
        if made is None:
            batch.reason[row] = DropReason.DROP_DTLS_RECORD
            return 0
        batch.data[row, HEADROOM_BYTES:HEADROOM_BYTES + len(made)] = np.frombuffer(made, np.uint8)
        batch.start[row], batch.length[row] = HEADROOM_BYTES, len(made)
        return 1

    def open_rows(self, batch, rows=None):
        return sum(self._put(batch, row, self.open(batch.frame(row) or b"\0")) for row in self._rows(batch, rows))

    def seal_rows(self, batch, rows=None):
        room = batch.room - HEADROOM_BYTES - OVERHEAD
        sealed = 0
        for row in self._rows(batch, rows):
            fits = 0 < batch.length[row] <= room
            sealed += self._put(batch, row, self.seal(batch.frame(row)) if fits else None)
        return sealed
