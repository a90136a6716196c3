"""Prometheus metrics of one daemon: a registry of its own, and GET /metrics over HTTP.

The address is configured and is one that workloads do not reach. Requests are answered one at a time a
connection, which is then closed. Nothing else is served here: health is another port with another purpose.
Event loop only. Source: RFC 9112 (HTTP/1.1), the Prometheus exposition formats by prometheus_client.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from prometheus_client import CollectorRegistry, GCCollector, Info, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from zcc import __version__
from zcc.errors import ListenError
from zcc.telemetry.settings import MetricSettings

__all__ = ["MetricsServer"]

HEAD_LIMIT = 8_192
HEAD_TIMEOUT_S = 5.0
CONNECTION_LIMIT = 16

log = logging.getLogger(__name__)


class MetricsServer:
    """A registry and, when an address is configured, the listener that shows it."""

    def __init__(self, settings: MetricSettings | None) -> None:
        """Make the registry; without settings the metrics are counted but not served."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Info("zcc_build", "The running version", registry=self.registry).info({"version": __version__})
        self._settings = settings
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: the address cannot be bound.
        """
        if self._settings is None:
            return
        host, port = str(self._settings.address), self._settings.port
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_LIMIT)
        except OSError as error:
            raise ListenError(f"metrics: {host} port {port}: {error.strerror}; change metrics") from None

    async def close(self) -> None:
        """Stop listening; safe when never started."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTION_LIMIT:
                async with asyncio.timeout(HEAD_TIMEOUT_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(head))
                    await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
            log.debug("metrics: a connection sent no whole request")
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes) -> bytes:
        request, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = request.partition(" ")
        target = rest.partition(" ")[0].partition("?")[0]
        if target != "/metrics":
            return _response("404 Not Found", "text/plain", b"only /metrics is here\n")
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", "text/plain", b"only GET\n", "Allow: GET, HEAD")
        fields = (line.partition(":") for line in lines)
        accept = ",".join(value.strip() for name, _, value in fields if name.lower() == "accept")
        encode, content_type = choose_encoder(accept)
        return _response("200 OK", content_type, encode(self.registry), with_body=method == "GET")


def _response(status: str, content_type: str, body: bytes, *extra: str, with_body: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}",
             "Connection: close", *extra, "", ""]
    return "\r\n".join(lines).encode() + (body if with_body else b"")
