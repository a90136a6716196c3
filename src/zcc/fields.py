"""The types that configuration fields end up as, each parsed once from what a person writes.

    Duration     "250ms" "10s" "5m" "1h" or a number of seconds   → datetime.timedelta
    HostPort     "10.0.0.1:443" "[::1]:443"                       → HostPort(address, port)
    EndpointId   "vpce-0" and 16 hexadecimal digits               → int
    DnsName      "Portal.Corp.Example."                           → "portal.corp.example" (A-labels)
    DnsPattern   a DnsName, or "*." and a DnsName                 → str
    PortRange    443 or "1024-65535"                              → PortRange(low, high)

Every component's settings derive from Settings: frozen, unknown fields refused. Only zcc.config reads files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "DEFAULT_POOL",
    "GWLB_PAYLOAD",
    "DnsName",
    "DnsPattern",
    "Duration",
    "EndpointId",
    "HostPort",
    "PortRange",
    "Settings",
    "format_duration",
    "format_endpoint_id",
    "parse_dns_name",
    "parse_dns_pattern",
    "parse_duration",
    "parse_endpoint_id",
]

DEFAULT_POOL = "default"  # of synthetic addresses, where nothing else is said
GWLB_PAYLOAD = 8500  # bytes of the largest IP packet that GWLB carries, either way; it drops larger ones and says nothing
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
ENDPOINT_ID = re.compile(r"vpce-(0[0-9a-f]{16})")
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# RFC 1035 §2.3.4: 255 octets on the wire, which is 253 characters without the trailing dot.
NAME_LIMIT = 253
PORT_LIMIT = 65_535
# The Geneve option carries 64 bits, so the first of the 17 digits is always 0.
ENDPOINT_BITS = 64


class Settings(BaseModel):
    """Base of every component's settings: final types, frozen, no field that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def parse_duration(value: object) -> timedelta:
    """Read a duration: digits with ms, s, m or h, or a plain number of seconds.

    Raises:
        ValueError: neither of those, or negative.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**9:
        return timedelta(seconds=value)
    match = DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is no duration; allowed: 250ms, 10s, 5m, 1h or seconds as a number")
    try:
        return timedelta(seconds=float(match[1]) * SECONDS[match[2]])
    except OverflowError:
        raise ValueError(f"{value!r} is longer than a duration can be") from None


def format_duration(value: timedelta) -> str:
    """Print a duration in the largest unit that divides it, as parse_duration reads it."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({
        "anyOf": [
            {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h)$"},
            {"type": "number", "minimum": 0},
        ],
        "description": "a duration: 250ms, 10s, 5m, 1h, or seconds as a number",
    }),
]


def parse_endpoint_id(value: object) -> int:
    """Read the id of a GWLB endpoint, as AWS prints it.

    Raises:
        ValueError: not "vpce-0" and 16 more lower-case hexadecimal digits.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << ENDPOINT_BITS:
        return value
    match = ENDPOINT_ID.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is no endpoint id; allowed: vpce-0 and 16 more digits, 0-9 a-f")
    return int(match[1], 16)


def format_endpoint_id(value: int) -> str:
    """Print an endpoint id as AWS does."""
    return f"vpce-{value:017x}"


EndpointId = Annotated[
    int,
    BeforeValidator(parse_endpoint_id),
    PlainSerializer(format_endpoint_id, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^vpce-0[0-9a-f]{16}$"}),
]


def parse_dns_name(value: object) -> str:
    """Bring a domain name to the form all tables use: A-labels, lower case, no trailing dot.

    Raises:
        ValueError: not a string, a label is empty, too long or has other characters, or the name is too long.
    Source: RFC 1035 §2.3.1 and §2.3.4 with the underscore of RFC 8552; A-labels by RFC 3490 §4.1.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no domain name; a name is written as text")
    labels = value.strip().removesuffix(".").split(".")
    name = ".".join(_a_label(label, value) for label in labels)
    if len(name) > NAME_LIMIT:
        raise ValueError(f"{value!r} is longer than {NAME_LIMIT} characters")
    return name


def _a_label(label: str, name: str) -> str:
    try:
        encoded = label.lower() if label.isascii() else label.encode("idna").decode("ascii")
    except UnicodeError:
        encoded = ""
    if not LABEL.fullmatch(encoded):
        raise ValueError(f"{name!r} is no domain name; allowed: labels of 1 to 63 letters, digits, - or _, "
                         "separated by dots")
    return encoded


def parse_dns_pattern(value: object) -> str:
    """Read a domain name, or "*." and a name that stands for every name below it.

    Raises:
        ValueError: anything else; a * elsewhere is not a pattern.
    """
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.startswith("*."):
        text = text[2:]
        if "*" not in text:
            return "*." + parse_dns_name(text)
    if isinstance(text, str) and "*" in text:
        nearest = text.rpartition("*")[2].strip(".")
        hint = f"; did you mean *.{nearest}?" if nearest else ""
        raise ValueError(f"{value!r} is no domain name or pattern; allowed: a * only as the first label, as in "
                         f"*.example.com, which means every name below it{hint}")  # fmt: skip
    return parse_dns_name(text)


def _named(parse: Callable[[object], str], description: str) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(parse), WithJsonSchema({"type": "string", "description": description})


DnsName = Annotated[str, *_named(parse_dns_name, "a domain name")]
DnsPattern = Annotated[str, *_named(parse_dns_pattern, "a domain name, or *. and a domain name")]


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports from low to high, both included."""

    low: int
    high: int

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.low <= port <= self.high

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"

    @classmethod
    def parse(cls, value: object) -> PortRange:
        """Read 443, "443" or "1024-65535".

        Raises:
            ValueError: not a port or range, outside 0-65535, or the wrong way round.
        """
        if isinstance(value, PortRange):
            return value
        text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
        match = re.fullmatch(r"(\d{1,5})(?:\s*-\s*(\d{1,5}))?", text, re.ASCII)
        if match is None:
            raise ValueError(f"{value!r} is no port; allowed: 0-{PORT_LIMIT} or a range as 1024-{PORT_LIMIT}")
        low, high = int(match[1]), int(match[2] or match[1])
        if not low <= high <= PORT_LIMIT:
            raise ValueError(f"{value!r} is no port range; allowed: low-high, high at most {PORT_LIMIT}")
        return cls(low, high)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _parsed_schema(cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        port = {"type": "integer", "minimum": 0, "maximum": PORT_LIMIT}
        return {"anyOf": [port, {"type": "string", "pattern": r"^\d{1,5}(-\d{1,5})?$"}]}


@dataclass(frozen=True, slots=True)
class HostPort:
    """A socket's address: a literal IP address and a port."""

    address: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"

    @classmethod
    def parse(cls, value: object) -> HostPort:
        """Read "10.0.0.1:443" or "[::1]:443".

        Raises:
            ValueError: no port, a host name instead of an address, or IPv6 without brackets.
        """
        if isinstance(value, HostPort):
            return value
        wrong = f"{value!r} is no address with port; allowed: 10.0.0.1:443 or [2001:db8::1]:443"
        host, colon, port = value.strip().rpartition(":") if isinstance(value, str) else ("", "", "")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > PORT_LIMIT:
            raise ValueError(wrong)
        try:
            address = ip_address(host[1:-1] if bracketed else host)
        except ValueError:
            raise ValueError(wrong) from None
        if bracketed != (address.version == 6):
            raise ValueError(wrong)
        return cls(address, int(port))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _parsed_schema(cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "description": "IP address and port: 10.0.0.1:443 or [2001:db8::1]:443"}


def _parsed_schema(parse: Callable[[object], object]) -> CoreSchema:
    printed = core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema(),
                                                               when_used="json")
    return core_schema.no_info_plain_validator_function(parse, serialization=printed)
