"""What the private edge records: sessions, tunnels going up and down, refusals. Field names are the feeds'.

Journey: broker and opening call it; it fills zcc.telemetry.logs. Never blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from zcc.mtunnel.messages import OpenRequest
from zcc.mtunnel.splice import SpliceCount
from zcc.mtunnel.transport import MuxConnection
from zcc.telemetry.logs import Logs
from zcc.telemetry.records import SessionFields

__all__ = ["Journal", "Passage"]

TUNNEL_TYPE = "MTUNNEL"


@dataclass(slots=True)
class Passage:
    """One data stream from request to end, filled in as it becomes known."""

    connector: str
    request: OpenRequest
    started_ns: int
    application: str = ""
    rule: str = ""
    app_connector: str = ""
    server: str = ""  # address and port at the far end
    code: str = ""  # valid when it was refused
    count: SpliceCount = field(default_factory=SpliceCount)


class Journal:
    """Writes the records."""

    def __init__(self, logs: Logs) -> None:
        """Write to these streams."""
        self._logs = logs

    def session(self, passage: Passage, ended_ns: int) -> None:
        """A data stream ended or was refused."""
        request = passage.request
        fields: SessionFields = {
            "fwdtypename": "ZPA",
            "clt_dst_name": request.host,
            "clt_src_ip": request.source.address,
            "clt_dst_port": request.port,
            "clt_nw_protocol": request.protocol.upper(),
            "session_duration": (ended_ns - passage.started_ns) // 1_000_000,
            "clt_rx_bytes": passage.count.octets[0],
            "clt_tx_bytes": passage.count.octets[1],
            "namespace": request.source.namespace,
            "name": passage.connector,
        }
        server, _, port = passage.server.rpartition(":")
        optional = {
            "zpa_appseg": passage.application,
            "rdrrulename": passage.rule,
            "gw_name": passage.app_connector,
            "srv_dst_ip": server.strip("[]"),
            "srv_dst_port": int(port or 0),
            "location": request.source.location,
            "trace": request.trace,
            "reason": passage.code or passage.count.reason,
        }
        # What is not known is absent, never empty.
        fields.update(cast(SessionFields, {name: value for name, value in optional.items() if value}))
        self._logs.session(**fields)

    def tunnel_up(self, connection: MuxConnection) -> None:
        """An agent was welcomed."""
        source, port = _endpoint(connection.remote)
        self._logs.tunnel(
            tunneltype=TUNNEL_TYPE, event="UP", peer=str(connection.peer), sourceip=source, srcport=port,
            protocol="TLS",
        )

    def tunnel_down(self, connection: MuxConnection, reason: str) -> None:
        """An agent's connection ended."""
        source, port = _endpoint(connection.remote)
        self._logs.tunnel(
            tunneltype=TUNNEL_TYPE, event="DOWN", eventreason=reason, peer=str(connection.peer),
            sourceip=source, srcport=port, protocol="TLS",
            txbytes=connection.bytes_out, rxbytes=connection.bytes_in,
        )

    def refused(self, remote: str, reason: str) -> None:
        """A connection was refused before or after its certificate was read."""
        source, port = _endpoint(remote)
        self._logs.tunnel(
            tunneltype=TUNNEL_TYPE, event="REFUSED", eventreason=reason, sourceip=source, srcport=port,
            protocol="TLS",
        )


def _endpoint(remote: str) -> tuple[str, int]:
    host, _, port = remote.rpartition(":")
    return host, int(port) if port.isdigit() else 0
