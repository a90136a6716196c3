"""What holds on any bytes for each decoder of fastpath: it says what its reference says, and stays in its bounds.

Each check takes one input and raises when the invariant does not hold. They keep their batches and sessions from one input to
the next, as a worker does.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

from dtls_pair import contexts, pair
from fastpath import geneve, gwlb, message, nat, packet, superpacket, trains
from fastpath.batch import PacketBatch
from fastpath.dtls import Session
from fastpath.frames import Frames
from fastpath.parts import Parts
from fastpath.ring import Ring
from fuzz import fuzz_dns, fuzz_geneve, fuzz_packet
from fuzz.mutation import PACKET_LIMIT, compared
from model import frames as frames_model
from model import nat as nat_model
from model import packet as packet_model
from model import parts as parts_model
from model import superpacket as superpacket_model
from model import trains as trains_model

ADDRESSES = {4: bytes(10) + b"\xff\xff\xc0\x00\x02\x01", 6: bytes.fromhex("20010db8") + bytes(11) + b"\x01"}
RING_BYTES = 4096


@functools.cache
def batches() -> tuple[PacketBatch, PacketBatch]:
    """One row each: under a sanitizer the row's end is the buffer's end."""
    return PacketBatch(1, 1024), PacketBatch(1, 1024)


def check_geneve(data: bytes) -> None:
    """Geneve and GWLB's options: all columns as the references; options, encoded again, read the same."""
    fuzz_geneve.check([data[:PACKET_LIMIT]], *batches())


def check_packet(data: bytes) -> None:
    """Inner packets and flow keys: all columns as the references; a clamped MSS leaves lengths and sums right."""
    fuzz_packet.check([data[:PACKET_LIMIT]], *batches())


def check_rewrite(data: bytes) -> None:
    """Addresses, ports, TTL: what both parsers accept, both rewriters change alike, byte for byte."""
    outcomes = []
    for batch, parser, writer in zip(batches(), (packet, packet_model), (nat, nat_model), strict=True):
        n = batch.load([data[:PACKET_LIMIT]])
        batch.inner_start[:n], batch.inner_length[:n] = batch.start[:n], batch.length[:n]
        parser.parse_batch(batch)
        rows = np.arange(n, dtype=np.uint16)
        address = np.frombuffer(ADDRESSES.get(int(batch.ip_version[0]), ADDRESSES[4]), np.uint8).reshape(1, 16).copy()
        done = [writer.rewrite_rows(batch, rows, len(data) & 1, address, np.array([4000], np.uint16)),
                writer.decrement_ttl_rows(batch, rows)]
        outcomes.append((done, batch.frame(0)))
    compared(*batches(), ("source", "destination", "source_port", "destination_port"))
    assert outcomes[0] == outcomes[1], f"rewritten to {outcomes[0]}, by the model to {outcomes[1]}"


def check_superpacket(data: bytes) -> None:
    """A virtio header and what it stands before: packets or a dropped row, as the reference; coupled again as it does."""
    outcomes = []
    header, large = data[:10].ljust(10, b"\0"), data[10:]
    for cutter, joiner in ((superpacket, trains), (superpacket_model, trains_model)):
        batch = PacketBatch(32, 1024)
        n = cutter.cut_one(header, large, batch)
        batch.inner_start[:n], batch.inner_length[:n] = batch.start[:n], batch.length[:n]
        rows = np.arange(n, dtype=np.uint16)
        frames = [(batch.frame(k), int(batch.reason[k])) for k in range(n)]
        outcomes.append((frames, joiner.join_rows(batch, rows)))
    assert outcomes[0] == outcomes[1], f"{data.hex()}: {outcomes[0]}, by the model {outcomes[1]}"


def check_trains(data: bytes) -> None:
    """Packets of a length each, one after the other: coupled as the reference does."""
    packets, at = [], 0
    while at + 2 < len(data) and len(packets) < 32:
        size = min(int.from_bytes(data[at:at + 2]), 800)
        packets.append(data[at + 2:at + 2 + size])
        at += 2 + size
    batch = PacketBatch(32, 1024)
    n = batch.load(packets)
    batch.inner_start[:n], batch.inner_length[:n] = batch.start[:n], batch.length[:n]
    rows = np.arange(n, dtype=np.uint16)
    found, wanted = trains.join_rows(batch, rows), trains_model.join_rows(batch, rows)
    assert found == wanted, f"{data.hex()}: {found}, by the model {wanted}"


def check_dns(data: bytes) -> None:
    """Queries and answers: read and answered as the reference does; dnspython reads every answer."""
    fuzz_dns.check(data)


@functools.cache
def sessions() -> list[Session]:
    """Two ends of one DTLS session."""
    with tempfile.TemporaryDirectory() as folder:
        return [Session(end) for end in pair(*contexts(Path(folder)))]


def check_dtls(data: bytes) -> None:
    """Records: nothing that the peer did not seal opens; the next genuine record does, once."""
    receiver, sender = sessions()
    assert receiver.open(data) is None, f"{data.hex()} opened"
    receiver.pending()
    genuine = sender.seal(b"genuine")
    assert genuine is not None and receiver.open(genuine) == b"genuine", "the genuine record did not open"
    assert receiver.open(genuine) is None, "the genuine record opened twice"
    assert not receiver.closed


def check_message(data: bytes) -> None:
    """Records of the rings: an event, or ValueError; the ring goes on with the next."""
    ring = Ring(RING_BYTES)
    for record in (data[: RING_BYTES // 4], data[: len(data) // 2][: RING_BYTES // 4]):
        assert ring.push(record)
    for _ in range(2):
        try:
            events = message.drain(ring, 1)
        except ValueError:
            continue
        for event in events:
            assert len(event.packet) <= len(data) and len(event.header) <= 48, f"{event} is longer than its record"
    assert message.drain(ring) == []


def check_names(data: bytes) -> None:
    """GWLB endpoints' names: an identifier that prints as it was read, or ValueError."""
    text = data.decode("latin-1")
    try:
        number = gwlb.endpoint_id(text)
    except ValueError:
        return
    assert gwlb.endpoint_name(number) == text.lower(), f"{text!r} is {number:#x}, and that {gwlb.endpoint_name(number)!r}"


def check_parts(data: bytes) -> None:
    """Geneve packets of a length each, as parts that come one after the other: held, dropped or whole as the reference says."""
    found: list[list[tuple[bytes, int, int]]] = []
    for kind in (Parts, parts_model.Parts):
        parts, batch, at, rows = kind(), PacketBatch(1, 1500), 0, []
        while at + 2 < len(data):
            size = int.from_bytes(data[at:at + 2])
            batch.load([data[at + 2:at + 2 + size][:1372]])
            geneve.decode_batch(batch)
            whole = parts.join_rows(batch, np.zeros(1, np.uint16))
            rows.append((batch.frame(0) if whole else b"", int(batch.reason[0]), parts.lost))
            at += 2 + size
        found.append(rows)
    assert found[0] == found[1], f"{data.hex()}: {found[0]}, by the model {found[1]}"


def check_frames(data: bytes) -> None:
    """A stream's frames: however it is cut, the packets and drops of the model."""
    found = []
    for kind, step in ((frames_model.Frames, len(data) or 1), (Frames, len(data) or 1), (Frames, 1 + len(data) % 7)):
        frames, batch, rows = kind(), PacketBatch(3, 300), []
        for at in range(0, len(data), step):
            assert frames.feed(data[at:at + step]) == len(data[at:at + step]), "whole frames were taken, so there is room"
            while (n := frames.recv(batch)):
                rows += [(batch.frame(row), int(batch.reason[row])) for row in range(n)]
        found.append(rows)
    assert found[0] == found[1] == found[2]
