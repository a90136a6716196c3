"""Invariant: on any bytes the health server answers with a status line or closes, raises nothing, and answers the next check.

    python tests/fuzz/fuzz_health.py --seconds 60 --seed 1

Requests are real ones with bytes changed, cut, repeated or split into pieces; the seed makes a run
repeatable. A failure prints the bytes in hexadecimal and exits 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import sys
import time

from zcc.clock import ManualClock
from zcc.connector.health import HealthServer, Observed, Way, read_request

NOW = 1_000_000_000
UP = Way(used=True, up=True)
GET = b"GET /?cchealth HTTP/1.1\r\nHost: cc\r\n\r\n"
SEEDS = (
    GET, b"", b"HEAD http://cc/?cchealth HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\xa5\x01\x00\x00",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", GET * 3, GET.replace(b"\r\n", b"\n"), b"A" * 9000, b"\r\n\r\n",
)
STATUS = re.compile(rb"HTTP/1\.1 (200|400|404|405|431|503|505) [^\r\n]+\r\n")


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Change a request in up to six places."""
    out = bytearray(data)
    for _ in range(chance.randrange(7)):
        at = chance.randrange(len(out) + 1)
        match chance.randrange(4):
            case 0 if out:
                out[at % len(out)] = chance.randrange(256)
            case 1:
                del out[at:at + chance.randrange(20)]
            case 2:
                out[at:at] = out[:at][-chance.randrange(1, 40):]
            case _:
                out[at:at] = chance.choice((b"\r\n", b"\0", b":", b" ", b"\r", b"\n", b"\xff" * 9))
    return bytes(out)


async def exchange(port: int, pieces: list[bytes]) -> bytes:
    """Send pieces one after the other and return what came back until the server closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
        return await reader.read()
    except OSError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def attack(seed: int, seconds: float) -> int:
    """Send until the time is over. Return how many requests were sent."""
    mistakes: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: mistakes.append(context))
    observed = Observed(NOW - 1, True, UP, UP, False)
    server = HealthServer("127.0.0.1", 0, lambda: observed, ManualClock(monotonic_ns=NOW))
    await server.start()
    chance, sent, until = random.Random(seed), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutate(chance, chance.choice(SEEDS))
        read_request(data)
        cut = chance.randrange(len(data) + 1)
        answer = await exchange(server.port, [data[:cut], data[cut:]])
        check = await exchange(server.port, [GET]) if sent % 16 == 0 else b"HTTP/1.1 200 "
        sent += 1
        if mistakes or (answer and not STATUS.match(answer)) or not check.startswith(b"HTTP/1.1 200 "):
            print(data.hex(), answer, check, mistakes)
            sys.exit(1)
    await server.close()
    return sent


def main() -> None:
    """Run for the time given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{asyncio.run(attack(given.seed, given.seconds))} requests, seed {given.seed}: the invariant holds")


if __name__ == "__main__":
    main()
