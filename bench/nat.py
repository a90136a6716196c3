"""NAT, batches of 64: find a binding, rewrite a packet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
from scapy.layers.inet import IP, UDP

from bench.harness import Case
from fastpath import nat
from fastpath.batch import PacketBatch
from model import nat as reference

BATCH = 64
BINDINGS = 50_000
MAPPED = bytes(10) + b"\xff\xff"


def cases(quick: bool) -> Iterator[Case]:
    """find and rewrite, both over `bindings` flows to as many remote ends."""
    for impl, module in (("fastpath", nat), ("reference", reference)):
        batch = udp_batch()
        rows = np.arange(BATCH, dtype=np.uint16)
        table = module.NatTable(BINDINGS, (1024, 65535), bytes(range(1, 33)))
        bind(table, BINDINGS)
        flows = np.zeros(BATCH, np.int32)
        yield Case(impl, f"find-{BINDINGS}", "ns", BATCH, finding(table, batch, rows, flows))
        yield Case(impl, "rewrite", "ns", BATCH, rewriting(module, batch, rows))


def bind(table: nat.NatTable, bindings: int) -> None:
    """One flow to each of `bindings` remote ends."""
    for flow in range(bindings):
        table.bind_one(17, MAPPED + bytes([10, 9, 0, 11]), MAPPED + (0x0B000000 + flow).to_bytes(4), 53, 5000, flow)


def udp_batch() -> PacketBatch:
    """Answers from 64 remote ends, as packet.parse would leave them."""
    batch = PacketBatch(BATCH, 2048)
    packet = bytes(IP(src="11.0.0.1", dst="10.9.0.11") / UDP(sport=53, dport=5000) / bytes(500))
    batch.load([packet] * BATCH)
    batch.ip_version[:], batch.protocol[:], batch.inner_start[:], batch.l4_start[:] = 4, 17, 128, 148
    batch.inner_length[:], batch.source_port[:], batch.destination_port[:] = len(packet), 53, 5000
    batch.destination[:] = list(MAPPED + bytes([10, 9, 0, 11]))
    numbers = np.random.default_rng(5).integers(0, BINDINGS, BATCH)
    batch.source[:] = [list(MAPPED + (0x0B000000 + int(number)).to_bytes(4)) for number in numbers]
    return batch


def finding(table: nat.NatTable, batch: PacketBatch, rows: np.ndarray, flows: np.ndarray) -> Callable[[], object]:
    """Find the flows of one batch of answers."""
    return lambda: table.find_rows(batch, rows, flows)


def rewriting(module: ModuleType, batch: PacketBatch, rows: np.ndarray) -> Callable[[], object]:
    """Rewrite the destination of one batch."""
    addresses = np.array([list(MAPPED + bytes([10, 8, 6, 4]))] * BATCH, np.uint8)
    ports = np.arange(4000, 4000 + BATCH, dtype=np.uint16)
    return lambda: module.rewrite_rows(batch, rows, module.DESTINATION, addresses, ports)
