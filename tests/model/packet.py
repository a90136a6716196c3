"""Inner packets, the obvious way: slices and conditions, no shared state."""

from fastpath.action import DropReason, Fragment

_MAPPED = bytes(10) + b"\xff\xff"
_CHAINED = {0, 43, 60}


def parse_packet(data):
    """(reason, fields) of one IP packet."""
    if not data:
        return DropReason.DROP_PACKET_SHORT, None
    if data[0] >> 4 == 4:
        reason, fields = _parse4(data)
    elif data[0] >> 4 == 6:
        reason, fields = _parse6(data)
    else:
        return DropReason.DROP_PACKET_VERSION, None
    return (reason, fields) if reason else _transport(data, fields)


def _parse4(data):
    header = 4 * (data[0] & 15)
    if len(data) < 20:
        return DropReason.DROP_PACKET_SHORT, None
    if header < 20:
        return DropReason.DROP_PACKET_HEADER_LENGTH, None
    total = int.from_bytes(data[2:4], "big")
    if total > len(data) or total < header:
        return DropReason.DROP_PACKET_TOTAL_LENGTH, None
    if _names_route(data[20:header]):
        return DropReason.DROP_PACKET_SOURCE_ROUTE, None
    word = int.from_bytes(data[6:8], "big")
    fragment = Fragment.FRAGMENT_NONE
    if word & 0x1FFF:
        fragment = Fragment.FRAGMENT_LATER
    elif word & 0x2000:
        fragment = Fragment.FRAGMENT_FIRST
    return DropReason.DROP_NONE, {
        "ip_version": 4,
        "protocol": data[9],
        "inner_length": total,
        "fragment": fragment,
        "l4": header,
        "source": _MAPPED + data[12:16],
        "destination": _MAPPED + data[16:20],
    }


def _names_route(options):
    while options and options[0] != 0:
        if options[0] in (131, 137):
            return True
        size = 1 if options[0] == 1 else options[1] if len(options) > 1 else 0
        if size < 2 and options[0] != 1:
            return False
        options = options[size:]
    return False


def _is_source_route(header):
    return header[2] == 0 and header[3] != 0


def _parse6(data):
    if len(data) < 40:
        return DropReason.DROP_PACKET_SHORT, None
    total = 40 + int.from_bytes(data[4:6], "big")
    if total > len(data):
        return DropReason.DROP_PACKET_TOTAL_LENGTH, None
    fields = {
        "ip_version": 6,
        "inner_length": total,
        "fragment": Fragment.FRAGMENT_NONE,
        "source": data[8:24],
        "destination": data[24:40],
    }
    kind, at = data[6], 40
    for _ in range(9):
        if kind not in _CHAINED | {44, 51}:
            return DropReason.DROP_NONE, fields | {"protocol": kind, "l4": at}
        if at + 8 > total:
            break
        if kind == 44:
            word = int.from_bytes(data[at + 2 : at + 4], "big")
            kind, at = data[at], at + 8
            fields["fragment"] = Fragment.FRAGMENT_FIRST if word & 1 else Fragment.FRAGMENT_NONE
            if word >> 3:
                fields["fragment"] = Fragment.FRAGMENT_LATER
                return DropReason.DROP_NONE, fields | {"protocol": kind, "l4": at}
        elif kind == 43 and _is_source_route(data[at:]):
            return DropReason.DROP_PACKET_SOURCE_ROUTE, None
        else:
            kind, at = data[at], at + (4 * (data[at + 1] + 2) if kind == 51 else 8 * (data[at + 1] + 1))
        if at > total:
            break
    return DropReason.DROP_PACKET_EXTENSION_CHAIN, None


def _transport(data, fields):
    fields |= {"tcp_flags": 0, "source_port": 0, "destination_port": 0}
    rest = data[fields["l4"] : fields["inner_length"]]
    protocol, version = fields["protocol"], fields["ip_version"]
    if fields["fragment"] == Fragment.FRAGMENT_LATER:
        return DropReason.DROP_NONE, fields
    if protocol == 6:
        header = 4 * (rest[12] >> 4) if len(rest) >= 20 else 0
        if header < 20 or (fields["fragment"] == Fragment.FRAGMENT_NONE and header > len(rest)):
            return DropReason.DROP_PACKET_L4_SHORT, None
        fields["tcp_flags"] = rest[13]
    if protocol in (6, 17):
        if len(rest) < 8:
            return DropReason.DROP_PACKET_L4_SHORT, None
        fields["source_port"] = int.from_bytes(rest[:2], "big")
        fields["destination_port"] = int.from_bytes(rest[2:4], "big")
    if (protocol, version) in ((1, 4), (58, 6)):
        if len(rest) < 8:
            return DropReason.DROP_PACKET_L4_SHORT, None
        if rest[0] in ((0, 8) if version == 4 else (128, 129)):
            fields["source_port"] = fields["destination_port"] = int.from_bytes(rest[4:6], "big")
    return DropReason.DROP_NONE, fields


def parse_batch(batch):
    """Parse every live row."""
    for i in range(batch.count):
        if batch.reason[i]:
            continue
        start = int(batch.inner_start[i])
        reason, fields = parse_packet(batch.data[i, start : start + int(batch.inner_length[i])].tobytes())
        if reason:
            batch.reason[i], batch.action[i] = reason, 3
            continue
        batch.l4_start[i] = start + fields.pop("l4")
        for name in ("source", "destination"):
            getattr(batch, name)[i] = list(fields.pop(name))
        for name, value in fields.items():
            getattr(batch, name)[i] = value
    return batch.alive()
