"""Refusals, the obvious way: the answer is built from the packet's fields, whole, and laid into the row."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from fastpath.refusal import Refusal
from zcc.connector import packets

KINDS = {
    (4, Refusal.REFUSAL_PROHIBITED): (3, 13),
    (4, Refusal.REFUSAL_TOO_BIG): (3, 4),
    (4, Refusal.REFUSAL_EXPIRED): (11, 0),
    (6, Refusal.REFUSAL_PROHIBITED): (1, 1),
    (6, Refusal.REFUSAL_TOO_BIG): (2, 0),
    (6, Refusal.REFUSAL_EXPIRED): (3, 0),
}


def refuse_one(batch, row_number, refusal, mtu=0, speaker=None):
    if not 0 <= row_number < batch.count or batch.reason[row_number]:
        raise ValueError("row_number must be a live row")
    if refusal not in list(Refusal):
        raise ValueError("refusal must be a Refusal")
    if refusal == Refusal.REFUSAL_TOO_BIG and mtu < 68:
        raise ValueError("mtu must be 68 to 65535")
    if speaker is not None and len(speaker) != 16:
        raise ValueError("speaker must be 16 bytes")
    begin = int(batch.inner_start[row_number])
    packet = batch.data[row_number, begin : begin + int(batch.inner_length[row_number])].tobytes()
    answer = answer_to(packet, refusal, mtu, speaker)
    if answer is None:
        return False
    if answer[9 if answer[0] >> 4 == 4 else 6] != packets.TCP:
        begin -= 28 if answer[0] >> 4 == 4 else 48
    if begin < 0:
        return False
    batch.data[row_number, begin : begin + len(answer)] = list(answer)
    batch.inner_start[row_number], batch.inner_length[row_number] = begin, len(answer)
    return True


def is_host(address):
    """Not of this network, loopback, multicast, reserved or broadcast."""
    if len(address) == 4:
        return 0 < address[0] < 224 and address[0] != 127
    return address[0] != 0xFF and int.from_bytes(address, "big") > 1


def answer_to(packet, refusal, mtu, speaker):
    offender = packets.parse(packet)
    if offender is None or offender.fragment:
        return None
    if speaker is not None:
        says = ip_address(speaker if offender.version == 6 else speaker[12:])
        offender = replace(offender, destination=says)
    ends = (packet[12:16], packet[16:20]) if offender.version == 4 else (packet[8:24], packet[24:40])
    if not all(is_host(bytes(end)) for end in ends):
        return None
    if refusal == Refusal.REFUSAL_PROHIBITED and offender.protocol == packets.TCP:
        return packets.tcp_reset(offender)
    if refusal == Refusal.REFUSAL_TOO_BIG and not offender.dont_fragment:
        return None
    value = 0
    if refusal == Refusal.REFUSAL_TOO_BIG:
        value = mtu if offender.version == 4 else max(mtu, 1280)
    return packets.icmp_error(offender, *KINDS[offender.version, refusal], value)
