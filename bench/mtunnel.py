"""Microtunnels: MB/s of one stream through a pair of sessions in memory, and over TLS on loopback.

The two ends share one core in memory; over TLS each end is a process of its own, as in service.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop

from bench.harness import Case
from zcc.clock import SystemClock
from zcc.fields import HostPort
from zcc.mtunnel.events import DataReceived
from zcc.mtunnel.listener import MuxListener
from zcc.mtunnel.session import Session
from zcc.mtunnel.splice import SpliceCount, splice
from zcc.mtunnel.transport import ALPN, MuxConnection
from zcc.pki.authority import Authority
from zcc.pki.context import tls_client, tls_server
from zcc.pki.issue import issue
from zcc.pki.settings import IdentitySettings

BLOCK = bytes(256 * 1024)


def cases(quick: bool) -> Iterator[Case]:
    """One stream in memory; one and eight over one hop; one over two hops with a splice between."""
    size = (16 if quick else 256) << 20
    yield Case("zcc", "session pair in memory, one stream", "MB/s", 1, lambda: in_memory(size))
    yield Case("zcc", "TLS loopback, one hop, one stream", "MB/s", 1, lambda: over_tls(size, 1, spliced=False))
    yield Case("zcc", "TLS loopback, one hop, 8 streams", "MB/s", 1, lambda: over_tls(size, 8, spliced=False))
    yield Case("zcc", "TLS loopback, two hops spliced, one stream", "MB/s", 1, lambda: over_tls(size, 1, spliced=True))


def in_memory(size: int) -> float:
    """Move size octets between two sessions."""
    near, far = Session(initiator=True), Session(initiator=False)
    stream = near.open()
    start, left = time.perf_counter(), size
    while left:
        left -= near.send(stream, BLOCK[:left])
        for part in near.bytes_to_send():
            for event in far.receive(part):
                if isinstance(event, DataReceived):
                    far.consume(stream, len(event.data))
        for part in far.bytes_to_send():
            near.receive(part)
    return size / 1e6 / (time.perf_counter() - start)


def over_tls(size: int, streams: int, *, spliced: bool) -> float:
    """Download size octets from another process, through a third one when spliced."""
    with tempfile.TemporaryDirectory() as folder:
        identities = make_identities(Path(folder))
        source, port = start(serve, identities, size // streams, streams)
        others = [source]
        if spliced:
            middle, port = start(relay, identities, port)
            others.append(middle)
        try:
            return uvloop.run(download(identities, port, streams))
        finally:
            for process in others:
                process.terminate()
                process.join()


def make_identities(folder: Path) -> dict[str, IdentitySettings]:
    """Make a CA and two agents."""
    authority = Authority.create(folder / "ca", "bench")
    made = {}
    for role in ("private-edge", "connector"):
        out = folder / role
        issue(authority, role, role, out, 1)
        made[role] = IdentitySettings(certificate=out / "certificate.pem", key=out / "key.pem", ca=out / "ca.pem")
    return made


def start(function: Any, *arguments: object) -> tuple[Any, int]:
    """Run a coroutine function in a process; return it and the port that it listens on."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(function, theirs, *arguments), daemon=True)
    process.start()
    return process, ours.recv()


def run(function: Any, *arguments: object) -> None:
    """Body of the other processes."""
    uvloop.run(function(*arguments))


def connection(initiator: bool) -> MuxConnection:
    """Make one that trusts whom TLS trusts."""
    return MuxConnection(initiator=initiator, verify=lambda der: der, clock=SystemClock())


async def listen(pipe: Connection, identities: dict[str, IdentitySettings], serve_one: Any) -> None:
    """Serve connections until terminated."""
    tasks = set()
    tls = tls_server(identities["private-edge"], ALPN)
    listener = MuxListener(tls, lambda: connection(False),
                           lambda made: tasks.add(asyncio.ensure_future(serve_one(made))), print)
    pipe.send((await listener.start(HostPort.parse("127.0.0.1:0"))).port)
    await asyncio.Event().wait()


async def dial(identities: dict[str, IdentitySettings], port: int) -> MuxConnection:
    """Connect to one of the processes."""
    loop = asyncio.get_running_loop()
    tls = tls_client(identities["connector"], ALPN)
    _, made = await loop.create_connection(lambda: connection(True), "127.0.0.1", port, ssl=tls)
    return made


async def serve(pipe: Connection, identities: dict[str, IdentitySettings], size: int, streams: int) -> None:
    """Send size octets on every stream."""
    async def send(stream: Any) -> None:
        for _ in range(size // len(BLOCK)):
            await stream.write(BLOCK)
        await stream.finish()

    async def one(made: MuxConnection) -> None:
        await asyncio.gather(*[send(await made.accept()) for _ in range(streams)])

    await listen(pipe, identities, one)


async def relay(pipe: Connection, identities: dict[str, IdentitySettings], port: int) -> None:
    """Splice every stream with one to the source."""
    async def one(made: MuxConnection) -> None:
        onward = await dial(identities, port)
        while (stream := await made.accept()) is not None:
            await splice(stream, await onward.open(), SpliceCount())

    await listen(pipe, identities, one)


async def download(identities: dict[str, IdentitySettings], port: int, streams: int) -> float:
    """Read all streams to their end; return MB/s."""
    made = await dial(identities, port)

    async def one() -> int:
        stream, total = await made.open(), 0
        while part := await stream.read():
            total += len(part)
        await stream.finish()
        return total

    begin = time.perf_counter()
    total = sum(await asyncio.gather(*(one() for _ in range(streams))))
    seconds = time.perf_counter() - begin
    made.close("done")
    return total / 1e6 / seconds
