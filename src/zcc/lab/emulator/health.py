"""Health checks as a load balancer makes them: one connection a check, the answer's status decides.

Called by the daemon's loop. It knows no thresholds; `targets` does. RFC 9112 §4 (status line).
"""

import asyncio
from contextlib import suppress
from ipaddress import IPv4Address

from zcc.lab.emulator.settings import HealthSettings

_STATUS_LINE_LIMIT = 256


async def check(
    address: IPv4Address, settings: HealthSettings, source: IPv4Address | None = None
) -> str | None:
    """Check a target once.

    Args:
        source: local address to ask from.
    Returns:
        None when it is good, else what was wrong, in a few words.
    """
    try:
        async with asyncio.timeout(settings.timeout.total_seconds()):
            return await _ask(address, settings, source)
    except TimeoutError:
        return f"no answer within {settings.timeout.total_seconds():g} s"
    except OSError as error:
        return error.strerror or str(error)


async def _ask(address: IPv4Address, settings: HealthSettings, source: IPv4Address | None) -> str | None:
    local = (str(source), 0) if source else None
    reader, writer = await asyncio.open_connection(str(address), settings.port, local_addr=local, limit=4096)
    try:
        if settings.protocol == "tcp":
            return None
        writer.write(
            f"GET {settings.path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: ELB-HealthChecker/2.0\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        return _judge(await reader.readline())
    except ValueError:
        return "the answer is not HTTP"
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _judge(line: bytes) -> str | None:
    words = line[:_STATUS_LINE_LIMIT].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        return "the answer is not HTTP"
    return None if 200 <= int(words[1]) < 400 else f"answered {words[1].decode()}"
