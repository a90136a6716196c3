"""flowlines: the ends of flows become lines; the model and the compiled module write the same bytes."""

import importlib
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.action import Action, PuntReason
from fastpath.flowlines import Column, Left
from fastpath.message import drain
from model import flowlines as model
from model.flowlines import closed

C = Column


def native() -> Any:
    return SimpleNamespace(
        FlowLines=importlib.import_module("fastpath.flowlines").FlowLines,
        LabelTable=importlib.import_module("fastpath.labeltable").LabelTable,
        Ring=importlib.import_module("fastpath.ring").Ring,
    )


def slow() -> Any:
    return SimpleNamespace(FlowLines=model.FlowLines, LabelTable=model.LabelTable, Ring=model.Ring)


@pytest.fixture(params=[native, slow], ids=["native", "model"])
def module(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield request.param()


def v4(text: str) -> bytes:
    return bytes(10) + b"\xff\xff" + IPv4Address(text).packed


def ring_of(module: Any, *records: bytes) -> Any:
    ring = module.Ring(1 << 20)
    assert all(ring.push(record) for record in records)
    return ring


def test_a_line_is_start_number_head_parts_and_end(module: Any) -> None:
    lines = module.FlowLines(b"<", [b" ", C.COLUMN_SOURCE, b":", C.COLUMN_SOURCE_PORT], None, b">")
    ring = ring_of(module, *[closed(source=v4("10.0.0.7"), source_port=port) for port in (9, 65535)])
    assert lines.take(ring, 99, b"!") == (b"<99! 10.0.0.7:9><100! 10.0.0.7:65535>", 2, Left.LEFT_NOTHING)
    assert lines.take(ring, 101, b"!") == (b"", 0, Left.LEFT_NOTHING)


def test_more_is_written_of_flows_with_that_action_and_version(module: Any) -> None:
    more = {(Action.ACTION_DIRECT, 4): [b" four ", C.COLUMN_NAT_PORT], (Action.ACTION_DIRECT, 6): [b" six"]}
    lines = module.FlowLines(b"", [], more)
    direct = [closed(action=Action.ACTION_DIRECT, ip_version=version, nat_port=7) for version in (4, 6)]
    assert lines.take(ring_of(module, *direct, closed()), 0, b"")[0] == b"0 four 7\n1 six\n2\n"


def test_what_is_no_flow_s_end_stays_where_it_is(module: Any) -> None:
    others = [
        closed(kind=PuntReason.PUNT_DNS_ANSWERED, packet=b"abc", has_flow=0), closed(action=Action.ACTION_ZPA),
        closed(has_flow=0), closed(header_length=49), b"", b"x" * 300,
    ]
    for other in others:
        ring = ring_of(module, closed(), other, closed())
        lines = module.FlowLines(b"", [])
        assert lines.take(ring, 0, b"") == (b"0\n", 1, Left.LEFT_OTHER)
        assert lines.take(ring, 1, b"") == (b"", 0, Left.LEFT_OTHER)
        assert ring.drain(1) == [other]
        assert lines.take(ring, 1, b"") == (b"1\n", 1, Left.LEFT_NOTHING)


def test_no_more_lines_than_asked_for(module: Any) -> None:
    ring = ring_of(module, *[closed()] * 5)
    lines = module.FlowLines(b"", [])
    taken = [lines.take(ring, 0, b"", 2)[1:] for _ in range(3)]
    assert taken == [(2, Left.LEFT_MORE), (2, Left.LEFT_MORE), (1, Left.LEFT_NOTHING)]


def test_a_label_is_asked_for_once_until_it_is_forgotten(module: Any) -> None:
    asked: list[int] = []

    def tell(number: int) -> bytes:
        asked.append(number)
        return b"[%d]" % number

    table = module.LabelTable({5: b"five"}, tell=tell)
    lines = module.FlowLines(b"", [(C.COLUMN_NAMESPACE, table)])
    take = lambda: lines.take(ring_of(module, *[closed(namespace=n) for n in (5, 6, 7, 6)]), 0, b" ")[0]  # noqa: E731
    assert take() == take() == b"0 five\n1 [6]\n2 [7]\n3 [6]\n"
    assert asked == [6, 7] and len(table) == 3
    table.forget()
    assert len(table) == 1
    take()
    assert asked == [6, 7, 6, 7]


def test_a_table_that_nobody_tells_has_no_other_labels_and_does_not_grow(module: Any) -> None:
    table = module.LabelTable({6 << 16 | 443: b"https"})
    lines = module.FlowLines(b"", [(C.COLUMN_SERVICE, table)])
    records = [closed(protocol=protocol, destination_port=port) for protocol in (6, 17) for port in (443, 444)]
    assert lines.take(ring_of(module, *records), 0, b" ")[0] == b"0 https\n1 \n2 \n3 \n" and len(table) == 1


def test_strangers_numbers_fill_a_table_up_to_its_bound(module: Any) -> None:
    table = module.LabelTable({1: b"one"}, tell=lambda number: b"%d" % number, most=100)
    lines = module.FlowLines(b"", [(C.COLUMN_NAMESPACE, table)])
    for first in range(0, 3000, 500):
        records = [closed(namespace=n) for n in range(first, first + 500)]
        expected = b"".join(b"%d %s\n" % (k, b"one" if first + k == 1 else b"%d" % (first + k)) for k in range(500))
        assert lines.take(ring_of(module, *records), 0, b" ")[0] == expected
        assert len(table) <= 100


def test_a_label_that_can_not_be_told_costs_no_flow_s_end(module: Any) -> None:
    def tell(number: int) -> bytes:
        if number == 3:
            raise LookupError("three")
        return b"ok"

    lines = module.FlowLines(b"", [(C.COLUMN_NAMESPACE, module.LabelTable(tell=tell))])
    ring = ring_of(module, closed(namespace=2), closed(namespace=3), closed(namespace=4))
    assert lines.take(ring, 0, b" ") == (b"0 ok\n", 1, Left.LEFT_MORE)
    for _ in range(2):
        with pytest.raises(LookupError, match="three"):
            lines.take(ring, 1, b" ")
    assert ring.drain(1) == [closed(namespace=3)]
    assert lines.take(ring, 1, b" ") == (b"1 ok\n", 1, Left.LEFT_NOTHING)


def test_a_tell_that_comes_back_in_is_refused() -> None:
    made = native()
    table = made.LabelTable(tell=lambda number: table.forget())
    lines = made.FlowLines(b"", [(C.COLUMN_NAMESPACE, table)])
    ring = ring_of(made, closed())
    with pytest.raises(RuntimeError, match="in use"):
        lines.take(ring, 0, b"")
    table.forget()      # and nobody is left inside


def test_another_thread_is_refused_while_one_is_inside() -> None:
    made = native()
    inside, leave = threading.Event(), threading.Event()

    def tell(number: int) -> bytes:
        inside.set()
        assert leave.wait(10)
        return b"x"

    table = made.LabelTable(tell=tell)
    lines, ring = made.FlowLines(b"", [(C.COLUMN_NAMESPACE, table)]), ring_of(made, closed())
    other = made.FlowLines(b"", [(C.COLUMN_NAMESPACE, table)])
    thread = threading.Thread(target=lambda: lines.take(ring, 0, b""))
    thread.start()
    assert inside.wait(10)
    for call in (table.forget, lambda: lines.take(ring, 0, b""), lambda: other.take(ring_of(made, closed()), 0, b"")):
        with pytest.raises(RuntimeError, match="in use by another thread"):
            call()
    leave.set()
    thread.join()
    assert other.take(ring_of(made, closed()), 0, b"")[0] == b"0x\n"


def test_long_lines_come_in_several_calls() -> None:
    made = native()
    table = made.LabelTable(tell=lambda number: b"%05d" % number + bytes(4091))
    lines = made.FlowLines(b"", [(C.COLUMN_SOURCE_PORT, table)] * 4)
    ring, taken, calls = ring_of(made, *[closed(source_port=port % 7) for port in range(200)]), b"", 0
    while (answer := lines.take(ring, 0, b"")) and answer[1]:
        taken, calls = taken + answer[0], calls + 1
    assert calls > 3 and taken.count(b"\n") == 200 and len(taken) > 200 * 4 * 4096


def test_ends_are_no_messages_for_nobody_else() -> None:
    """What the model packs is what the compiled message is."""
    made = native()
    [event] = drain(ring_of(made, closed(source=v4("10.0.0.7"), rule=3, packets=(1, 2), name_id=9, namespace=4, tunnel=8)))
    assert event.flow is not None and event.reason == PuntReason.PUNT_FLOW_CLOSED
    assert (event.flow.source, event.flow.rule, event.flow.packets) == (IPv4Address("10.0.0.7"), 3, (1, 2))
    assert (event.flow.name_id, event.flow.namespace, event.flow.tunnel) == (9, 4, 8)


WIDE = st.integers(0, 2**64 - 1)
GROUPS = st.lists(st.sampled_from((0, 0, 0, 1, 0xFFFF, 0xAB0, 0xB0)), min_size=8, max_size=8)
ADDRESSES = st.one_of(
    st.binary(min_size=16, max_size=16), GROUPS.map(lambda groups: b"".join(group.to_bytes(2) for group in groups)),
    st.binary(min_size=4, max_size=4).map(lambda tail: bytes(10) + b"\xff\xff" + tail),
)
FLOWS = st.builds(
    closed, source=ADDRESSES, destination=ADDRESSES, packets=st.tuples(WIDE, WIDE), bytes=st.tuples(WIDE, WIDE),
    started_ns=WIDE, last_seen_ns=WIDE, name_id=st.integers(0, 2**32 - 1), location=st.integers(0, 2**32 - 1),
    rule=st.integers(-(2**31), 2**31 - 1), source_port=st.integers(0, 65535), destination_port=st.integers(0, 65535),
    namespace=st.integers(0, 65535), nat_port=st.integers(0, 65535), ip_version=st.sampled_from((4, 6)),
    protocol=st.integers(0, 255), action=st.integers(0, 255), tunnel=st.integers(0, 255),
    kind=st.sampled_from((PuntReason.PUNT_FLOW_CLOSED,) * 9 + (PuntReason.PUNT_DNS_ANSWERED,)),
)  # fmt: skip
LABELLED = [column for column in Column if column > C.COLUMN_DESTINATION]


def layout(module: Any) -> tuple[Any, ...]:
    tell = lambda number: b"" if number % 3 == 0 else b"<%d>" % number * (1 + number % 40)  # noqa: E731
    tables = {column: module.LabelTable({column: b"given"}, tell=tell, most=3) for column in LABELLED}
    parts = [part for column in Column for part in (b" %s=" % column.name.encode() * (1 + column % 3), column)]
    return b"{", [*parts, *tables.items()], {(0, 4): [C.COLUMN_NAT_PORT], (255, 6): [b"six"]}, b"}\n"


@settings(max_examples=150, deadline=None)
@given(records=st.lists(FLOWS, max_size=12), number=st.integers(0, 2**64 - 20), head=st.binary(max_size=80),
       limit=st.integers(1, 9))  # fmt: skip
def test_native_and_model_write_the_same_lines(records: list[bytes], number: int, head: bytes, limit: int) -> None:
    answers = []
    for module in (native(), slow()):
        ring, lines = ring_of(module, *records), module.FlowLines(*layout(module))
        answers.append([lines.take(ring, number, head, limit) for _ in range(4)] + [ring.drain()])
    assert answers[0] == answers[1]


@settings(max_examples=400, deadline=None)
@given(address=ADDRESSES)
def test_addresses_are_written_as_this_interpreter_writes_them(address: bytes) -> None:
    made = native()
    lines = made.FlowLines(b"", [C.COLUMN_SOURCE, b" ", C.COLUMN_DESTINATION])
    ring = ring_of(made, *[closed(source=address, destination=address, ip_version=version) for version in (4, 6)])
    text = [str(IPv4Address(address[12:])), str(IPv6Address(address))]
    assert lines.take(ring, 0, b" ")[0].decode() == f"0 {text[0]} {text[0]}\n1 {text[1]} {text[1]}\n"


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ((b"", 5), TypeError, "parts"), ((b"", [19]), ValueError, "parts"), ((b"", [-1]), ValueError, "parts"),
        ((b"", ["text"]), TypeError, "parts"), ((b"", [(C.COLUMN_SOURCE, None)]), ValueError, "parts"),
        ((b"", [(C.COLUMN_RULE, None)]), TypeError, "parts"), ((b"", [(C.COLUMN_RULE,)]), ValueError, "parts"),
        ((b"", [(C.COLUMN_RULE, {})]), TypeError, "LabelTable"), ((b"", [b"x"] * 257), ValueError, "parts"),
        ((b"x" * 65537, []), ValueError, "start"), ((b"", [b"x" * 40000] * 2), ValueError, "parts"),
        (("", []), TypeError, "start"), ((b"", [], [1]), TypeError, "more"), ((b"", [], {1: []}), TypeError, "more"),
        ((b"", [], {(1, 5): []}), ValueError, "more"), ((b"", [], {(256, 4): []}), ValueError, "more"),
        ((b"", [], {(1, 4): [19]}), ValueError, "more"), ((b"", [], None, 5), TypeError, "end"),
    ],
)  # fmt: skip
def test_a_layout_that_can_not_be_is_refused_by_name(arguments: Any, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        native().FlowLines(*arguments)


@pytest.mark.parametrize(
    ("given", "named", "error", "word"),
    [
        ([1], {}, TypeError, "given"), ({-1: b""}, {}, ValueError, "given"), ({1 << 32: b""}, {}, ValueError, "given"),
        ({1: "x"}, {}, TypeError, "given"), ({1: bytes(4097)}, {}, ValueError, "given"), (None, {"tell": 5}, TypeError, "tell"),
        ({}, {"most": 0}, ValueError, "most"), ({}, {"most": (1 << 18) + 1}, ValueError, "most"),
        ({1: b"", 2: b""}, {"most": 1}, ValueError, "given"),
    ],
)  # fmt: skip
def test_a_label_table_that_can_not_be_is_refused_by_name(given: Any, named: Any, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        native().LabelTable(given, **named)


@pytest.mark.parametrize(("text", "error"), [("text", TypeError), (None, TypeError), (bytes(4097), ValueError)])
def test_what_is_told_must_be_a_label(text: Any, error: type[Exception]) -> None:
    made = native()
    lines, ring = made.FlowLines(b"", [(C.COLUMN_RULE, made.LabelTable(tell=lambda number: text))]), ring_of(made, closed())
    with pytest.raises(error, match="what tell returns"):
        lines.take(ring, 0, b"")
    assert ring.drain() == [closed()]


def test_a_table_full_of_what_is_given_says_so() -> None:
    made = native()
    table = made.LabelTable({1: b"x"}, tell=lambda number: b"y", most=1)
    with pytest.raises(ValueError, match="most"):
        made.FlowLines(b"", [(C.COLUMN_RULE, table)]).take(ring_of(made, closed(rule=5)), 0, b"")
