"""Hostile bytes on the private edge's port: nothing but a refusal, and those who behave go on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from identities import identity
from private_path import PrivatePath, running, until
from zcc.mtunnel.transport import ALPN
from zcc.pki.context import tls_client


def play(tmp_path: Path, scene: Callable[[PrivatePath], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20), running(tmp_path) as path:
            await scene(path)
            assert path.client.connected
            assert await path.client.resolve("co1", "portal.corp.example") is not None

    uvloop.run(whole())


async def say(path: PrivatePath, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    host, port = path.edge_address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    answer = b""
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            answer = await reader.read(-1)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)
    return answer


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_instead_of_tls(tmp_path: Path, seed: int) -> None:
    data = random.Random(seed).randbytes(2000)

    async def scene(path: PrivatePath) -> None:
        await say(path, data)

    play(tmp_path, scene)


def test_a_client_without_a_certificate(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        tls.set_alpn_protocols([ALPN])
        with contextlib.suppress(ssl.SSLError):
            assert await say(path, b"x" * 100, tls) == b""

    play(tmp_path, scene)


def test_a_client_of_another_protocol(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        tls = tls_client(identity(path.signer, "connector", "cc-7"), "http/1.1")
        with contextlib.suppress(ssl.SSLError):
            assert await say(path, b"GET / HTTP/1.1\r\n\r\n", tls) == b""

    play(tmp_path, scene)


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes_of_a_valid_agent(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    syn = bytes.fromhex("000100010000000100000000")
    start = (b"", syn, syn + bytes.fromhex("000000000000000100000010") + b"\0\0\0\x0c" + b"{" * 12)[seed % 3]

    async def scene(path: PrivatePath) -> None:
        tls = tls_client(identity(path.signer, "connector", "cc-7"), ALPN)
        await say(path, start + chance.randbytes(5000), tls)
        await until(lambda: len(path.edge.broker.connections) == 2)

    play(tmp_path, scene)
