"""Geneve (RFC 8926), the obvious way, over the columns of a PacketBatch."""

from fastpath.action import DropReason


def _drop(batch, i, reason):
    batch.reason[i], batch.action[i] = reason, 3


def _decode(batch, i):
    frame, start = batch.frame(i), int(batch.start[i])
    if len(frame) < 8:
        return DropReason.DROP_GENEVE_SHORT
    if frame[0] >> 6:
        return DropReason.DROP_GENEVE_VERSION
    header = 8 + 4 * (frame[0] & 0x3F)
    if header > len(frame):
        return DropReason.DROP_GENEVE_SHORT
    at = 8
    while at < header:
        if at + 4 > header or at + 4 + 4 * (frame[at + 3] & 0x1F) > header:
            return DropReason.DROP_GENEVE_OPTION_OVERRUN
        at += 4 + 4 * (frame[at + 3] & 0x1F)
    if not frame[1] & 0x80 and frame[2:4] not in (b"\x08\x00", b"\x86\xdd"):
        return DropReason.DROP_GENEVE_PROTOCOL
    batch.geneve_start[i], batch.geneve_length[i], batch.geneve_flags[i] = start, header, frame[1] & 0xC0
    batch.vni[i] = int.from_bytes(frame[4:7], "big")
    batch.inner_start[i], batch.inner_length[i] = start + header, len(frame) - header
    return DropReason.DROP_NONE


def decode_batch(batch):
    """Decode every live row."""
    for i in range(batch.count):
        if batch.reason[i] == 0:
            reason = _decode(batch, i)
            if reason:
                _drop(batch, i, reason)
    return batch.alive()


def encode_header(options=(), *, protocol=0x0800, vni=0, flags=0):
    """A header with options."""
    out = b""
    for klass, kind, data in options:
        if len(data) % 4 or len(data) > 124 or not 0 <= klass <= 0xFFFF or not 0 <= kind <= 0xFF:
            raise ValueError("options")
        out += klass.to_bytes(2, "big") + bytes([kind, len(data) // 4]) + data
    if len(out) > 252:
        raise ValueError("options")
    if not 0 <= vni < 1 << 24 or not 0 <= protocol <= 0xFFFF or flags & ~0xC0:
        raise ValueError("vni, protocol or flags")
    return bytes([len(out) // 4, flags]) + protocol.to_bytes(2, "big") + vni.to_bytes(3, "big") + b"\0" + out


def decode_options(header):
    """The options that fit."""
    out, at = [], 8
    end = min(len(header), 8 + 4 * (header[0] & 0x3F)) if len(header) >= 8 else 0
    while at + 4 <= end:
        size = 4 * (header[at + 3] & 0x1F)
        if at + 4 + size > end:
            break
        out.append(
            (
                int.from_bytes(header[at : at + 2], "big"),
                header[at + 2],
                bytes(header[at + 4 : at + 4 + size]),
            )
        )
        at += 4 + size
    return out


def put_header(batch, i, header):
    """Put a header in front of the inner packet."""
    if not 0 <= i < batch.count:
        raise IndexError("row")
    begin = int(batch.inner_start[i]) - len(header)
    if begin < 0:
        raise ValueError("header")
    batch.data[i, begin : begin + len(header)] = list(header)
    batch.start[i], batch.length[i] = begin, len(header) + int(batch.inner_length[i])
