"""packetio over loopback: batches of 64 datagrams sent and received, a datagram; the reference is a call a datagram."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from bench.harness import Case
from fastpath import packetio
from fastpath.batch import PacketBatch
from model import packetio as reference

BATCH = 64
SIZES = (64, 1400)


def cases(quick: bool) -> Iterator[Case]:
    """Send a batch to ourselves and receive it."""
    for impl, module in (("fastpath", packetio), ("reference", reference)):
        for size in SIZES:
            with module.UdpSocket.bind("127.0.0.1", 0) as ours:
                yield Case(impl, f"udp-send-recv-{size}", "ns", BATCH, crossing(ours, size))


def crossing(ours: Any, size: int) -> Callable[[], object]:
    """One batch through the kernel."""
    batch = PacketBatch(BATCH, 2048)
    batch.load([bytes(size)] * BATCH)
    with socket.socket(fileno=os.dup(ours.fd)) as view:
        batch.peer_port[:] = view.getsockname()[1]
    batch.peer_address[:] = int.from_bytes(socket.inet_aton("127.0.0.1"), "big")

    def once() -> None:
        ours.send(batch)
        if ours.recv(batch) != BATCH:
            raise RuntimeError("the loopback lost a datagram")

    return once
