"""Link layers: where in a captured frame the IP packet begins.

Journey: `capture` reads the frames → here → `replay`. Spec: the link-layer header types registered for pcap; IEEE 802.1Q tags,
also stacked. Total on any bytes. It does not look into the IP packet but for its version, and knows no other network layer.
"""

from __future__ import annotations

from zcc.connector.capture import Frame

__all__ = ["LINK_TYPES", "ip_packet"]

NULL, ETHERNET, LOOP, COOKED, IPV4, IPV6, COOKED2 = 0, 1, 108, 113, 228, 229, 276
RAW = (12, 14, 101)  # 101 as registered; 12 and 14 as some systems number it
LINK_TYPES = frozenset({NULL, ETHERNET, LOOP, COOKED, IPV4, IPV6, COOKED2, *RAW})

ETHERTYPES = (0x0800, 0x86DD)
TAGS = (0x8100, 0x88A8, 0x9100)
TAGS_LIMIT = 4
ADDRESS_FAMILIES = (2, 10, 24, 28, 30)  # AF_INET, then AF_INET6 of Linux, the BSDs and Darwin


def ip_packet(frame: Frame) -> bytes | None:
    """Return the frame from its IP header on, padding included; None when it carries no IP or its link type is not known."""
    at = _start(frame)
    if at is None or at >= len(frame.data):
        return None
    return frame.data[at:] if frame.data[at] >> 4 in (4, 6) else None


def _start(frame: Frame) -> int | None:
    data, kind = frame.data, frame.link_type
    if kind in RAW or kind in (IPV4, IPV6):
        return 0
    if kind == ETHERNET:
        return _behind_tags(data, 12)
    if kind == COOKED:
        return _behind_tags(data, 14)
    if kind == COOKED2:
        return 20 if _word(data, 0) in ETHERTYPES else None
    if kind in (NULL, LOOP):
        little = kind == NULL and frame.little_endian
        return 4 if int.from_bytes(data[:4], "little" if little else "big") in ADDRESS_FAMILIES else None
    return None


def _behind_tags(data: bytes, at: int) -> int | None:
    """Where the packet begins whose EtherType, or the tags before it, begins at `at`."""
    for _ in range(TAGS_LIMIT + 1):
        ethertype = _word(data, at)
        if ethertype in ETHERTYPES:
            return at + 2
        if ethertype not in TAGS:
            return None
        at += 4
    return None


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
