"""Gateway, DnsGateway: where ZIA flows and redirected DNS queries go.

Journey: a ZIA rule may name a gateway, and its flows go by the first of that gateway's edges that is up; a DNS rule names a DNS
gateway. An edge is one of the file's zia.edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Literal, Self

from pydantic import Field, model_validator

from zcc.fields import Settings
from zcc.policy.objects.name import Description, ObjectName

__all__ = ["DnsFailure", "DnsGateway", "Gateway"]

AUTO = "AUTO"


class Gateway(Settings):
    """Internet edges in the order in which they are tried, and what happens when none can be reached."""

    name: ObjectName
    description: Description = ""
    primary: str = Field(default=AUTO, description="an edge, or AUTO for the best one")
    secondary: str | None = None
    tertiary: str | None = None
    fail: Literal["closed", "open"] = "closed"  # when none of them is up; open: DIRECT

    @property
    def edges(self) -> tuple[str, ...]:
        """Return the edges by name, in order."""
        return tuple(edge for edge in self._choices() if edge != AUTO)

    def order(self, edges: Sequence[str]) -> tuple[str, ...]:
        """Return the edges to try, in order; AUTO stands for all that the gateway does not name.

        Args:
            edges: those there are, in order of preference.
        """
        others = [edge for edge in edges if edge not in self.edges]
        tried = (edge for choice in self._choices() for edge in (others if choice == AUTO else [choice]))
        return tuple(dict.fromkeys(tried))

    def _choices(self) -> tuple[str, ...]:
        return tuple(edge for edge in (self.primary, self.secondary, self.tertiary) if edge is not None)

    @model_validator(mode="after")
    def _edges_differ(self) -> Self:
        if len(set(self.edges)) < len(self.edges):
            raise ValueError(f"gateway {self.name!r} names an edge twice; allowed: different edges")
        if self.tertiary is not None and self.secondary is None:
            raise ValueError(f"gateway {self.name!r} has a tertiary and no secondary edge; give secondary first")
        return self


class DnsFailure(StrEnum):
    """What becomes of a query when no server of a DNS gateway answers."""

    ERROR = "error"  # SERVFAIL
    ORIGINAL = "original"  # the server that was asked


class DnsGateway(Settings):
    """Servers that queries are redirected to."""

    name: ObjectName
    description: Description = ""
    primary: IPv4Address
    secondary: IPv4Address | None = None
    fail: DnsFailure = DnsFailure.ERROR
