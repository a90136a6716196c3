"""zcc.mtunnel.session: exact delivery, half-close, and bounds, with no socket in sight."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.mtunnel.events import (
    DataReceived,
    FinReceived,
    GoAwayReceived,
    PongReceived,
    SessionEnded,
    StreamAccepted,
    StreamOpened,
    StreamReset,
    WindowOpened,
)
from zcc.mtunnel.frames import INITIAL_WINDOW, GoAwayCode
from zcc.mtunnel.limits import Limits
from zcc.mtunnel.session import Session

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
SMALL = Limits(streams=8, backlog=4, raised=INITIAL_WINDOW, buffered=2 * INITIAL_WINDOW, control=600)


def frame(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
    return struct.pack("!BBHII", 0, kind, flags, stream, length) + body


def sent(session: Session) -> bytes:
    return b"".join(session.bytes_to_send())


def frames(data: bytes) -> list[tuple[int, int, int, int]]:
    """Read the headers of a byte string that consists of whole frames."""
    found = []
    while data:
        _, kind, flags, stream, length = struct.unpack("!BBHII", data[:12])
        found.append((kind, flags, stream, length))
        data = data[12 + (length if kind == DATA else 0) :]
    return found


def pair(limits: Limits | None = None) -> tuple[Session, Session]:
    return Session(initiator=True, limits=limits), Session(initiator=False, limits=limits)


def opened(limits: Limits | None = None) -> tuple[Session, Session, int]:
    """Return two sessions with one acknowledged stream between them."""
    near, far = pair(limits)
    stream = near.open()
    far.receive(sent(near))
    far.accept(stream)
    near.receive(sent(far))
    return near, far, stream


def test_open_sends_syn_and_accept_sends_ack() -> None:
    near, far = pair()
    assert near.open() == 1
    wire = sent(near)
    assert frames(wire) == [(WINDOW_UPDATE, SYN, 1, 0)]
    assert far.receive(wire) == [StreamOpened(1)]
    far.accept(1)
    assert near.receive(sent(far)) == [StreamAccepted(1)]


def test_the_two_sides_open_streams_of_different_parity() -> None:
    near, far = pair()
    assert [near.open(), near.open(), far.open(), far.open()] == [1, 3, 2, 4]


def test_send_takes_no_more_than_one_frame_and_the_window() -> None:
    near, far, stream = opened()
    total = 0
    while taken := near.send(stream, bytes(INITIAL_WINDOW * 2)):
        assert taken <= near.limits.frame
        total += taken
    assert total == INITIAL_WINDOW
    assert near.send_window(stream) == 0
    received = sum(len(event.data) for event in far.receive(sent(near)) if isinstance(event, DataReceived))
    assert received == INITIAL_WINDOW


def test_only_what_was_consumed_opens_the_window_and_it_grows() -> None:
    near, far, stream = opened()
    while near.send(stream, bytes(65536)):
        pass
    far.receive(sent(near))
    assert sent(far) == b""
    far.consume(stream, INITIAL_WINDOW // 2 - 1)
    assert sent(far) == b""
    far.consume(stream, 1)
    assert near.receive(sent(far)) == [WindowOpened(stream)]
    assert near.send_window(stream) == INITIAL_WINDOW // 2 + INITIAL_WINDOW


def test_a_window_never_grows_beyond_its_limit() -> None:
    near, far, stream = opened()
    for _ in range(200):
        size = near.send(stream, bytes(65536))
        for event in far.receive(sent(near)):
            if isinstance(event, DataReceived):
                far.consume(stream, len(event.data))
        assert size
        near.receive(sent(far))
    assert near.send_window(stream) <= near.limits.window


def test_after_our_fin_the_peers_data_is_still_delivered() -> None:
    near, far, stream = opened()
    near.finish(stream)
    assert far.receive(sent(near)) == [FinReceived(stream)]
    far.send(stream, b"late")
    far.finish(stream)
    assert near.receive(sent(far)) == [DataReceived(stream, b"late"), FinReceived(stream)]
    assert (near.streams, far.streams) == (1, 0)
    near.consume(stream, 4)
    assert near.streams == 0


def test_sending_after_our_fin_is_a_bad_call() -> None:
    near, _, stream = opened()
    near.finish(stream)
    near.finish(stream)
    with pytest.raises(ValueError, match="stream_id"):
        near.send(stream, b"x")


def test_data_after_the_peers_fin_resets_that_stream_only() -> None:
    near, far, stream = opened()
    other = near.open()
    sent(near)
    wire = frame(WINDOW_UPDATE, SYN, other, 0) + frame(WINDOW_UPDATE, FIN, stream, 0) + frame(DATA, 0, stream, 1, b"x")
    events = far.receive(wire)
    assert StreamReset(stream) in events
    assert far.ended is None and far.streams == 1


def test_reset_forgets_what_was_delivered_and_late_frames_are_ignored() -> None:
    near, far, stream = opened()
    near.send(stream, b"abc")
    far.receive(sent(near))
    far.reset(stream)
    assert (far.streams, far.buffered) == (0, 0)
    near.send(stream, b"late")
    assert far.receive(sent(near)) == []
    assert near.receive(sent(far)) == [StreamReset(stream)]
    assert near.streams == 0
    # The stream is gone: commands on it do nothing.
    assert near.send(stream, b"x") == 0
    near.finish(stream)
    near.consume(stream, 1)
    near.reset(stream)
    assert sent(near) == b""


def test_ping_is_answered_with_the_same_value() -> None:
    near, far = pair()
    near.ping(77)
    far.receive(sent(near))
    assert near.receive(sent(far)) == [PongReceived(77)]


def test_after_go_away_new_streams_are_refused_and_old_ones_live() -> None:
    near, far, stream = opened()
    far.go_away()
    second = near.open()
    events = far.receive(sent(near))
    assert events == []
    assert near.receive(sent(far)) == [GoAwayReceived(0), StreamReset(second)]
    assert not near.can_open
    with pytest.raises(ValueError, match="open"):
        near.open()
    near.send(stream, b"still")
    assert far.receive(sent(near)) == [DataReceived(stream, b"still")]


def test_the_backlog_bounds_both_sides() -> None:
    near, far = pair(SMALL)
    while near.can_open:
        near.open()
    assert near.streams == SMALL.backlog
    far.receive(sent(near))
    extra = far.receive(frame(WINDOW_UPDATE, SYN, 99, 0))
    assert extra == [] and frames(sent(far)) == [(WINDOW_UPDATE, RST, 99, 0)]


def test_what_is_delivered_and_not_read_is_bounded_over_all_streams() -> None:
    limits = Limits(buffered=INITIAL_WINDOW + 1000)
    near, far = pair(limits)
    streams = [near.open() for _ in range(3)]
    for stream in streams:
        while near.send(stream, bytes(65536)):
            pass
        far.receive(sent(near))
    assert far.buffered <= limits.buffered
    assert far.streams < 3 and far.ended is None


def test_a_peer_that_asks_and_does_not_read_ends_its_session() -> None:
    far = Session(initiator=False, limits=SMALL)
    events = far.receive(frame(PING, SYN, 0, 1) * 100)
    assert isinstance(events[-1], SessionEnded)
    assert far.pending < SMALL.control + 100


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"\x01" + frame(PING, SYN, 0, 0)[1:], id="version 1"),
        pytest.param(frame(4, 0, 0, 0), id="type 4"),
        pytest.param(frame(DATA, 0, 0, 1, b"x"), id="data on stream 0"),
        pytest.param(frame(PING, SYN, 1, 0), id="ping on a stream"),
        pytest.param(frame(DATA, 0, 5, 1, b"x"), id="data before SYN"),
        pytest.param(frame(WINDOW_UPDATE, 0, 2, 1), id="a stream of ours that we never opened"),
        pytest.param(frame(WINDOW_UPDATE, SYN, 2, 0), id="SYN with our parity"),
        pytest.param(frame(WINDOW_UPDATE, SYN, 1, 0) * 2, id="SYN twice"),
        pytest.param(frame(DATA, SYN, 1, INITIAL_WINDOW + 1), id="more than the window"),
        pytest.param(frame(WINDOW_UPDATE, SYN, 1, 0xFFFFFFFF), id="window beyond 32 bits"),
        pytest.param(frame(WINDOW_UPDATE, SYN, 1, 0) + frame(WINDOW_UPDATE, RST, 1, 0)
                     + frame(DATA, 0, 1, 1 << 31), id="2 GiB for a stream that is gone"),
    ],
)
def test_what_the_framing_forbids_ends_the_session_with_a_go_away(wire: bytes) -> None:
    far = Session(initiator=False)
    events = far.receive(wire)
    assert isinstance(events[-1], SessionEnded)
    assert frames(sent(far))[-1] == (GO_AWAY, 0, 0, GoAwayCode.PROTOCOL_ERROR)
    assert far.receive(frame(PING, SYN, 0, 0)) == []
    assert not far.can_open


header = st.builds(
    lambda kind, flags, stream, length, body:
        frame(kind, flags, stream, length) if kind else frame(DATA, flags, stream, len(body), body),
    st.integers(0, 4), st.integers(0, 15), st.integers(0, 7), st.sampled_from([0, 1, 255, 1 << 18, 0xFFFFFFFF]),
    st.binary(max_size=40),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(header | st.binary(max_size=30), max_size=40).map(b"".join), st.data())
def test_any_bytes_in_any_chunks_never_raise_and_keep_the_bounds(wire: bytes, data: st.DataObject) -> None:
    whole, cut = (Session(initiator=False, limits=SMALL) for _ in range(2))
    expected = whole.receive(wire)
    position, events = 0, []
    while position < len(wire):
        step = data.draw(st.integers(1, 25))
        events += cut.receive(wire[position : position + step])
        position += step
    assert joined(events) == joined(expected)
    assert sent(cut) == sent(whole)
    assert cut.streams <= SMALL.streams and cut.buffered <= SMALL.buffered


def joined(events: list[object]) -> list[object]:
    """Merge neighbouring data of a stream: cuts may fall anywhere."""
    merged: list[object] = []
    for event in events:
        last = merged[-1] if merged else None
        if isinstance(event, DataReceived) and isinstance(last, DataReceived) and last.stream_id == event.stream_id:
            merged[-1] = DataReceived(event.stream_id, last.data + event.data)
        else:
            merged.append(event)
    return merged


class Side:
    """One session and what its user did and saw."""

    def __init__(self, initiator: bool) -> None:
        self.session = Session(initiator=initiator, limits=Limits(frame=150_000))
        self.written: dict[int, bytearray] = {}
        self.read: dict[int, bytearray] = {}
        self.finished: set[int] = set()
        self.ended: set[int] = set()
        self.gone: set[int] = set()
        self.unread: dict[int, int] = {}

    def take(self, wire: bytes) -> None:
        for event in self.session.receive(wire):
            match event:
                case StreamOpened(stream):
                    self.written[stream], self.read[stream], self.unread[stream] = bytearray(), bytearray(), 0
                    self.session.accept(stream)
                case DataReceived(stream, data):
                    assert stream not in self.ended
                    self.read[stream] += data
                    self.unread[stream] += len(data)
                case FinReceived(stream):
                    assert stream not in self.ended
                    self.ended.add(stream)
                case StreamReset(stream):
                    self.gone.add(stream)
                case _:
                    assert not isinstance(event, SessionEnded), event

    def open(self) -> None:
        stream = self.session.open()
        self.written[stream], self.read[stream], self.unread[stream] = bytearray(), bytearray(), 0

    def write(self, stream: int, size: int) -> None:
        if stream not in self.finished | self.gone:
            data = bytes((len(self.written[stream]) + index) % 251 for index in range(min(size, 2000))) * (size // 2000 + 1)
            self.written[stream] += data[: self.session.send(stream, data)]

    def consume(self, stream: int) -> None:
        if stream not in self.gone:
            self.session.consume(stream, self.unread[stream])
            self.unread[stream] = 0

    def finish(self, stream: int) -> None:
        if stream not in self.gone:
            self.session.finish(stream)
            self.finished.add(stream)

    def reset(self, stream: int) -> None:
        self.session.reset(stream)
        self.gone.add(stream)


STEPS = st.tuples(
    st.sampled_from(["open", "write", "write", "write", "consume", "consume", "finish", "reset", "carry", "carry"]),
    st.booleans(), st.integers(0, 9), st.integers(1, 200_000),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_any_interleaving_delivers_exactly_the_bytes_in_order_and_ends_clean(steps: list[tuple[str, bool, int, int]]) -> None:
    sides = {True: Side(True), False: Side(False)}
    wires = {True: bytearray(), False: bytearray()}

    def carry(which: bool, size: int) -> None:
        wires[which] += sent(sides[which].session)
        piece = bytes(wires[which][:size])
        del wires[which][:size]
        sides[not which].take(piece)

    for action, which, pick, size in steps:
        side = sides[which]
        if action == "open":
            side.open()
        elif action == "carry":
            carry(which, size)
        elif side.written:
            stream = sorted(side.written)[pick % len(side.written)]
            if action == "write":
                side.write(stream, size)
            else:
                {"consume": side.consume, "finish": side.finish, "reset": side.reset}[action](stream)
    settle(sides, wires, carry)
    for which in (True, False):
        near, far = sides[which], sides[not which]
        for stream, written in near.written.items():
            if stream not in near.gone | far.gone:
                assert far.read[stream] == written
                assert stream in far.ended
        assert (near.session.streams, near.session.buffered) == (0, 0)


def settle(sides: dict[bool, Side], wires: dict[bool, bytearray], carry: object) -> None:
    """Read and finish everything that is left, until nothing moves."""
    for _ in range(50):
        for which, side in sides.items():
            for stream in list(side.written):
                side.consume(stream)
                side.finish(stream)
            carry(which, 1 << 30)  # type: ignore[operator]
        moving = any(side.session.pending or any(size for stream, size in side.unread.items() if stream not in side.gone)
                     for side in sides.values())
        if not moving and not any(wires.values()):
            return
    raise AssertionError("the two sessions never come to rest")
