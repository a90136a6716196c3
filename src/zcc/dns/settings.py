"""Settings of the connector's DNS: the `dns:` part of its file."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from zcc.fields import Duration, HostPort, Settings


def _whole_seconds(value: timedelta) -> timedelta:
    if value.microseconds or not 0 <= value.total_seconds() <= 0x7FFF_FFFF:
        raise ValueError("must be whole seconds, 0s to 2147483647s: a TTL has no fractions (RFC 2181 §8)")
    return value


Ttl = Annotated[Duration, AfterValidator(_whole_seconds)]


class DnsListenSettings(Settings):
    """Where clients may ask the connector directly, over UDP and TCP, beside what GWLB brings."""

    address: HostPort = Field(description="IPv4 address and port, such as 10.1.200.11:53")
    namespace: str = Field(default="", description="of every client; empty: the first of the file")
    location: str = Field(default="", description="likewise")
    gateway: str | None = Field(
        default=None, description="one of dns_gateways, for what no rule redirects; without one that is REFUSED"
    )

    @model_validator(mode="after")
    def _is_ipv4(self) -> Self:
        if self.address.address.version != 4:
            raise ValueError(f"address {self.address} is not IPv4; allowed: an IPv4 address and a port")
        return self


class DnsSettings(Settings):
    """Times of answers given and learned, and a listener."""

    ttl: Ttl = Field(default=timedelta(seconds=60), description="of synthetic answers and of denials")
    learn_floor: Ttl = Field(
        default=timedelta(seconds=60), description="a learned address is kept at least this long"
    )
    learn_ceiling: Ttl = Field(
        default=timedelta(hours=24), description="a learned address is kept at most this long"
    )

    questions_per_source: int = Field(
        default=250, ge=0, le=1_000_000,
        description="a second, and at once, that one address may put to the control plane: queries which the data plane "
        "cannot answer, packets to synthetic addresses that it does not know; 0: no bound",
    )
    listen: DnsListenSettings | None = None

    @model_validator(mode="after")
    def _floor_below_ceiling(self) -> Self:
        if self.learn_floor > self.learn_ceiling:
            raise ValueError("learn_floor must not be above learn_ceiling")
        return self
