"""fastpath.owned: what is answered in the data plane is what the control plane would have answered, byte by byte read."""

from __future__ import annotations

from ipaddress import IPv4Address

import dns.message
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, IPOption
from scapy.layers.inet6 import IPv6

from fastpath import packet
from fastpath.batch import PacketBatch
from fastpath.owned import OwnedNames
from model.owned import OwnedNames as Model
from zcc.dns.intercept import ONLY_ADDRESSES

SECRET = bytes(range(32))
NAME, WIRE = "portal.corp.example", b"\6portal\4corp\7example\0"
ADDRESS = IPv4Address("10.254.0.7")
NOW, UNTIL = 1000, 2000
HEADER = b"geneve header!.."
TYPES = [int(kind) for kind in dns.rdatatype.RdataType if int(kind) not in (41, 250, 0)]


def pair() -> tuple[OwnedNames, Model]:
    native, model = OwnedNames(64, SECRET, ONLY_ADDRESSES), Model()
    for one in (native, model):
        one.learn_one(1, WIRE, ADDRESS, 60, UNTIL)
    return native, model


def query(name: str = NAME, kind: int | str = "A", klass: str = "IN", **edns) -> bytes:
    return dns.message.make_query(name, kind, klass, id=7, **edns).to_wire()


def over4(message: bytes, **more) -> bytes:
    return bytes(IP(src="10.8.6.4", dst="192.0.2.53", tos=4, id=99, ttl=9, **more) / UDP(sport=4000, dport=53) / message)


def over6(message: bytes) -> bytes:
    return bytes(IPv6(src="fd00:8::4", dst="2001:db8::53", tc=4, fl=9, hlim=3) / UDP(sport=4000, dport=53) / message)


def answered(native: OwnedNames, inner: bytes, namespace: int = 1, now: int = NOW) -> bytes | None:
    """The answer's inner packet, or None; what stands in front of it must not change."""
    batch = PacketBatch(1, 4096)
    batch.load([HEADER + inner])
    batch.inner_start[0] = batch.start[0] + len(HEADER)
    batch.inner_length[0] = len(inner)
    packet.parse_batch(batch)
    batch.namespace[0] = namespace
    before = batch.data.copy()
    if native.answer_batch(batch, now) == [0]:
        assert (batch.data == before).all(), "a query that is not answered is left as it was"
        return None
    frame = batch.frame(0)
    assert frame[: len(HEADER)] == HEADER and len(frame) == len(HEADER) + batch.inner_length[0]
    return frame[len(HEADER) :]


def same(mine: bytes | None, theirs: bytes | None) -> None:
    """Equal packets, but for where DNS compresses names and in which order it puts options: the messages mean the same."""
    assert (mine is None) == (theirs is None)
    if mine is None or theirs is None:
        return
    kind = IP if mine[0] >> 4 == 4 else IPv6
    one, other = kind(mine), kind(theirs)
    for part in (one, other):
        checked = bytes(part)
        del part[UDP].chksum
        if kind is IP:
            del part.chksum
        assert bytes(kind(bytes(part))) == checked, "a checksum is wrong"
    at = 28 if kind is IP else 48
    messages = [dns.message.from_wire(whole[at:]) for whole in (mine, theirs)]
    assert messages[0].to_text() == messages[1].to_text() and messages[0].options == messages[1].options
    for part in (one, other):
        part[UDP].remove_payload()
        part[UDP].len = part[UDP].chksum = 0
        if kind is IP:
            part.len = part.chksum = 0
        else:
            part.plen = 0
    assert bytes(one) == bytes(other)


@pytest.mark.parametrize("over", [over4, over6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("message", [
    query(), query("PoRTal.CORP.example"), query(kind="AAAA"), query(kind="HTTPS", use_edns=0), query(use_edns=0),
    query(kind="ANY", use_edns=0, payload=512), query(want_dnssec=True), query(kind="SOA"), query(kind="TYPE65280"),
    query(kind="AXFR"), query(kind="IXFR"), query(klass="CH"), query(klass="ANY"), query(use_edns=1), query("other.example"),
    query("_https._tcp.portal.corp.example"), query()[:-1], query() + b"rest", b"", query(use_edns=0)[:-3],
])  # fmt: skip
def test_answers_are_the_control_plane_s(over, message: bytes) -> None:
    native, model = pair()
    same(answered(native, over(message)), model.answer(1, over(message), NOW))


@settings(max_examples=3000, deadline=None)
@given(
    st.sampled_from(TYPES),
    st.sampled_from([{}, {"use_edns": 0}, {"use_edns": 0, "payload": 512}, {"want_dnssec": True}]),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=2),
    st.booleans(),
)
def test_changed_at_random_both_say_the_same(kind: int, edns: dict, changes: list, six: bool) -> None:
    message = bytearray(query(kind=kind, **edns))
    for at, value in changes:
        message[at % len(message)] = value
    native, model = pair()
    inner = (over6 if six else over4)(bytes(message))
    mine, theirs = answered(native, inner), model.answer(1, inner, NOW)
    if (mine is None) != (theirs is None):
        assert mine is None, "what is left to the control plane is never wrong"
    else:
        same(mine, theirs)


def test_the_namespace_the_time_and_the_packet_s_shape_count() -> None:
    native, _ = pair()
    assert answered(native, over4(query()), namespace=2) is None
    assert answered(native, over4(query()), now=UNTIL) is None
    assert answered(native, over4(query(), options=[IPOption(b"\x01")])) is None
    assert answered(native, over4(query(), flags="MF")) is None
    assert answered(native, bytes(IP(src="10.8.6.4", dst="192.0.2.53") / UDP(sport=4000, dport=5353) / query())) is None
    assert answered(native, over4(query())) is not None


def test_a_name_is_learned_anew_and_forgotten() -> None:
    native, _ = pair()
    native.learn_one(1, WIRE, IPv4Address("10.254.0.8"), 30, UNTIL)
    assert native.find_one(1, WIRE, NOW) == (IPv4Address("10.254.0.8"), 30)
    native.forget_one(1, WIRE)
    native.forget_one(1, WIRE)
    assert native.find_one(1, WIRE, NOW) is None


NAMES = st.integers(0, 400).map(lambda n: b"%c%d\7example\0" % (len(str(n)), n))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 2), NAMES, st.integers(0, 3000)), max_size=300))
def test_what_is_found_is_what_was_learned_last(steps: list) -> None:
    native, model = OwnedNames(64, SECRET), Model()
    for learn, namespace, name, until in steps:
        for one in (native, model):
            if learn:
                one.learn_one(namespace, name, IPv4Address(until), 1, until)
            else:
                one.forget_one(namespace, name)
    for _, namespace, name, _ in steps:
        found = native.find_one(namespace, name, NOW)
        # A full set gave way; then nothing is found, never something else.
        assert found in (None, model.find_one(namespace, name, NOW))


def test_a_table_with_room_forgets_nothing() -> None:
    native = OwnedNames(4096, SECRET)
    names = [b"%c%d\7example\0" % (len(str(n)), n) for n in range(1000)]
    for number, name in enumerate(names):
        native.learn_one(1, name, IPv4Address(number), 1, UNTIL)
    assert sum(native.find_one(1, name, NOW) == (IPv4Address(number), 1) for number, name in enumerate(names)) >= 995


def test_the_name_that_would_run_out_first_gives_way() -> None:
    native = OwnedNames(8, SECRET)
    for number in range(9):
        native.learn_one(1, b"\1%c\0" % (97 + number), ADDRESS, 1, 5000 - number)
    gone = [number for number in range(9) if native.find_one(1, b"\1%c\0" % (97 + number), NOW) is None]
    assert gone == [7]


@pytest.mark.parametrize(("make", "words"), [
    (lambda: OwnedNames(7, SECRET), "capacity must be 8 to 4194304, not 7"),
    (lambda: OwnedNames(8, b"short"), "32 bytes"),
    (lambda: OwnedNames(8, SECRET, "x" * 256), "text must be at most 255 bytes, not 256"),
    (lambda: pair()[0].learn_one(65536, WIRE, ADDRESS, 1, 1), "namespace must be 0 to 65535, not 65536"),
    (lambda: pair()[0].learn_one(1, b"", ADDRESS, 1, 1), "name must be 1 to 255 bytes, not 0"),
    (lambda: pair()[0].forget_one(1, b"x" * 256), "name must be 1 to 255 bytes, not 256"),
    (lambda: pair()[0].find_one(-1, WIRE, 1), "namespace must be 0 to 65535, not -1"),
])  # fmt: skip
def test_bad_calls_name_the_argument(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("made", [lambda by: OwnedNames(64, SECRET, by_location=by), Model], ids=["fastpath", "reference"])
def test_locations_are_told_apart_only_where_they_are_to_be(made):
    name, here, there = b"\6portal\4corp\7example\0", IPv4Address("10.254.0.7"), IPv4Address("10.9.0.7")
    apart, alike = made(True), made(False)
    for table in (apart, alike):
        table.learn_one(1, name, here, 60, NOW + 1, 3)
        table.learn_one(1, name, there, 60, NOW + 1, 2**32 - 1)
    assert [apart.find_one(1, name, NOW, location) for location in (3, 2**32 - 1, 0)] == [(here, 60), (there, 60), None]
    assert [alike.find_one(1, name, NOW, location) for location in (3, 2**32 - 1, 0)] == [(there, 60)] * 3
    apart.forget_one(1, name, 3)
    assert apart.find_one(1, name, NOW, 3) is None and apart.find_one(1, name, NOW, 2**32 - 1) == (there, 60)
