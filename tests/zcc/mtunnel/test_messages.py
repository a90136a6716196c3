"""zcc.mtunnel.messages: what is said comes out as it went in; any bytes are a message or BadMessage."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.mtunnel import messages
from zcc.mtunnel.messages import (
    LENGTH_BYTES,
    BadMessage,
    Claimed,
    Failure,
    Hello,
    InUse,
    Lease,
    Message,
    OpenReply,
    OpenRequest,
    Register,
    Registered,
    Resolve,
    Resolved,
    SourceIdentity,
    Status,
    Welcome,
    WhoIs,
)

LEASE = Lease(name="a.example", address=IPv4Address("10.254.0.2"), application="a", ttl=3600)


@pytest.mark.parametrize(
    "message",
    [
        Hello(name="cc-1", group="g"),
        Welcome(edge="pe-1", pool=IPv4Network("10.254.0.0/19")),
        Resolve(id=1, namespace="co1", name="a.example"),
        WhoIs(id=2, address=IPv4Address("10.254.0.2")),
        Resolved(id=1, lease=LEASE),
        Resolve(id=1, namespace="co1", name="a.example", pool="second"),
        Resolved(id=2, former="b.example", released=12.5),
        Welcome(edge="pe-1", pool=IPv4Network("10.254.0.0/19"), report_s=0.25),
        InUse(addresses=tuple(IPv4Address(0xFEFEFE00 + number) for number in range(messages.IN_USE_LIMIT))),
        Claimed(namespace="co1", address=IPv6Address("2001:db8::1"), name="a.example", how="quic"),
        Register(group="dc1"),
        Registered(group="dc1"),
        Status(streams=3, draining=True),
        Failure(id=1, code="pool-full", text="none left"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_control_messages_survive_the_wire(message: Message) -> None:
    wire = messages.encode(message)
    assert int.from_bytes(wire[:LENGTH_BYTES], "big") == len(wire) - LENGTH_BYTES
    assert messages.decode_control(wire[LENGTH_BYTES:]) == message


def test_open_messages_survive_the_wire() -> None:
    source = SourceIdentity(namespace="co1", address=IPv4Address("10.8.6.4"), connector="cc-1")
    request = OpenRequest(host="a.example", port=443, protocol="tcp", source=source)
    assert messages.decode_open_request(messages.encode(request)[LENGTH_BYTES:]) == request
    reply = OpenReply(code="refused", text="no")
    assert messages.decode_open_reply(messages.encode(reply)[LENGTH_BYTES:]) == reply


def test_more_addresses_in_use_than_a_message_may_hold_are_none() -> None:
    text = ",".join(['"10.0.0.1"'] * (messages.IN_USE_LIMIT + 1))
    with pytest.raises(BadMessage):
        messages.decode_control(f'{{"type":"in-use","addresses":[{text}]}}'.encode())


def test_an_older_peer_says_less() -> None:
    """A lease of a time without pools is of the default one."""
    lease = b'{"name":"a.example","address":"10.254.0.2","application":"a","ttl":60}'
    found = messages.decode_control(b'{"type":"resolved","id":1,"lease":' + lease + b"}")
    assert isinstance(found, Resolved) and found.lease is not None
    assert (found.lease.pool, found.lease.keeps) == ("default", 691_200)


def test_a_newer_peer_may_say_more() -> None:
    assert messages.decode_control(b'{"type":"register","group":"g","colour":"blue"}') == Register(group="g")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"type":"shout"}', b'{"type":"hello"}', b"\xff", b"[" * 5000])
def test_what_is_no_message_is_said_to_be_none(body: bytes) -> None:
    for decode in (messages.decode_control, messages.decode_open_request):
        with pytest.raises(BadMessage):
            decode(body)


def test_encode_refuses_what_the_peer_would_not_read() -> None:
    with pytest.raises(ValueError, match="octets"):
        messages.encode(Hello.model_construct(name="x" * messages.MESSAGE_LIMIT))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_a_message_or_bad(body: bytes) -> None:
    for decode in (messages.decode_control, messages.decode_open_request, messages.decode_open_reply):
        try:
            decode(body)
        except BadMessage as error:
            assert str(error)
