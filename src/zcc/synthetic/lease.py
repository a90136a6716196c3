"""A lease: the answer to "which address stands for this name" and to "whose address is this".

Made by the private edge from the ledger, carried by microtunnel messages, cached by connectors.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from pydantic import BaseModel, ConfigDict, Field

from zcc.fields import DnsName

__all__ = ["Lease"]


class Lease(BaseModel):
    """One name's address; the same for every namespace and connector of the tenant."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: DnsName
    address: IPv4Address = Field(description="address of the pool")
    application: str = Field(description="application that covers the name, by the edge's configuration")
    ttl: int = Field(ge=0, description="seconds after which the holder asks again; asking is what keeps it")
