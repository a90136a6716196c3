"""Packets in parts, the obvious way: a dict of what has come, and bytes."""

from __future__ import annotations

from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES
from model.geneve import decode_batch

LARGEST, MOST_PARTS, PLACES, HEADER_MOST, OPTION = 1280, 4, 32, 48, b"\xff\x5a\x84\x02"


def with_option(header, said):
    """A Geneve header with one critical option more."""
    return bytes([header[0] + 3, header[1] | 0x40]) + header[2:] + OPTION + said


def without_option(header):
    return bytes([header[0] - 3, header[1] & ~0x40]) + header[2:-12]


class Parts:
    """fastpath.parts.Parts."""

    def __init__(self):
        self.lost = 0
        self._number = 0
        self._places = {}      # number % PLACES → [number, header, whole, {first: bytes}, done]

    def split(self, packet, size):
        """The parts of a Geneve packet; [] = none can be made."""
        end = 8 + 4 * (packet[0] & 0x3F) if packet else 0
        header, inner = packet[:end], packet[end:]
        room = size - end - 12
        if end > HEADER_MOST or not 0 < len(inner) <= LARGEST or room <= 0 or -(-len(inner) // room) > MOST_PARTS:
            return []
        self._number += 1
        step = -(-len(inner) // -(-len(inner) // room))
        return [with_option(header, self._number.to_bytes(4) + at.to_bytes(2) + len(inner).to_bytes(2)) + inner[at:at + step]
                for at in range(0, len(inner), step)]

    def join(self, header, data):
        """A DropReason, or the whole Geneve packet."""
        options, at = [], 8
        while at < len(header):
            options.append(header[at:at + 4 + 4 * (header[at + 3] & 0x1F)])
            at += len(options[-1])
        last = options[-1] if options else b""
        if len(last) != 12 or last[:3] != OPTION[:3] or any(option[2] & 0x80 for option in options[:-1]):
            return DropReason.DROP_PART_SHAPE
        number, first, whole = int.from_bytes(last[4:8]), int.from_bytes(last[8:10]), int.from_bytes(last[10:])
        if not number or not data or first + len(data) > whole or whole > LARGEST or len(header) - 12 > HEADER_MOST:
            return DropReason.DROP_PART_SHAPE
        there = self._places.get(number % PLACES)
        if there is not None and there[0] != number and (number - there[0]) & 0x80000000:
            return DropReason.DROP_PART_ORPHAN
        if there is None or there[0] != number:
            if there is not None and not there[4]:
                self.lost += len(there[3])
            there = self._places[number % PLACES] = [number, header[:-12], whole, {}, False]
        _, known, size, held, done = there
        if done or known != header[:-12] or size != whole or len(held) == MOST_PARTS or any(
                first < at + len(one) and at < first + len(data) for at, one in held.items()):
            return DropReason.DROP_PART_SHAPE
        held[first] = data
        if sum(map(len, held.values())) < whole:
            return DropReason.DROP_PART_HELD
        there[4] = True
        return without_option(header) + b"".join(held[at] for at in sorted(held))

    def split_rows(self, batch, rows, size, out):
        rows = in_use(rows, batch.count)
        if not 1 <= size <= 65535:
            raise ValueError("size must be 1 to 65535")
        if out is batch or out.capacity < MOST_PARTS:
            raise ValueError("out must be another batch, of 4 rows at least")
        out.reset(0)
        made, done = [], 0
        for row in rows:
            if len(made) + MOST_PARTS > out.capacity:
                break
            done += 1
            if batch.reason[row]:
                continue
            parts = self.split(batch.frame(row), size) if HEADROOM_BYTES + size <= out.room else []
            if not parts:
                batch.reason[row], batch.action[row] = DropReason.DROP_ZIA_TOO_BIG, 3
            made += [(part, row) for part in parts]
        out.load([part for part, _ in made])
        for k, (_, row) in enumerate(made):
            out.peer_address[k], out.peer_port[k] = batch.peer_address[row], batch.peer_port[row]
        return done

    def join_rows(self, batch, rows):
        whole = 0
        for row in in_use(rows, batch.count):
            if batch.reason[row]:
                continue
            begin, end = int(batch.geneve_start[row]), int(batch.geneve_start[row]) + int(batch.geneve_length[row])
            header = batch.data[row, begin:end].tobytes()
            data = batch.data[row, end:end + int(batch.inner_length[row])].tobytes()
            found = self.join(header, data)
            if isinstance(found, bytes) and HEADROOM_BYTES + len(found) > batch.room:
                found = DropReason.DROP_IO_TRUNCATED
            if not isinstance(found, bytes):
                batch.reason[row], batch.action[row] = found, 3
                continue
            batch.data[row, HEADROOM_BYTES:HEADROOM_BYTES + len(found)] = list(found)
            batch.start[row], batch.length[row] = HEADROOM_BYTES, len(found)
            redecode(batch, row)
            whole += not batch.reason[row]
        return whole


def in_use(rows, count):
    """The rows as ints; a ValueError names the argument."""
    if len(rows) and int(max(rows)) >= count:
        raise ValueError(f"rows must be below {count}")
    return [int(row) for row in rows]


def redecode(batch, row):
    """Decode one row as Geneve, and leave the others alone."""
    others = batch.reason.copy()
    batch.reason[:] = 1
    batch.reason[row] = 0
    decode_batch(batch)
    others[row] = batch.reason[row]
    batch.reason[:] = others
