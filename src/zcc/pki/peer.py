"""The last step of every handshake: may this certificate talk to us?

The TLS library has proved the key and the chain; here the chain is checked once more, then the tenant, the
role and the revocation list. Until verify() has returned, no byte of the peer is used. One thread at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from zcc.clock import Clock, SystemClock
from zcc.errors import PeerRefused
from zcc.pki.certificate import agent_name, load_identity
from zcc.pki.revocation import RevocationList
from zcc.pki.settings import IdentitySettings

__all__ = ["Peer", "PeerCheck", "PeerRefused"]


@dataclass(frozen=True, slots=True)
class Peer:
    """A verified peer."""

    tenant: str
    role: str
    name: str
    serial: int

    def __str__(self) -> str:
        return f"{self.role}/{self.name}"


class PeerCheck:
    """Decides about peers, by our own tenant, our CA and its revocation list."""

    def __init__(self, identity: IdentitySettings, clock: Clock | None = None) -> None:
        """Read our identity and the revocation list.

        Raises:
            IdentityError: one of the files cannot be used.
        """
        self._clock = clock or SystemClock()
        own = load_identity(identity, self._now())
        self.agent = own.agent
        self._ca = own.ca
        self._revoked = RevocationList(identity.crl, own.ca)

    def verify(self, der: bytes, *roles: str) -> Peer:
        """Return who the peer is.

        Args:
            der: the peer's end certificate as the handshake gave it; any bytes are safe.
            *roles: roles that may be at the other end of this connection.

        Raises:
            PeerRefused: unreadable, not signed by our CA, out of date, not exactly one URI name, another
                tenant, a role that is not among roles, or revoked.
        """
        try:
            certificate = x509.load_der_x509_certificate(der)
            certificate.verify_directly_issued_by(self._ca)
            agent = agent_name(certificate)
        except InvalidSignature:
            raise PeerRefused("peer refused: its certificate is not signed by this tenant's CA") from None
        except (ValueError, TypeError) as error:
            raise PeerRefused(f"peer refused: {error}") from None
        if not certificate.not_valid_before_utc <= self._now() <= certificate.not_valid_after_utc:
            raise PeerRefused(f"{agent} refused: certificate out of date; renew it, or set the clock")
        if agent.tenant != self.agent.tenant:
            raise PeerRefused(f"{agent} refused: we belong to tenant {self.agent.tenant}")
        if agent.role not in roles:
            raise PeerRefused(f"{agent} refused: here only {' or '.join(roles)} may connect")
        self._revoked.refresh()
        if certificate.serial_number in self._revoked:
            raise PeerRefused(f"{agent} refused: certificate {certificate.serial_number:x} is revoked")
        return Peer(agent.tenant, agent.role, agent.name, certificate.serial_number)

    @property
    def generation(self) -> int:
        """Count of changes of the revocation list since the start."""
        return self._revoked.generation

    def changed_since(self, generation: int) -> bool:
        """Look at the revocation list's file; return whether it is newer than that generation.

        A daemon that asks now and then and closes the sessions for which revoked() holds acts on a revocation
        without waiting for the peer's next handshake.
        """
        self._revoked.refresh()
        return self._revoked.generation != generation

    def revoked(self, peer: Peer) -> bool:
        """Return whether a peer verified earlier has been revoked since, as far as the list was read."""
        return peer.serial in self._revoked

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)
