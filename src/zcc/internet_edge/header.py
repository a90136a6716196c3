"""The Geneve header of packets towards a connector, for many rows at once.

    |Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol Type        |   RFC 8926 §3.4
    |        Virtual Network Identifier (VNI)       |    Reserved   |   VNI = namespace id
    |   class 0xFF5A                |  type 1       |0 0 0| length 1|   location id, 4 bytes
    |   class 0xFF5A                |  type 3       |0 0 0| length 2|   flow hash, 8 bytes

The connector's own header has the same form. Pure; the datapath puts the bytes into the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEADER_BYTES", "OPTION_CLASS", "OPTION_FLOW_HASH", "OPTION_LOCATION", "headers", "put_headers"]

OPTION_CLASS, OPTION_LOCATION, OPTION_FLOW_HASH = 0xFF5A, 1, 3
HEADER_BYTES = 28
BASE_BYTES = 8
ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD

HEADER = np.dtype([
    ("words", "u1"), ("flags", "u1"), ("protocol", ">u2"), ("vni", ">u4"),
    ("location_class", ">u2"), ("location_type", "u1"), ("location_words", "u1"), ("location", ">u4"),
    ("hash_class", ">u2"), ("hash_type", "u1"), ("hash_words", "u1"), ("hash", ">u8")])


def headers(entries: NDArray[Any], flows: NDArray[np.int32], versions: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the header of a packet of each flow, uint8[n, 28].

    Args:
        entries: of fastpath.flowtable (dtype ENTRY): namespace, location and hash are read.
        flows: which of them.
        versions: 4 or 6, of each packet.
    """
    made = np.zeros(len(flows), HEADER)
    made["words"] = (HEADER_BYTES - BASE_BYTES) // 4
    made["protocol"] = np.where(versions == 4, ETHERTYPE_IPV4, ETHERTYPE_IPV6)
    made["vni"] = entries["namespace"][flows].astype(np.uint32) << 8
    made["location_class"] = made["hash_class"] = OPTION_CLASS
    made["location_type"], made["location_words"] = OPTION_LOCATION, 1
    made["location"] = entries["location"][flows]
    made["hash_type"], made["hash_words"] = OPTION_FLOW_HASH, 2
    made["hash"] = entries["hash"][flows]
    return made.view(np.uint8).reshape(len(flows), HEADER_BYTES)


def put_headers(batch: Any, rows: NDArray[np.uint16], entries: NDArray[Any]) -> None:
    """Put the header of its flow in front of the inner packet of each row, wherever that lies.

    Args:
        batch: a fastpath.batch.PacketBatch; `entry` names the flow.
        entries: of fastpath.flowtable.
    """
    at = batch.inner_start[rows].astype(np.intp) - HEADER_BYTES
    made = headers(entries, batch.entry[rows], batch.ip_version[rows])
    batch.data[rows[:, None], at[:, None] + np.arange(HEADER_BYTES)] = made
    batch.start[rows], batch.length[rows] = at, batch.inner_length[rows] + HEADER_BYTES
