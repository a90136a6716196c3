"""Where an agent finds its own identity and the CA that it trusts."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from zcc.fields import Settings

__all__ = ["IdentitySettings"]


class IdentitySettings(Settings):
    """Paths of PEM files, as `zcc pki issue` writes them; read when contexts are made, the CRL also later."""

    certificate: Path = Field(description="this agent's certificate, PEM")
    key: Path = Field(description="its private key, PEM, readable by the daemon only")
    ca: Path = Field(description="the tenant's CA certificate, PEM")
    crl: Path | None = Field(default=None, description="the CA's revocation list, PEM; read again on change")
