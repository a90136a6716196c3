"""Identities for tests, made by zcc.pki as an operator makes them; one CA a folder."""

from pathlib import Path

from zcc.pki.authority import Authority
from zcc.pki.issue import issue
from zcc.pki.settings import IdentitySettings


def authority(folder: Path, tenant: str = "acme") -> Authority:
    """Make the CA of a tenant."""
    return Authority.create(folder, tenant)


def identity(signer: Authority, role: str, name: str) -> IdentitySettings:
    """Issue an identity; its revocation list is the authority's own file."""
    out = signer.folder / "agents" / role / name
    issue(signer, role, name, out, 30)
    return IdentitySettings(certificate=out / "certificate.pem", key=out / "key.pem", ca=out / "ca.pem",
                            crl=signer.folder / "crl.pem")
