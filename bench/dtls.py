"""DTLS 1.2 records, AES-128-GCM: seal and open, batches of 64; the peer is the bare cipher of the same OpenSSL."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bench.harness import Case
from dtls_pair import contexts, pair
from fastpath import dtls
from fastpath.batch import PacketBatch
from model import dtls as reference

BATCH = 64
SIZES = (64, 512, 1300)


def cases(quick: bool) -> Iterator[Case]:
    """Seal, and seal with open (a record opens only once), for each size; then the bare cipher."""
    with tempfile.TemporaryDirectory() as folder:
        both = contexts(Path(folder))
        for impl, module in (("fastpath", dtls), ("reference", reference)):
            for size in SIZES:
                client, server = sessions(module, both)
                yield Case(impl, f"seal-{size}", "ns", BATCH, sealing(client, size))
                yield Case(impl, f"seal-open-{size}", "ns", BATCH, opening(client, server, size))
    for size in SIZES if shutil.which("openssl") else ():
        yield Case("openssl-speed", f"seal-{size}", "ns/packet", 1, lambda size=size: bare_cipher(size, quick))


def sessions(module: ModuleType, both: Any) -> tuple[Any, Any]:
    """Both ends of a session."""
    client, server = pair(*both)
    return module.Session(client), module.Session(server)


def sealing(session: Any, size: int) -> Callable[[], object]:
    """Seal one batch of plain packets; rows go back to their plain length before."""
    batch, rows = PacketBatch(BATCH, 2048), np.arange(BATCH, dtype=np.uint16)
    batch.load([bytes(size)] * BATCH)

    def once() -> None:
        batch.length[:] = size
        session.seal_rows(batch, rows)

    return once


def opening(client: Any, server: Any, size: int) -> Callable[[], object]:
    """Seal one batch and open it at the other end."""
    batch, rows = PacketBatch(BATCH, 2048), np.arange(BATCH, dtype=np.uint16)
    batch.load([bytes(size)] * BATCH)

    def once() -> None:
        client.seal_rows(batch, rows)
        server.open_rows(batch, rows)

    return once


def bare_cipher(size: int, quick: bool) -> float:
    """Nanoseconds for `size` bytes by `openssl speed`."""
    said = subprocess.run(
        ["openssl", "speed", "-elapsed", "-seconds", "1" if quick else "3", "-bytes", str(size), "-evp", "aes-128-gcm"],
        capture_output=True, text=True, check=True).stdout
    return size / float(said.split()[-1].removesuffix("k")) * 1e6
