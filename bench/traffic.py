"""Frames as GWLB sends them, of as many flows as wanted: what tells flows apart is computed from the number of a flow."""

from __future__ import annotations

import numpy as np

from fastpath import gwlb
from fastpath.batch import HEADROOM_BYTES, PacketBatch

ENDPOINTS = {0x0AAA_AAAA_AAAA_AAA0 + i: (1 + i % 4, i) for i in range(8)}      # id: namespace, location
PEER, PEER_PORT = 0x0A63_0005, 40_000
HEADER = 40
PAYLOAD = 24
TCP4 = bytes.fromhex("45000040 00010000 40060000 0a000000 0ac80000" "0000 01bb 00000001 00000001 5010 ffff 0000 0000")
UDP4 = bytes.fromhex("45000040 00010000 40110000 0a000000 0ac80000" "0000 01bb 002c 0000") + bytes(12)
TCP6 = bytes.fromhex("60000000 002c 06 40" + "fd00" + "00" * 14 + "fd00 00c8" + "00" * 12
                     + "0000 01bb 00000001 00000001 5010 ffff 0000 0000")  # fmt: skip
UDP6 = bytes.fromhex("60000000 002c 11 40" + "fd00" + "00" * 14 + "fd00 00c8" + "00" * 12
                     + "0000 01bb 002c 0000") + bytes(12)  # fmt: skip
# version: templates, where the source's last four bytes lie, bytes of an address, where the ports lie
LAYOUT = {4: ((TCP4, UDP4), 12, 4, 20), 6: ((TCP6, UDP6), 8, 16, 40)}


def frames(flows: np.ndarray, reverse: np.ndarray, version: int) -> np.ndarray:
    """Return uint8[len(flows), size]: the Geneve packets of these flows, the reverse ones from the other end.

    Three of four flows are TCP, the others UDP; eight endpoints in four namespaces. Sums are not filled in: nothing on
    the way looks at those of the inner packet.
    """
    templates, source, width, ports = LAYOUT[version]
    header = gwlb.header(0, 1, 0, version)
    heads = np.array([list(header + inner + bytes(PAYLOAD)) for inner in templates], np.uint8)
    made = heads[(flows % 4 == 3).astype(int)]
    made[:, 12:20] = _bytes(np.array(list(ENDPOINTS), np.uint64)[flows % 8])
    made[:, 36:40] = _bytes(flows.astype(np.uint32))
    at = HEADER + source
    made[:, at + width - 3:at + width] = _bytes(flows.astype(np.uint32))[:, 1:]
    made[:, at + 2 * width - 2:at + 2 * width] = _bytes((flows * 40503 >> 7).astype(np.uint16))
    made[:, HEADER + ports:HEADER + ports + 2] = _bytes((1024 + flows % 60_000).astype(np.uint16))
    _swap(made, reverse, at, width)
    _swap(made, reverse, HEADER + ports, 2)
    return made


def _bytes(numbers: np.ndarray) -> np.ndarray:
    """Return the numbers in network order, a row each."""
    return numbers.byteswap().view(np.uint8).reshape(len(numbers), -1)


def _swap(made: np.ndarray, rows: np.ndarray, at: int, width: int) -> None:
    """Exchange two neighbouring fields of some rows."""
    first, second = made[rows, at:at + width], made[rows, at + width:at + 2 * width]
    made[rows, at:at + width], made[rows, at + width:at + 2 * width] = second, first


def receive(batch: PacketBatch, made: np.ndarray) -> None:
    """Fill the batch with frames, as a device's recv leaves it."""
    n, size = made.shape
    batch.reset(n)
    batch.data[:n, HEADROOM_BYTES:HEADROOM_BYTES + size] = made
    batch.start[:n], batch.length[:n] = HEADROOM_BYTES, size
    batch.peer_address[:n], batch.peer_port[:n] = PEER, PEER_PORT
