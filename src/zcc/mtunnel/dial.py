"""Reach a private edge: TCP, TLS 1.3, the certificate check, the control stream and hello.

Journey: client (connectors) and the app connector dial; both then own the connection and its control stream.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from zcc.clock import Clock
from zcc.fields import HostPort
from zcc.mtunnel.control import ControlChannel
from zcc.mtunnel.errors import EdgeDown, Refused, StreamGone
from zcc.mtunnel.messages import BadMessage, Failure, Hello, Welcome
from zcc.mtunnel.settings import KeepaliveSettings
from zcc.mtunnel.transport import MuxConnection

__all__ = ["Dialled", "Dialler"]


@dataclass(frozen=True, slots=True)
class Dialled:
    """An edge that took us."""

    connection: MuxConnection
    control: ControlChannel
    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Dialler:
    """What is the same for every attempt."""

    tls: ssl.SSLContext
    verify: Callable[[bytes], object]
    hello: Hello
    clock: Clock
    keepalive: KeepaliveSettings
    timeout_s: float  # for everything until the welcome

    async def dial(self, edge: HostPort) -> Dialled:
        """Connect to one edge and be welcomed.

        Raises:
            EdgeDown: it cannot be reached, or fails on the way.
            Refused: it answered no.
            PeerRefused: it proved an identity that is not a private edge of this tenant.
        """
        connection: MuxConnection | None = None
        try:
            async with asyncio.timeout(self.timeout_s):
                connection = await self._connect(edge)
                control = ControlChannel(await connection.open())
                await control.send(self.hello)
                answer = await control.receive()
        except TimeoutError:
            error: Exception = EdgeDown(f"private edge {edge} does not answer within {self.timeout_s:g} s")
        except (OSError, ssl.SSLError, StreamGone, BadMessage) as problem:
            error = EdgeDown(f"private edge {edge}: {str(problem) or type(problem).__name__}")
        else:
            if isinstance(answer, Welcome):
                return Dialled(connection, control, answer)
            error = _no(edge, answer)
        if connection is not None:
            if connection.refused is not None:
                error = connection.refused
            connection.close("not welcomed")
        raise error

    async def _connect(self, edge: HostPort) -> MuxConnection:
        def make() -> MuxConnection:
            return MuxConnection(
                initiator=True, verify=self.verify, clock=self.clock, keepalive=self.keepalive
            )

        loop = asyncio.get_running_loop()
        # The host name is not part of the check: tenant and role in the certificate are.
        _, connection = await loop.create_connection(
            make, str(edge.address), edge.port, ssl=self.tls, ssl_handshake_timeout=self.timeout_s
        )
        return connection


def _no(edge: HostPort, answer: object) -> Exception:
    if isinstance(answer, Failure):
        return Refused(answer.code, f"private edge {edge}: {answer.text}")
    return EdgeDown(f"private edge {edge} answered hello with something else")
