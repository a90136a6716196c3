"""Make or renew one agent's identity: key and CSR here, certificate from the authority, files in a folder.

A folder without a key gets a new key and appears whole; a folder with one keeps it and gets a newer
certificate, so that a daemon never finds a key and a certificate that do not belong together.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from zcc.errors import AuthorityError
from zcc.pki.authority import Authority
from zcc.pki.certificate import AgentName, encode_key, new_key, request
from zcc.pki.folder import PRIVATE, PUBLIC, replace_file, write_folder

__all__ = ["issue"]


def issue(authority: Authority, role: str, name: str, out: Path, days: int) -> x509.Certificate:
    """Write certificate.pem, key.pem (mode 0600), ca.pem and crl.pem.

    Args:
        authority: who signs; its tenant becomes the agent's.
        role: one of zcc.pki.certificate.ROLES.
        name: the agent's own name.
        out: absent, empty, or the folder of an identity that is renewed.
        days: validity of the certificate.

    Raises:
        AuthorityError: the folder holds other files, cannot be written, or the request was refused.
        ValueError: role, name or days is not allowed.
    """
    agent = AgentName(authority.tenant, role, name)
    key_file = out / "key.pem"
    try:
        if not key_file.exists() and out.exists() and any(out.iterdir()):
            raise AuthorityError(f"{out}: holds files but no key.pem; choose an absent or empty folder")
        old = _read_key(key_file) if key_file.exists() else None
        key = old or new_key()
        certificate = authority.sign(request(key, agent), days)
        files = {
            "ca.pem": authority.certificate.public_bytes(serialization.Encoding.PEM),
            "crl.pem": authority.crl(),
            "certificate.pem": certificate.public_bytes(serialization.Encoding.PEM),
        }
        if old is None:
            public = {file: (data, PUBLIC) for file, data in files.items()}
            write_folder(out, {"key.pem": (encode_key(key), PRIVATE), **public})
        else:
            for file, data in files.items():
                replace_file(out / file, data)
    except OSError as error:
        raise AuthorityError(f"{out}: {error.strerror}; choose a folder that can be written") from None
    return certificate


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (TypeError, ValueError):
        raise AuthorityError(f"{path}: no unencrypted private key; move it away to get a new one") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityError(f"{path}: not a key on curve P-256; move it away to get a new one")
    return key
