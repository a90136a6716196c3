"""A tenant's CA in a fresh folder, and identities made from it as an operator would."""

from pathlib import Path

import pytest

from zcc.pki.authority import Authority
from zcc.pki.issue import issue
from zcc.pki.settings import IdentitySettings


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The CA of tenant acme."""
    return Authority.create(tmp_path / "ca", "acme")


def identity_of(authority: Authority, role: str, name: str, *, days: int = 30) -> IdentitySettings:
    """Issue an identity whose CRL is the authority's own file."""
    out = authority.folder / "agents" / role / name
    issue(authority, role, name, out, days)
    return IdentitySettings(
        certificate=out / "certificate.pem",
        key=out / "key.pem",
        ca=out / "ca.pem",
        crl=authority.folder / "crl.pem",
    )
