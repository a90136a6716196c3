"""Namespace: one customer or environment whose addresses are its own.

Journey: endpoints and workloads name theirs; sublocations may be told apart by it. Its number is on the internet tunnel.
"""

from __future__ import annotations

from pydantic import Field

from zcc.fields import Settings
from zcc.policy.objects.name import ObjectName

__all__ = ["Namespace"]


class Namespace(Settings):
    """Whose an address is: two workloads with the same address in different namespaces never meet."""

    name: ObjectName
    id: int = Field(ge=1, le=65_000, description="VNI on the internet tunnel; the same on all connectors")
