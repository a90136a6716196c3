"""Message: commands and events cross the rings whole, and bad arguments are named before anything is posted."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import message
from fastpath.ring import Ring

V4 = ipaddress.ip_address("10.254.0.7")
V6 = ipaddress.ip_address("fd00::7")


def test_command_is_one_record_and_wakes_the_worker():
    ring = Ring(1 << 16)
    assert message.command(
        ring, message.Command.COMMAND_LEARN, namespace=0xFFFF, address=V4, value=9, until_ns=1 << 40
    )
    assert len(ring.drain()) == 1


def test_full_ring_posts_nothing():
    ring = Ring(4096)
    packet = bytes(1200)
    posted = [message.command(ring, message.Command.COMMAND_RESUME, packet=packet) for _ in range(5)]
    assert posted[-1] is False
    assert len(ring.drain()) == posted.count(True)


@pytest.mark.parametrize(
    ("fields", "error", "named"),
    [
        ({"packet": bytes(9217)}, ValueError, "packet"),
        ({"header": bytes(49)}, ValueError, "header"),
        ({"namespace": 70000}, ValueError, "namespace"),
        ({"namespace": -1}, ValueError, "namespace"),
        ({"slot": 256}, ValueError, "slot"),
        ({"peer": (1,)}, ValueError, "peer"),
        ({"peer": (1, 65536)}, ValueError, "peer: port"),
        ({"address": "everywhere"}, ValueError, "address"),
        ({"bound": (6, "192.0.2.1")}, ValueError, "bound"),
        ({"packet": "text"}, TypeError, "packet"),
    ],
)
def test_field_that_does_not_fit_is_refused_and_nothing_is_posted(fields, error, named):
    ring = Ring(1 << 16)
    with pytest.raises(error, match=named):
        message.command(ring, message.Command.COMMAND_DELIVER, **fields)
    assert ring.drain() == []


def test_unknown_command_is_named():
    with pytest.raises(ValueError, match="kind"):
        message.command(Ring(4096), 99)


def test_limit_below_one_is_named():
    with pytest.raises(ValueError, match="limit"):
        message.drain(Ring(4096), 0)


@settings(max_examples=100, deadline=None)
@given(
    packet=st.binary(max_size=2000),
    header=st.binary(max_size=48),
    peer=st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 65535)),
    namespace=st.integers(0, 65535),
    value=st.integers(0, 2**32 - 1),
    slot=st.integers(0, 255),
)
def test_what_goes_in_comes_out(packet, header, peer, namespace, value, slot):
    # Commands and events have one record shape, so a posted command reads back as an event.
    ring = Ring(1 << 16)
    kind = message.Command.COMMAND_DELIVER
    assert message.command(
        ring,
        kind,
        packet=packet,
        header=header,
        peer=peer,
        namespace=namespace,
        value=value,
        slot=slot,
        address=V6,
    )
    (event,) = message.drain(ring)
    assert (event.reason, event.packet, event.header, event.peer_address, event.peer_port) == (
        kind,
        packet,
        header,
        *peer,
    )
    assert (event.namespace, event.value, event.slot, event.flow) == (namespace, value, slot, None)
