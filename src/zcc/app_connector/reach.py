"""From a host to addresses that may be opened: literals, or names resolved here, inside the networks only.

Journey: opener asks before it touches a socket. The check is on the address that is then opened, so a name
cannot lead elsewhere.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from zcc.mtunnel.errors import Code, Refused

__all__ = ["ADDRESS_LIMIT", "addresses", "refusal"]

RESOLVE_TIMEOUT_S = 5.0
ADDRESS_LIMIT = 4  # of one name, tried in turn

Networks = Sequence[IPv4Network | IPv6Network]


async def addresses(host: str, networks: Networks) -> list[IPv4Address | IPv6Address]:
    """Return what may be opened for a host, in the resolver's order.

    Raises:
        Refused: the name is not found, or nothing of it lies in the networks.
    """
    try:
        found = [ip_address(host)]
    except ValueError:
        found = await _resolve(host)
    allowed = [address for address in found if any(address in network for network in networks)]
    if not allowed:
        listed = ", ".join(map(str, found[:ADDRESS_LIMIT]))
        raise Refused(Code.FORBIDDEN, f"{listed} is outside the networks of this app connector")
    return allowed[:ADDRESS_LIMIT]


async def _resolve(host: str) -> list[IPv4Address | IPv6Address]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            answers = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Refused(Code.NAME_NOT_FOUND, f"{host}: {error}") from None
    except TimeoutError:
        raise Refused(Code.TIMEOUT, f"{host}: the resolver does not answer") from None
    # Link-local answers carry a scope that the address alone does not; they are never opened.
    return list(dict.fromkeys(ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers))


def refusal(error: OSError, where: str) -> Refused:
    """Put what the kernel says about a connection into the wire's words."""
    if isinstance(error, ConnectionRefusedError):
        return Refused(Code.REFUSED, f"{where} refused the connection")
    if isinstance(error, TimeoutError):
        return Refused(Code.TIMEOUT, f"{where} does not answer")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Refused(Code.FORBIDDEN, f"{where}: forbidden by this host")
    return Refused(Code.UNREACHABLE, f"{where}: {error.strerror or error}")
