"""Cutting an IPv4 packet, the obvious way (RFC 791 §3.2)."""

from __future__ import annotations

from model.checksum import checksum

AT = 128         # where a device puts packets


def cut(packet, mtu):
    """The fragments of a packet, or [] where there can be none."""
    header = 4 * (packet[0] & 15)
    payload, word = packet[header:], int.from_bytes(packet[6:8])
    step = (mtu - header) // 8 * 8
    if step < 8 or not payload or 8 * (word & 0x1FFF) + len(payload) > 0xFFFF:
        return []
    parts = [payload[at : at + step] for at in range(0, len(payload), step)]
    made = []
    for k, part in enumerate(parts):
        head = bytearray(packet[:header] if k == 0 else packet[:20] + copied(packet[20:header]))
        head[0] = 0x40 | len(head) // 4
        more = 0x2000 if k < len(parts) - 1 else word & 0x2000
        head[2:4] = (len(head) + len(part)).to_bytes(2)
        head[6:8] = ((word & 0x1FFF) + k * step // 8 | more).to_bytes(2)
        head[10:12] = b"\0\0"
        head[10:12] = checksum(bytes(head)).to_bytes(2)
        made.append(bytes(head) + part)
    return made


def copied(options):
    """The options that every fragment has, padded."""
    out, at = b"", 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options):
            break
        out += options[at : at + size] if options[at] & 0x80 else b""
        at += size
    return out + bytes(-len(out) % 4)


def cut_one(batch, row_number, mtu, out):
    if not 0 <= row_number < batch.count or batch.reason[row_number] or batch.ip_version[row_number] != 4:
        raise ValueError("row_number must be a live IPv4 row")
    if not 68 <= mtu <= 65535:
        raise ValueError("mtu must be 68 to 65535")
    if out is batch:
        raise ValueError("out must be another batch")
    begin = int(batch.inner_start[row_number])
    made = cut(batch.data[row_number, begin : begin + int(batch.inner_length[row_number])].tobytes(), mtu)
    if len(made) > min(out.capacity, 16) or (made and AT + mtu // 8 * 8 > out.room):
        return 0
    out.count = len(made)
    for k, piece in enumerate(made):
        out.data[k, AT : AT + len(piece)] = list(piece)
        out.start[k] = out.inner_start[k] = AT
        out.length[k] = out.inner_length[k] = len(piece)
        out.reason[k] = 0
    return len(made)
