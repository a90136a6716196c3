"""How long flows without packets are kept: the `idle:` part of every role that has a flow table.

Pure settings; the names are those of fastpath's timeout classes in lower case.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from zcc.fields import Duration, Settings

__all__ = ["IdleSettings"]

SHORTEST = timedelta(milliseconds=100)


class IdleSettings(Settings):
    """Longer than GWLB's 350 s and 120 s, so that our flows outlive its."""

    tcp: Duration = Field(default=timedelta(seconds=400), description="established")
    tcp_opening: Duration = Field(default=timedelta(seconds=30), description="no answer seen yet")
    tcp_closing: Duration = Field(default=timedelta(seconds=5), description="both ends finished, or a reset")
    udp: Duration = timedelta(seconds=130)
    icmp: Duration = timedelta(seconds=30)
    other: Duration = Field(default=timedelta(seconds=130), description="any other protocol")

    @model_validator(mode="after")
    def _none_is_zero(self) -> Self:
        for name in type(self).model_fields:
            if getattr(self, name) < SHORTEST:
                raise ValueError(f"{name} must be 100ms or more")
        return self
