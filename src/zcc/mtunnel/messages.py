"""What the ends of a microtunnel say to each other: JSON behind a 32-bit length.

Journey: the first stream of a connection carries control messages; every other stream begins with one
OpenRequest and one OpenReply and then carries bytes, or datagrams behind 16-bit lengths. control and client
send and read them. Pure; decode is total: any bytes give a message or BadMessage.

    agent ─▶ edge   hello                     edge ─▶ agent   welcome | error
    agent ─▶ edge   resolve, who-is (id)      edge ─▶ agent   resolved | error (same id)
    agent ─▶ edge   in-use                    edge ─▶ agent   pools
    connector ─▶ edge ─▶ the others of its group   learned (noted comes back), claimed
    app connector ─▶ edge   register, status  edge ─▶ agent   registered | error

Unknown fields are ignored, so that a newer peer may say more.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from zcc.fields import DnsName
from zcc.synthetic.lease import Lease
from zcc.synthetic.pool import DEFAULT_POOL

__all__ = [
    "LENGTH_BYTES",
    "MESSAGE_LIMIT",
    "BadMessage",
    "Claimed",
    "Control",
    "Failure",
    "Hello",
    "InUse",
    "Learned",
    "Lease",
    "Message",
    "Noted",
    "OpenReply",
    "OpenRequest",
    "Pools",
    "PoolsOf",
    "Register",
    "Registered",
    "Resolve",
    "Resolved",
    "SourceIdentity",
    "Status",
    "Welcome",
    "WhoIs",
    "decode_control",
    "decode_open_reply",
    "decode_open_request",
    "encode",
]

LENGTH_BYTES = 4
# A hello with a few hundred namespaces is some 10 KiB; nothing else comes near.
MESSAGE_LIMIT = 64 * 1024
IN_USE_LIMIT = 2048  # addresses of one message, some 38 KiB
LEAVING_LIMIT = 512  # networks, of an edge whose pools have changed
ADDRESSES_LIMIT = 256  # of one answer; a DNS message over UDP has room for fewer

Name = Annotated[str, Field(max_length=255)]
RequestId = Annotated[int, Field(ge=0, lt=1 << 53)]  # exact in every JSON implementation


M = TypeVar("M", bound="Message")


class BadMessage(ValueError):
    """The peer's bytes are no such message; the stream or connection that carried them is closed."""


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Hello(Message):
    """First word of an agent; what it claims is checked against its certificate."""

    type: Literal["hello"] = "hello"
    version: int = 1
    name: Name
    group: Name = ""
    software: Name = ""
    claims: bool = False  # whether it takes claimed
    pools: bool = False  # whether it takes pools


class PoolsOf(Message):
    """Which addresses are synthetic at an edge, and how often it wants to hear of their use."""

    pool: IPv4Network  # of the name default
    pools: Annotated[tuple[tuple[Name, IPv4Network], ...], Field(max_length=255)] = ()  # the others, by name
    leaving: Annotated[tuple[IPv4Network, ...], Field(max_length=LEAVING_LIMIT)] = ()  # of no pool any more, with names still
    report_s: Annotated[float, Field(ge=0, le=3600)] = 0.0  # how often to say which addresses are in use; 0 = never


class Welcome(PoolsOf):
    """The edge takes the agent."""

    type: Literal["welcome"] = "welcome"
    edge: Name
    claims: bool = False  # whether it takes claimed


class Pools(PoolsOf):
    """The edge has other pools now."""

    type: Literal["pools"] = "pools"


class Resolve(Message):
    """Which address of a pool stands for a name, asked on behalf of a namespace."""

    type: Literal["resolve"] = "resolve"
    id: RequestId
    namespace: Name
    name: DnsName
    pool: Name = DEFAULT_POOL


class WhoIs(Message):
    """Whose address is this; for an answer that another connector gave."""

    type: Literal["who-is"] = "who-is"
    id: RequestId
    address: IPv4Address


class Resolved(Message):
    """Answer to resolve and who-is; no lease = no application's name, or nobody's address."""

    type: Literal["resolved"] = "resolved"
    id: RequestId
    lease: Lease | None = None
    former: Name = ""  # who-is without a lease: the last name that the address stood for
    released: float | None = None  # valid iff former: when it lost the address, seconds since 1970


class InUse(Message):
    """Synthetic addresses that live flows of a connector go to. No more is said of a flow, and nothing is answered."""

    type: Literal["in-use"] = "in-use"
    addresses: Annotated[tuple[IPv4Address, ...], Field(max_length=IN_USE_LIMIT)]


class Register(Message):
    """An app connector offers itself for its group."""

    type: Literal["register"] = "register"
    group: Name


class Registered(Message):
    """The edge will choose it."""

    type: Literal["registered"] = "registered"
    group: Name


class Status(Message):
    """What an app connector carries now."""

    type: Literal["status"] = "status"
    streams: int = Field(ge=0)
    draining: bool = False


class Learned(Message):
    """What an answer said of a name that rules speak of: for all connectors of a group, whichever saw the answer."""

    type: Literal["learned"] = "learned"
    id: RequestId
    namespace: Name
    name: DnsName
    addresses: Annotated[tuple[IPv4Address | IPv6Address, ...], Field(min_length=1, max_length=ADDRESSES_LIMIT)]
    ttl: int = Field(ge=0, le=0x7FFF_FFFF)  # seconds


class Noted(Message):
    """A learned name is in force: at the connector that says so; from the edge: at all that answered in time."""

    type: Literal["noted"] = "noted"
    id: RequestId


class Claimed(Message):
    """A name that a flow said of its destination, for all connectors of a group. Only its client vouches for it. No answer."""

    type: Literal["claimed"] = "claimed"
    namespace: Name
    address: IPv4Address | IPv6Address
    name: DnsName
    how: Literal["sni", "host", "quic"]


class Failure(Message):
    """A request, or without an id the connection, is refused."""

    type: Literal["error"] = "error"
    id: RequestId | None = None
    code: Name
    text: Annotated[str, Field(max_length=1024)] = ""


class SourceIdentity(Message):
    """On whose behalf a connector opens a stream."""

    namespace: Name
    address: IPv4Address | IPv6Address
    connector: Name
    group: Name = ""
    location: Name = ""


class OpenRequest(Message):
    """What a data stream is for; host is the name asked for, or a literal address."""

    application: Name = ""
    host: Name
    port: int = Field(ge=1, le=65_535)
    protocol: Literal["tcp", "udp"]
    source: SourceIdentity
    trace: Annotated[str, Field(max_length=64)] = ""


class OpenReply(Message):
    """Whether it is open; codes other than ok are those of zcc.mtunnel.errors."""

    code: Name = "ok"
    text: Annotated[str, Field(max_length=1024)] = ""
    server: Name = ""  # address and port at the far end, valid iff ok


AnyControl = (
    Hello | Welcome | Resolve | WhoIs | Resolved | InUse | Register | Registered | Status | Learned | Noted | Claimed | Pools
    | Failure
)
Control = Annotated[AnyControl, Field(discriminator="type")]
_CONTROL: TypeAdapter[AnyControl] = TypeAdapter(Control)


def encode(message: Message) -> bytes:
    """Lay out a message behind its length.

    Raises:
        ValueError: longer than MESSAGE_LIMIT.
    """
    body = message.model_dump_json(exclude_none=True).encode()
    if len(body) > MESSAGE_LIMIT:
        raise ValueError(f"message: {len(body)} octets, at most {MESSAGE_LIMIT} are sent")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode_control(body: bytes) -> AnyControl:
    """Read the body of a control message.

    Raises:
        BadMessage: no JSON, an unknown type, or fields that do not fit it.
    """
    try:
        return _CONTROL.validate_json(body)
    except ValidationError as error:
        raise BadMessage(_first(error)) from None


def decode_open_request(body: bytes) -> OpenRequest:
    """Read the first message of a data stream.

    Raises:
        BadMessage: it is none.
    """
    return _decode(OpenRequest, body)


def decode_open_reply(body: bytes) -> OpenReply:
    """Read the answer to an OpenRequest.

    Raises:
        BadMessage: it is none.
    """
    return _decode(OpenReply, body)


def _decode(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise BadMessage(_first(error)) from None


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
