"""Opening: what an accepted flow asks of the private edge, and what the log says of it when it has ended.

Journey: `relay` accepts in the kernel, finds the flow, opens here, copies, closes here. The application
is asked for by name: the address that the workload chose counts for nothing, so it can not reach what
policy gives to a name. One thread, the event loop's.
"""

import uuid
from dataclasses import dataclass
from typing import Protocol

from zcc.clock import Clock
from zcc.connector.ports import TCP, FlowRecord, Names
from zcc.connector.sessions import Labels, Records, session_fields
from zcc.mtunnel.messages import OpenRequest, SourceIdentity
from zcc.telemetry.records import SessionFields


class Stream(Protocol):
    """A microtunnel's stream: `zcc.mtunnel.stream.MuxStream`."""

    bytes_in: int
    bytes_out: int

    async def read(self, n: int = ...) -> bytes:
        """Return octets; b"" = the far end finished."""

    async def write(self, data: bytes) -> None:
        """Send octets, waiting for the window."""

    async def finish(self) -> None:
        """Close our direction."""

    def reset(self) -> None:
        """End both directions at once."""

    async def read_datagram(self) -> bytes | None:
        """Return a datagram; None = the far end finished."""

    async def write_datagram(self, data: bytes) -> None:
        """Send a datagram."""


class Edge(Protocol):
    """Who opens streams: `zcc.mtunnel.client.EdgeClient`."""

    @property
    def edge(self) -> str | None:
        """Address of the connected edge."""

    async def open(self, request: OpenRequest) -> Stream:
        """Open a stream to an application, end to end."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream and what it is for."""

    flow: FlowRecord
    request: OpenRequest
    stream: Stream
    edge: str
    started_ns: int
    preamble: tuple[int, int]  # octets in and out before the application's: the reply and the request


class Opening:
    """Opens streams for flows and records their end."""

    def __init__(
        self,
        edge: Edge,
        names: Names,
        labels: Labels,
        records: Records,
        clock: Clock,
        speaker: tuple[str, str],
    ) -> None:
        """Compose.

        Args:
            speaker: this connector's name and group.
        """
        self._edge = edge
        self._names = names
        self._labels = labels
        self._records = records
        self._clock = clock
        self._connector, self._group = speaker

    def request(self, flow: FlowRecord) -> OpenRequest | None:
        """Make the request of a flow; None = its destination has no name, so it is no application's."""
        host = self._names.name_of(flow.name_id)
        if host is None or not flow.destination_port:
            return None
        source = SourceIdentity(
            namespace=self._labels.namespace(flow.namespace),
            address=flow.source,
            connector=self._connector,
            group=self._group,
            location=self._labels.location(flow.location),
        )
        return OpenRequest(
            application=self._names.application_of(host) or "",
            host=host,
            port=flow.destination_port,
            protocol="tcp" if flow.protocol == TCP else "udp",
            source=source,
            trace=uuid.uuid4().hex,
        )

    async def open(self, flow: FlowRecord, request: OpenRequest) -> Opened:
        """Open.

        Raises:
            Refused, EdgeDown: as the edge says.
        """
        started_ns = self._clock.monotonic_ns()
        stream = await self._edge.open(request)
        preamble = (stream.bytes_in, stream.bytes_out)
        return Opened(flow, request, stream, self._edge.edge or "", started_ns, preamble)

    def record_end(self, opened: Opened, reason: str) -> None:
        """Record a stream that has ended; reason "" = both ends finished."""
        fields = session_fields(opened.flow, self._labels)
        fields["clt_tx_bytes"] = opened.stream.bytes_in - opened.preamble[0]
        fields["clt_rx_bytes"] = opened.stream.bytes_out - opened.preamble[1]
        fields["session_duration"] = (self._clock.monotonic_ns() - opened.started_ns) // 1_000_000
        fields["gw_name"] = opened.edge
        self._write(fields, opened.request, reason)

    def record_refusal(self, flow: FlowRecord, request: OpenRequest | None, reason: str) -> None:
        """Record a flow for which no stream was opened."""
        self._write(session_fields(flow, self._labels), request, reason)

    def _write(self, fields: SessionFields, request: OpenRequest | None, reason: str) -> None:
        # Packets are the worker's to count; a stream knows bytes of the application only.
        fields.pop("clt_tx_packets", None)
        fields.pop("clt_rx_packets", None)
        if request is not None:
            fields["zpa_appseg"], fields["trace"] = request.application, request.trace
        if reason:
            fields["reason"] = reason
        self._records.session(**fields)
