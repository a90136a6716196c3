"""The lab's certificates: the tenant's CA and its agents, a stranger's, and the CA of the internet's web
server.

Agents' identities come from zcc.pki as in production; the web server's come straight from cryptography, as a
public CA's would. Called by deployment.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from zcc.lab.configuration import ROLES
from zcc.lab.topology import NAMES
from zcc.pki.authority import Authority
from zcc.pki.issue import issue

TENANT = "lab"
_DAYS = 2


def issue_agents(folder: Path, identities: Path) -> None:
    """Make the tenant's CA and an identity for every daemon; and two strangers for the scenarios.

    Args:
        folder: where the CA lives.
        identities: one directory per agent below; `stranger` is of another CA, `mistaken` of ours but in the
            wrong role.
    """
    authority = Authority.create(folder / "ca", TENANT)
    for name, role in ROLES.items():
        if role != "gwlb":
            issue(authority, role, name, identities / name, _DAYS)
    issue(authority, "internet-edge", "mistaken", identities / "mistaken", _DAYS)
    other = Authority.create(folder / "other-ca", TENANT)
    issue(other, "connector", "cc-1", identities / "stranger", _DAYS)


def issue_web(folder: Path) -> None:
    """Make web-ca.pem, web.pem and web-key.pem: a CA that curl is told to trust, and the web server's
    certificate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "zcc lab's web CA")])
    ca = (
        _begin(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES])
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, next(iter(NAMES)))])
    certificate = (
        _begin(own_name, ca_name, key.public_key())
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "web-ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "web.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "web-key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _begin(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_DAYS))
    )
