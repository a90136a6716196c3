"""The CA's revocation list as an agent sees it: a file that is looked at again whenever it changes.

One thread. A list that cannot be read or is not signed by the CA never replaces a good one: the last good one
stays in force and the operational log says so. Source: RFC 5280 §5.
"""

from __future__ import annotations

import logging
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from zcc.errors import IdentityError

__all__ = ["RevocationList"]

log = logging.getLogger(__name__)


class RevocationList:
    """Serial numbers that the CA has revoked."""

    def __init__(self, path: Path | None, ca: x509.Certificate) -> None:
        """Read the list for the first time.

        Args:
            path: the CRL's file, PEM; None = nothing is ever revoked.
            ca: who must have signed it.

        Raises:
            IdentityError: the file cannot be used; a daemon does not start without the list it was told of.
        """
        self.generation = 0
        self._path = path
        self._ca = ca
        self._seen: tuple[int, int, int] | None = None
        self._serials: frozenset[int] = frozenset()
        if path is not None:
            self._seen = self._stamp(path)
            self._serials = self._read(path)

    def __contains__(self, serial: object) -> bool:
        return serial in self._serials

    def refresh(self) -> None:
        """Read the file again if it has changed; generation then grows by one."""
        if self._path is None:
            return
        try:
            stamp = self._stamp(self._path)
            if stamp == self._seen:
                return
            self._seen = stamp
            self._serials = self._read(self._path)
        except IdentityError as error:
            log.error("revocation list kept as it was %d changes after start: %s", self.generation, error)
            return
        self.generation += 1
        log.info("%s: %d certificates revoked", self._path, len(self._serials))

    def _stamp(self, path: Path) -> tuple[int, int, int]:
        try:
            status = path.stat()
        except OSError as error:
            raise IdentityError(f"{path}: {error.strerror}; copy crl.pem from the CA's folder") from None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _read(self, path: Path) -> frozenset[int]:
        key = self._ca.public_key()
        advice = "copy crl.pem from the CA's folder"
        try:
            crl = x509.load_pem_x509_crl(path.read_bytes())
            serials = frozenset(entry.serial_number for entry in crl)
        except OSError as error:
            raise IdentityError(f"{path}: {error.strerror}; {advice}") from None
        except ValueError:
            raise IdentityError(f"{path}: no revocation list in PEM form; {advice}") from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not crl.is_signature_valid(key):
            raise IdentityError(f"{path}: not signed by this agent's CA; {advice}")
        return serials
