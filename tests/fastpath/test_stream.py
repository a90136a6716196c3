"""Packets over TLS: what is sent arrives in order, a congested TCP drops and recovers, the end is known."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from fastpath.stream import Stream
from tls_pair import contexts, pair, sockets


class Ends:
    """Two streams, and their sockets."""

    def close(self) -> None:
        for end in (self.near, self.far, *self.wires):
            end.close()

    def __init__(self, folder: Path) -> None:
        self.wires = sockets()
        client, server = pair(*contexts(folder))
        self.near, self.far = Stream(client, self.wires[0].fileno()), Stream(server, self.wires[1].fileno())

    def heard(self, n: int, by: str = "far", batch: PacketBatch | None = None) -> list[bytes]:
        """Receive until n packets have come."""
        batch, got, deadline = batch or PacketBatch(), [], time.monotonic() + 5
        while len(got) < n:
            rows = getattr(self, by).recv(batch)
            got += [batch.frame(row) for row in range(rows)]
            assert rows or time.monotonic() < deadline, f"{len(got)} of {n} came"
        return got


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    made = Ends(tmp_path)
    yield made
    made.close()


def packets(n: int, size: int = 1000) -> list[bytes]:
    return [k.to_bytes(4, "big") + bytes(size - 4) for k in range(n)]


def test_a_batch_arrives_whole_and_in_order(ends: Ends) -> None:
    batch = PacketBatch()
    batch.load(packets(200))
    assert ends.near.send(batch) == 200
    assert ends.near.send_bytes(b"control")
    assert ends.heard(201) == [*packets(200), b"control"]
    batch.load([b"back", b"again"])
    batch.reason[0] = 9
    assert ends.far.send(batch) == 1
    assert ends.heard(1, "near") == [b"again"]


def test_what_does_not_fit_a_batch_is_held_for_the_next(ends: Ends) -> None:
    batch, small = PacketBatch(), PacketBatch(3)
    batch.load(packets(8, 50))
    ends.near.send(batch)
    assert ends.heard(8, batch=small) == packets(8, 50)
    assert ends.far.recv(small) == 0 and not ends.far.held


def test_a_congested_tcp_drops_what_it_does_not_take_and_goes_on_later(ends: Ends) -> None:
    ends.wires[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
    batch, sent, dropped = PacketBatch(), 0, 0
    while not dropped:
        batch.load(packets(100))
        sent += ends.near.send(batch)
        dropped = int((batch.reason[:100] == DropReason.DROP_IO_SEND).sum())
    assert ends.near.send(batch) == 0, "nothing is kept beyond a record"
    assert ends.near.send_bytes(b"control may wait")
    got = []
    reader = PacketBatch()
    deadline = time.monotonic() + 5
    while len(got) < sent + 1:
        got += [reader.frame(row) for row in range(ends.far.recv(reader))]
        ends.near.recv(batch)                    # flushes
        assert time.monotonic() < deadline
    assert got[-1] == b"control may wait" and len(got) == sent + 1
    batch.load(packets(10))
    assert ends.near.send(batch) == 10


def test_control_that_waits_is_bounded(ends: Ends) -> None:
    ends.wires[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
    taken = 0
    while ends.near.send_bytes(bytes(8000)):
        taken += 1
        assert taken < 10_000


def test_the_end_is_told_by_tls_and_by_tcp(ends: Ends, tmp_path: Path) -> None:
    batch = PacketBatch()
    ends.near.close()
    while not ends.far.closed:
        assert ends.far.recv(batch) == 0
    assert ends.far.send(batch) == 0 and not ends.far.send_bytes(b"x")
    ends.near.close()
    (tmp_path / "b").mkdir()
    other = Ends(tmp_path / "b")
    other.wires[0].shutdown(socket.SHUT_RDWR)
    while not other.far.closed:
        assert other.far.recv(batch) == 0
    other.close()


def test_bytes_that_are_no_tls_end_it(ends: Ends) -> None:
    ends.wires[0].send(b"\x17\x03\x03\x00\x20" + bytes(32))
    batch = PacketBatch()
    deadline = time.monotonic() + 5
    while not ends.far.closed:
        assert ends.far.recv(batch) == 0 and time.monotonic() < deadline


def test_any_plain_bytes_are_frames(tmp_path: Path) -> None:
    near, far = sockets()
    client, server = pair(*contexts(tmp_path))
    stream, batch = Stream(server, far.fileno()), PacketBatch(4, 300)
    client.send(b"\0\3abc" + b"\x03\xe8" + bytes(1000) + b"\0\0" + b"\xff\xff")
    near.sendall(client.bio_read(1 << 16))
    got = []
    while len(got) < 2:
        got += [(batch.frame(row)[:3], int(batch.reason[row])) for row in range(stream.recv(batch))]
    for end in (stream, near, far):
        end.close()
    assert got == [(b"abc", 0), (bytes(3), DropReason.DROP_IO_TRUNCATED)]


def test_wrong_calls_name_what_they_take(ends: Ends) -> None:
    with pytest.raises(TypeError, match="connection"):
        Stream(object(), 1)
    connection = ends.near.connection
    assert isinstance(connection, SSL.Connection)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(ValueError, match="stream socket"):
        Stream(connection, other.fileno())
    for wrong in (b"", bytes(16_383)):
        with pytest.raises(ValueError, match="packet"):
            ends.near.send_bytes(wrong)
    with pytest.raises(TypeError, match="packet"):
        ends.near.send_bytes("text")
