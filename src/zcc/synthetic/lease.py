"""A lease: the answer to "which address stands for this name" and to "whose address is this".

Made by the private edge from the ledger, carried by microtunnel messages, cached by connectors.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from zcc.fields import DnsName
from zcc.synthetic.pool import DEFAULT_POOL

__all__ = ["Lease", "Tombstone"]


class Lease(BaseModel):
    """One name's address in one pool; the same for every namespace and connector of the tenant."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: DnsName
    address: IPv4Address = Field(description="address of the pool")
    application: str = Field(description="application that covers the name, by the edge's configuration")
    ttl: int = Field(ge=0, description="seconds after which the holder asks again; asking is what keeps it")
    pool: str = Field(default=DEFAULT_POOL, max_length=255, description="that the address is of")
    keeps: int = Field(default=8 * 86_400, ge=0, description="seconds in which no other name gets the address")


class Tombstone(NamedTuple):
    """An address that is nobody's any more."""

    name: str  # that it stood for last
    released: float | None  # seconds since 1970; None = the edge did not say
