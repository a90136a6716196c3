"""The tenant's CA: a folder that an operator owns, off the agents' machines.

    ca.pem        its certificate (P-256, path length 0)       every agent gets a copy
    ca-key.pem    its key, mode 0600                           never leaves the folder
    crl.pem       the revocation list, made from index.json    every agent gets a copy
    index.json    every certificate ever signed, and when it was revoked

Each file is replaced whole, and the index before what is made from it: after a crash the same command, given
again, completes the work. One process at a time changes a folder (locked). Source: RFC 5280 §4 and §5.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from zcc.clock import Clock, SystemClock
from zcc.errors import AuthorityError
from zcc.pki.certificate import CLOCK_SKEW, AgentName, agent_name, encode_key, key_usage, new_key, sign
from zcc.pki.folder import PRIVATE, PUBLIC, locked, replace_file, write_folder

__all__ = ["Authority", "Entry"]

Change = Callable[[list["Entry"]], list["Entry"]]
CA_DAYS = 3650


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One certificate in the index; times are ISO 8601 in UTC, revoked is empty while it is good."""

    serial: str
    role: str
    name: str
    issued: str
    expires: str
    revoked: str = ""


class Authority:
    """Signs and revokes. One process at a time; not for use inside a daemon."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        """Open a CA's folder.

        Raises:
            AuthorityError: no CA there, or its files do not fit together.
        """
        self.folder = folder
        self._clock = clock or SystemClock()
        try:
            self.certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
            key = serialization.load_pem_private_key((folder / "ca-key.pem").read_bytes(), password=None)
            self.tenant, _ = self._read_index()
        except OSError as error:
            raise AuthorityError(f"{folder}: no CA here ({error}); make one with: zcc pki init") from None
        except (KeyError, TypeError, ValueError) as error:
            raise AuthorityError(f"{folder}: damaged ({error}); restore it from your backup") from None
        public = self.certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != public:
            raise AuthorityError(f"{folder}: ca-key.pem is not the key of ca.pem; restore the folder")
        self._key = key

    @classmethod
    def create(cls, folder: Path, tenant: str, clock: Clock | None = None) -> Authority:
        """Make a new CA; the folder appears whole or not at all.

        Args:
            folder: absent or empty.
            tenant: the organisation all agents of this CA belong to.

        Raises:
            AuthorityError: the folder holds files, or cannot be written.
            ValueError: tenant has characters that a certificate's URI cannot hold.
        """
        AgentName(tenant, "portal", "any")
        clock = clock or SystemClock()
        now = datetime.fromtimestamp(clock.time(), UTC)
        key = new_key()
        certificate = _sign_ca(tenant, key, now)
        index = {"tenant": tenant, "crl_number": 1, "certificates": []}
        files = {
            "ca.pem": (certificate.public_bytes(serialization.Encoding.PEM), PUBLIC),
            "ca-key.pem": (encode_key(key), PRIVATE),
            "crl.pem": (_sign_crl(certificate, key, [], 1, now), PUBLIC),
            "index.json": (_encode_index(index), PRIVATE),
        }
        try:
            write_folder(folder, files)
        except OSError as error:
            raise AuthorityError(f"{folder}: {error.strerror}; choose an absent or empty folder") from None
        return cls(folder, clock)

    def sign(self, csr: x509.CertificateSigningRequest, days: int) -> x509.Certificate:
        """Sign an agent's CSR; the index knows the certificate before anybody else does.

        Args:
            csr: names the agent; must be of this CA's tenant.
            days: validity, 1 or more.

        Raises:
            AuthorityError: another tenant, a CSR that cannot be signed, or a folder that cannot be written.
            ValueError: days is less than 1.
        """
        if days < 1:
            raise ValueError(f"days: {days}; a certificate is valid for at least 1")
        now = self._now()
        try:
            agent = agent_name(csr)
            if agent.tenant != self.tenant:
                raise ValueError(f"it asks for {agent}, this CA belongs to tenant {self.tenant}")
            certificate = sign(csr, self.certificate, self._key, now, days)
        except ValueError as error:
            raise AuthorityError(f"CSR refused: {error}") from None
        expires = _iso(certificate.not_valid_after_utc)
        entry = Entry(f"{certificate.serial_number:x}", agent.role, agent.name, _iso(now), expires)
        self._change(lambda entries: [*entries, entry])
        return certificate

    def revoke(self, which: str) -> list[Entry]:
        """Revoke by serial number, by NAME or by ROLE/NAME, and write a new revocation list.

        Revoking again is no error: the list is written again, which completes an interrupted command.

        Returns:
            The entries that stand revoked because of this name or serial.

        Raises:
            AuthorityError: nothing matches, or the name exists in several roles.
        """
        now = _iso(self._now())
        chosen = {entry.serial for entry in self._matching(which)}

        def mark(entries: list[Entry]) -> list[Entry]:
            return [
                dataclasses.replace(entry, revoked=entry.revoked or now) if entry.serial in chosen else entry
                for entry in entries
            ]

        return [entry for entry in self._change(mark) if entry.serial in chosen]

    def entries(self) -> list[Entry]:
        """Return every certificate ever signed, oldest first."""
        try:
            return self._read_index()[1]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise AuthorityError(f"{self.folder}/index.json: {error}; restore it from your backup") from None

    def crl(self) -> bytes:
        """Return the current revocation list, PEM."""
        return (self.folder / "crl.pem").read_bytes()

    def _matching(self, which: str) -> list[Entry]:
        role, slash, name = which.rpartition("/")
        found = [
            entry
            for entry in self.entries()
            if entry.serial == which.lower() or (entry.name == name and (not slash or entry.role == role))
        ]
        roles = sorted({entry.role for entry in found})
        if not found:
            raise AuthorityError(f"{which}: no such certificate; list them with: zcc pki list {self.folder}")
        if len(roles) > 1:
            choices = " or ".join(f"{role}/{name}" for role in roles)
            raise AuthorityError(f"{which}: several roles have this name; say {choices}")
        return found

    def _change(self, change: Change) -> list[Entry]:
        try:
            with locked(self.folder):
                index = json.loads((self.folder / "index.json").read_bytes())
                entries = change([Entry(**entry) for entry in index["certificates"]])
                number = index["crl_number"] + 1
                listed = [dataclasses.asdict(entry) for entry in entries]
                index |= {"crl_number": number, "certificates": listed}
                replace_file(self.folder / "index.json", _encode_index(index), PRIVATE)
                crl = _sign_crl(self.certificate, self._key, entries, number, self._now())
                replace_file(self.folder / "crl.pem", crl)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise AuthorityError(f"{self.folder}: {error}; repair it, then give the command again") from None
        return entries

    def _read_index(self) -> tuple[str, list[Entry]]:
        index = json.loads((self.folder / "index.json").read_bytes())
        return str(index["tenant"]), [Entry(**entry) for entry in index["certificates"]]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)


def _sign_ca(tenant: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, tenant),
        x509.NameAttribute(NameOID.COMMON_NAME, "zcc CA"),
    ])
    public = key.public_key()
    ski = x509.SubjectKeyIdentifier.from_public_key(public)
    return (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(ski, critical=False)
        .sign(key, hashes.SHA256())
    )


def _sign_crl(
    ca: x509.Certificate, key: ec.EllipticCurvePrivateKey, entries: list[Entry], number: int, now: datetime
) -> bytes:
    # nextUpdate is the CA's own end: the list is replaced when it changes, not by the calendar.
    ski = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder(issuer_name=ca.subject)
        .last_update(now - CLOCK_SKEW)
        .next_update(ca.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)
    )
    for entry in entries:
        if entry.revoked:
            revoked = x509.RevokedCertificateBuilder(
                serial_number=int(entry.serial, 16), revocation_date=datetime.fromisoformat(entry.revoked)
            )
            builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _encode_index(index: dict[str, object]) -> bytes:
    return (json.dumps(index, indent=1) + "\n").encode()


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
