"""Endpoint: a GWLB endpoint, by which the connector knows whose a packet is.

Journey: the header of every packet from GWLB names it. It has one namespace and one location; its VPC and account tell
sublocations apart.
"""

from __future__ import annotations

from pydantic import Field

from zcc.fields import EndpointId, Settings

__all__ = ["Endpoint"]


class Endpoint(Settings):
    """Where a packet's namespace and location come from."""

    id: EndpointId
    namespace: str = Field(description="name of one of the namespaces")
    location: str = Field(description="one of the locations")
    vpc: str | None = Field(default=None, description="the VPC that it is in, as sublocations name it")
    account: str | None = Field(default=None, description="the account that owns the VPC")
