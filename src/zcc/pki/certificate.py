"""An agent's certificate: the name inside it, the profile that it is signed with, and our own from disk.

    URI SAN (the only one)   zcc://<tenant>/<role>/<name>
    key                      EC P-256, made on the machine that uses it
    key usage                digitalSignature; serverAuth and clientAuth, since an edge is both at times

Source: RFC 5280 §4.2 (extensions), RFC 3986 §3 (URI). Who may be talked to is decided in zcc.pki.peer.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from zcc.errors import IdentityError
from zcc.pki.settings import IdentitySettings

__all__ = [
    "ROLES",
    "AgentName",
    "Identity",
    "agent_name",
    "encode_key",
    "load_identity",
    "new_key",
    "request",
    "sign",
]

ROLES = ("connector", "private-edge", "app-connector", "internet-edge", "portal")
# The common name of RFC 5280 appendix A holds 64 characters at most.
TENANT = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
URI = re.compile(r"zcc://([^/]+)/([^/]+)/([^/]+)")
# Clocks of fresh machines lag; a certificate from the future would be refused.
CLOCK_SKEW = timedelta(minutes=5)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AgentName:
    """Who an agent is: the tenant it belongs to, its role, and its own name within the role."""

    tenant: str
    role: str
    name: str

    def __post_init__(self) -> None:
        if not TENANT.fullmatch(self.tenant):
            raise ValueError(f"tenant: {self.tenant!r}; allowed: lower-case letters, digits, . -, at most 63")
        if self.role not in ROLES:
            raise ValueError(f"role: {self.role!r}; allowed: {', '.join(ROLES)}")
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r}; allowed: letters, digits, . _ and -, at most 64")

    def __str__(self) -> str:
        return f"zcc://{self.tenant}/{self.role}/{self.name}"

    @classmethod
    def parse(cls, uri: str) -> AgentName:
        """Read the URI form.

        Raises:
            ValueError: another scheme or shape, or a part with characters that are not allowed.
        """
        match = URI.fullmatch(uri)
        if match is None:
            raise ValueError(f"uri: {uri!r} is not zcc://tenant/role/name")
        return cls(*match.groups())


@dataclass(frozen=True, slots=True)
class Identity:
    """Our own certificate, checked against our key and our CA."""

    agent: AgentName
    certificate: x509.Certificate
    ca: x509.Certificate


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a private key on curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key as unencrypted PKCS#8 PEM; the file's permissions protect it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def request(key: ec.EllipticCurvePrivateKey, agent: AgentName) -> x509.CertificateSigningRequest:
    """Make the CSR by which an agent asks for its certificate; the key itself stays where it is.

    Source: RFC 2986, with the subjectAltName extension request of RFC 2985 §5.4.2.
    """
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(agent))])
    builder = x509.CertificateSigningRequestBuilder(subject_name=_subject(agent))
    return builder.add_extension(san, critical=False).sign(key, hashes.SHA256())


def sign(
    csr: x509.CertificateSigningRequest,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    days: int,
) -> x509.Certificate:
    """Sign a CSR with the agents' profile; only its public key and the agent's name are taken over.

    Args:
        csr: the request; its signature proves that the asker holds the key.
        ca: the issuer's certificate, on curve P-256.
        ca_key: the issuer's key.
        now: the moment of issue, aware of its time zone.
        days: how long it is valid; cut at the CA's own end.

    Raises:
        ValueError: the CSR's signature is wrong, its key is not P-256, or it does not name one agent.
    """
    key = csr.public_key()
    if not csr.is_signature_valid:
        raise ValueError("csr: its signature does not fit its key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("csr: the key is not on curve P-256")
    agent = agent_name(csr)
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(agent))])
    ca_ski = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder(issuer_name=ca.subject, subject_name=_subject(agent), public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(min(now + timedelta(days=days), ca.not_valid_after_utc))
        .add_extension(san, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_ski), critical=False)
    )
    return builder.sign(ca_key, hashes.SHA256())


def key_usage(**used: bool) -> x509.KeyUsage:
    """Return the key usage extension with the named bits set and all others clear."""
    bits = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False,
    )
    return x509.KeyUsage(**{**bits, **used})


def agent_name(signed: x509.Certificate | x509.CertificateSigningRequest) -> AgentName:
    """Return the agent that a certificate or CSR names.

    Raises:
        ValueError: not exactly one URI name, or not a zcc:// one, or its extensions are unreadable.
    """
    try:
        san = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ValueError("certificate: it has no subject alternative name") from None
    uris = san.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise ValueError(f"certificate: it has {len(uris)} URI names where exactly one is allowed")
    return AgentName.parse(uris[0])


def load_identity(settings: IdentitySettings, now: datetime) -> Identity:
    """Read our certificate, key and CA, and check that they fit together and are in date.

    Raises:
        IdentityError: naming the file and the command that helps.
    """
    certificate = _read_certificate(settings.certificate)
    ca = _read_certificate(settings.ca)
    key = _read_key(settings.key)
    again = "get a new one with: zcc pki issue"
    try:
        agent = agent_name(certificate)
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError) as error:
        raise IdentityError(f"{settings.certificate}: {error}; {again}") from None
    except InvalidSignature:
        raise IdentityError(f"{settings.certificate}: not signed by {settings.ca}; {again}") from None
    if key.public_key() != certificate.public_key():
        raise IdentityError(f"{settings.key}: not the key of {settings.certificate}; {again}")
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        raise IdentityError(f"{settings.certificate}: valid from {since} to {until}, not now; "
                            f"check the clock, or {again}")
    return Identity(agent, certificate, ca)


def _subject(agent: AgentName) -> x509.Name:
    return x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, agent.tenant),
        x509.NameAttribute(NameOID.COMMON_NAME, agent.name),
    ])


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise IdentityError(f"{path}: {error.strerror}; write it with: zcc pki issue") from None
    except ValueError:
        raise IdentityError(f"{path}: no certificate in PEM form; write it with: zcc pki issue") from None


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if path.stat().st_mode & 0o077:
            log.warning("%s can be read by others than its owner; run: chmod 600 %s", path, path)
    except OSError as error:
        raise IdentityError(f"{path}: {error.strerror}; write it with: zcc pki issue") from None
    except (ValueError, TypeError):
        raise IdentityError(f"{path}: no unencrypted private key in PEM form") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"{path}: not a key on curve P-256; make one with: zcc pki issue")
    return key
