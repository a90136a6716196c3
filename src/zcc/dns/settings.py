"""Settings of the connector's DNS: the `dns:` part of its file."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from zcc.fields import Duration, Settings


def _whole_seconds(value: timedelta) -> timedelta:
    if value.microseconds or not 0 <= value.total_seconds() <= 0x7FFF_FFFF:
        raise ValueError("must be whole seconds, 0s to 2147483647s: a TTL has no fractions (RFC 2181 §8)")
    return value


Ttl = Annotated[Duration, AfterValidator(_whole_seconds)]


class DnsSettings(Settings):
    """Times of answers given and learned."""

    ttl: Ttl = Field(default=timedelta(seconds=60), description="of synthetic answers and of denials")
    learn_floor: Ttl = Field(
        default=timedelta(seconds=60), description="a learned address is kept at least this long"
    )
    learn_ceiling: Ttl = Field(
        default=timedelta(hours=24), description="a learned address is kept at most this long"
    )

    @model_validator(mode="after")
    def _floor_below_ceiling(self) -> Self:
        if self.learn_floor > self.learn_ceiling:
            raise ValueError("learn_floor must not be above learn_ceiling")
        return self
