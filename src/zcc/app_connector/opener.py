"""One data stream at the app connector: read the request, connect, reply, copy until both sides are done.

Journey: link calls serve() for every stream that an edge opens. One event loop. Where a stream may lead is
decided here once more, by this app connector's own networks.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from prometheus_client import CollectorRegistry, Counter, Gauge

from zcc.app_connector.datagrams import DatagramPath, DatagramRelay
from zcc.app_connector.reach import Networks, addresses, refusal
from zcc.clock import Clock
from zcc.fields import HostPort
from zcc.mtunnel.control import read_open_request, send
from zcc.mtunnel.errors import Code, Refused, StreamGone
from zcc.mtunnel.messages import BadMessage, OpenReply, OpenRequest
from zcc.mtunnel.splice import SpliceCount, splice
from zcc.mtunnel.stream import MuxStream
from zcc.mtunnel.tcp import TcpStream
from zcc.telemetry.logs import Logs
from zcc.telemetry.records import SessionFields

__all__ = ["Opener", "OpenerLimits"]

REQUEST_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class OpenerLimits:
    """Where and for how long."""

    networks: Networks
    connect_timeout_s: float
    udp_idle_s: float


@dataclass(slots=True)
class _Hop:
    """The last hop as it becomes known."""

    request: OpenRequest
    started_ns: int
    server: HostPort | None = None
    local: tuple[str, int] | None = None
    code: str = ""


class Opener:
    """Opens last hops."""

    def __init__(
        self, limits: OpenerLimits, logs: Logs, registry: CollectorRegistry, clock: Clock
    ) -> None:
        """Take the parts and register the metrics."""
        self._limits = limits
        self._logs = logs
        self._clock = clock
        self._opens = Counter(
            "zcc_app_connector_opens", "Streams asked for", ["protocol", "code"], registry=registry
        )
        self._streams = Gauge("zcc_app_connector_streams", "Streams open now", registry=registry)
        self._dropped = Counter(
            "zcc_app_connector_datagrams_dropped", "Datagrams that a slow stream lost", registry=registry
        )

    async def serve(self, stream: MuxStream) -> None:
        """Carry one stream from its request to its end. Cancelling resets both sides."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                request = await read_open_request(stream)
        except (BadMessage, StreamGone, TimeoutError):
            self._opens.labels("none", Code.BAD_REQUEST).inc()
            stream.reset()
            return
        hop, count = _Hop(request, self._clock.monotonic_ns()), SpliceCount()
        try:
            await (self._tcp if request.protocol == "tcp" else self._udp)(stream, hop, count)
        except Refused as error:
            hop.code = error.code
            await self._refuse(stream, hop, error)
        except (StreamGone, TimeoutError) as error:
            count.reason = count.reason or str(error)
            stream.reset()
        except BaseException:
            stream.reset()
            raise
        finally:
            self._record(hop, count)

    async def _tcp(self, stream: MuxStream, hop: _Hop, count: SpliceCount) -> None:
        request = hop.request
        async with asyncio.timeout(self._limits.connect_timeout_s) as deadline:
            try:
                server = await self._connect(request.host, request.port)
            except TimeoutError:
                raise Refused(Code.TIMEOUT, f"{request.host} port {request.port} does not answer") from None
            deadline.reschedule(None)
        try:
            hop.local = server.local
            hop.server = HostPort.parse(_host_port(*server.remote))
            await self._say_ok(stream, hop)
            with self._streams.track_inprogress():
                await splice(stream, server, count)
        finally:
            server.reset()

    async def _connect(self, host: str, port: int) -> TcpStream:
        loop = asyncio.get_running_loop()
        last: Refused | None = None
        for address in await addresses(host, self._limits.networks):
            try:
                _, server = await loop.create_connection(TcpStream, str(address), port)
            except OSError as error:
                last = refusal(error, _host_port(str(address), port))
            else:
                return server
        raise last or Refused(Code.NAME_NOT_FOUND, host)

    async def _udp(self, stream: MuxStream, hop: _Hop, count: SpliceCount) -> None:
        request = hop.request
        address: IPv4Address | IPv6Address = (await addresses(request.host, self._limits.networks))[0]
        hop.server = HostPort(address, request.port)
        try:
            path = DatagramPath(address, request.port)
        except OSError as error:
            raise refusal(error, str(hop.server)) from None
        try:
            hop.local = path.local
            await self._say_ok(stream, hop)
            with self._streams.track_inprogress():
                await DatagramRelay(stream, path, count, self._clock, self._limits.udp_idle_s).run()
        finally:
            path.close()
            self._dropped.inc(path.dropped)

    async def _say_ok(self, stream: MuxStream, hop: _Hop) -> None:
        self._opens.labels(hop.request.protocol, Code.OK).inc()
        await send(stream, OpenReply(server=str(hop.server)))

    async def _refuse(self, stream: MuxStream, hop: _Hop, error: Refused) -> None:
        self._opens.labels(hop.request.protocol, error.code).inc()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await send(stream, OpenReply(code=error.code, text=error.text[:1024]))
                await stream.finish()
                # The edge resets once it has read the reply.
                await stream.read()
        except (StreamGone, TimeoutError):
            pass
        finally:
            stream.reset()

    def _record(self, hop: _Hop, count: SpliceCount) -> None:
        request = hop.request
        fields: SessionFields = {
            "fwdtypename": "ZPA",
            "clt_dst_name": request.host,
            "clt_src_ip": request.source.address,
            "clt_dst_port": request.port,
            "srv_nw_protocol": request.protocol.upper(),
            "session_duration": (self._clock.monotonic_ns() - hop.started_ns) // 1_000_000,
            "clt_rx_bytes": count.octets[0],
            "clt_tx_bytes": count.octets[1],
            "zpa_appseg": request.application,
            "namespace": request.source.namespace,
            "name": request.source.connector,
        }
        if request.trace:
            fields["trace"] = request.trace
        if hop.server is not None:
            fields["srv_dst_ip"], fields["srv_dst_port"] = hop.server.address, hop.server.port
        if hop.local is not None:
            fields["srv_src_ip"], fields["srv_src_port"] = hop.local
        if hop.code or count.reason:
            fields["reason"] = hop.code or count.reason
        self._logs.session(**fields)


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
