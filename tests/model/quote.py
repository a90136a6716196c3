"""What ICMP errors quote, the obvious way: the quoted packet is cut out and changed by slices; the checksum follows."""

from __future__ import annotations

from model.nat import updated

ERRORS = {4: (3, 4, 11, 12), 6: (1, 2, 3, 4)}
ECHOES = {1: (0, 8), 58: (128, 129)}
MAPPED = bytes(10) + b"\xff\xff"
CHAINED = {0, 43, 60, 51, 44}


def outer_of(batch, row_number):
    """(packet, offset of its ICMP header) of an ICMP error; None: it is none."""
    if not 0 <= row_number < batch.count or batch.reason[row_number]:
        raise ValueError("row_number must be a live row")
    begin = int(batch.inner_start[row_number])
    packet = batch.data[row_number, begin : begin + int(batch.inner_length[row_number])].tobytes()
    version, l4 = int(batch.ip_version[row_number]), int(batch.l4_start[row_number]) - begin
    if batch.fragment[row_number] or int(batch.protocol[row_number]) != {4: 1, 6: 58}[version]:
        return None
    return (packet, l4) if packet[l4] in ERRORS[version] else None


def quoted(packet, l4):
    """(version, protocol, offset of the quoted transport header, quoted bytes), or None."""
    version, data = packet[0] >> 4, packet[l4 + 8 :]
    if len(data) < {4: 20, 6: 40}[version] or data[0] >> 4 != version:
        return None
    if version == 4:
        at, kind = 4 * (data[0] & 15), data[9]
        if int.from_bytes(data[6:8]) & 0x1FFF or at < 20:
            return None
    else:
        at, kind = 40, data[6]
        for _ in range(9):
            if kind not in CHAINED:
                break
            if at + 8 > len(data) or (kind == 44 and int.from_bytes(data[at + 2 : at + 4]) & 0xFFF8):
                return None
            kind, at = data[at], at + (8 if kind == 44 else 4 * (data[at + 1] + 2) if kind == 51 else 8 * (data[at + 1] + 1))
        if kind in CHAINED:
            return None
    if at + 8 > len(data):
        return None
    if kind == {4: 1, 6: 58}[version] and data[at] not in ECHOES[kind]:
        return None
    return version, kind, at, data


def read_one(batch, row_number):
    outer = outer_of(batch, row_number)
    found = outer and quoted(*outer)
    if not found:
        return None
    version, kind, at, data = found
    ends = [MAPPED + data[12:16], MAPPED + data[16:20]] if version == 4 else [data[8:24], data[24:40]]
    ports = [0, 0]
    if kind in (6, 17):
        ports = [int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4])]
    elif kind == {4: 1, 6: 58}[version]:
        ports = [int.from_bytes(data[at + 4 : at + 6])] * 2
    return kind, ends[0], ports[0], ends[1], ports[1]


def rewrite_one(batch, row_number, side, address, port):
    outer = outer_of(batch, row_number)
    if side not in (0, 1):
        raise ValueError("side must be 0 or 1")
    if len(address) != 16 or address.startswith(MAPPED) != (batch.ip_version[row_number] == 4):
        raise ValueError("address must be 16 bytes of the row's family")
    found = outer and quoted(*outer)
    if not found:
        raise ValueError("row_number: it quotes no packet")
    packet, l4 = outer
    version, kind, at, data = found
    new = bytearray(data)
    begin, put = (8 + 16 * side, address) if version == 6 else (12 + 4 * side, address[12:])
    old = data[begin : begin + len(put)]
    new[begin : begin + len(put)] = put
    if version == 4:
        new[10:12] = updated(int.from_bytes(data[10:12]), old, put).to_bytes(2)
    rewrite_transport(new, kind, at, side, (old, put), port)
    begin = int(batch.inner_start[row_number])
    even = len(data) & ~1
    total = updated(int.from_bytes(packet[l4 + 2 : l4 + 4]), data[:even], bytes(new[:even]))
    made = packet[: l4 + 2] + total.to_bytes(2) + packet[l4 + 4 : l4 + 8] + bytes(new)
    batch.data[row_number, begin : begin + len(made)] = list(made)


def rewrite_transport(data, kind, at, side, addresses, port):
    """Port or identifier of the quoted transport header, and its checksum if it was quoted."""
    if kind not in (1, 6, 17, 58):
        return
    port_at, sum_at = {6: (2 * side, 16), 17: (2 * side, 6)}.get(kind, (4, 2))
    old = bytes(data[at + port_at : at + port_at + 2])
    data[at + port_at : at + port_at + 2] = port.to_bytes(2)
    checksum = int.from_bytes(data[at + sum_at : at + sum_at + 2])
    if at + sum_at + 2 > len(data) or (kind == 17 and not checksum):
        return
    checksum = updated(checksum, old, port.to_bytes(2))
    if kind != 1:
        checksum = updated(checksum, *addresses)
    if kind == 17:
        checksum = checksum or 0xFFFF
    data[at + sum_at : at + sum_at + 2] = checksum.to_bytes(2)


def readdress_one(batch, row_number, side, address):
    outer = outer_of(batch, row_number)
    if side not in (0, 1):
        raise ValueError("side must be 0 or 1")
    if len(address) != 16 or address.startswith(MAPPED) != (batch.ip_version[row_number] == 4):
        raise ValueError("address must be 16 bytes of the row's family")
    if not (outer and quoted(*outer)):
        raise ValueError("row_number: it quotes no packet")
    packet, l4 = bytearray(outer[0]), outer[1]
    at, put = (8 + 16 * side, address) if packet[0] >> 4 == 6 else (12 + 4 * side, address[12:])
    sum_at = l4 + 2 if packet[0] >> 4 == 6 else 10
    old = bytes(packet[at : at + len(put)])
    packet[sum_at : sum_at + 2] = updated(int.from_bytes(packet[sum_at : sum_at + 2]), old, put).to_bytes(2)
    packet[at : at + len(put)] = put
    begin = int(batch.inner_start[row_number])
    batch.data[row_number, begin : begin + len(packet)] = list(packet)
    (batch.destination if side else batch.source)[row_number] = list(address)
