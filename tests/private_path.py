"""A private path on loopback for tests: CA, edge, app connector, connector's client and echoing servers; real TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from identities import authority, identity
from zcc.app_connector.daemon import AppConnector
from zcc.app_connector.settings import AppConnectorSettings
from zcc.clock import SystemClock
from zcc.mtunnel.client import ClientSettings, EdgeClient, Hello, OpenRequest, SourceIdentity
from zcc.mtunnel.transport import ALPN
from zcc.pki.authority import Authority
from zcc.pki.context import tls_client
from zcc.pki.peer import PeerCheck
from zcc.private_edge.daemon import PrivateEdge
from zcc.private_edge.settings import PrivateEdgeSettings

APPLICATIONS = (
    {"name": "portal-co1", "domains": ["portal.corp.example"], "tcp": ["1-65535"], "udp": ["1-65535"],
     "namespaces": ["co1"], "app_connector_group": "dc1", "servers": ["127.0.0.1"]},
    {"name": "wild", "domains": ["*.wild.example"], "tcp": ["1-65535"], "app_connector_group": "dc1",
     "servers": ["127.0.0.1"]},
    {"name": "far", "domains": ["far.corp.example"], "tcp": [443], "app_connector_group": "dc1",
     "servers": ["192.0.2.1"]},
    {"name": "nobody", "domains": ["nobody.corp.example"], "tcp": [443], "app_connector_group": "dc9"},
)
ACCESS = (
    {"name": "not this place", "action": "refuse", "locations": ["forbidden-place"]},
    {"name": "all", "action": "allow", "connector_groups": ["cc-group-1"]},
)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class PrivatePath:
    """Everything between a connector and an application."""

    folder: Path
    signer: Authority = field(init=False)
    edge: PrivateEdge = field(init=False)
    edge_address: str = ""
    app_connector: AppConnector = field(init=False)
    client: EdgeClient = field(init=False)

    def __post_init__(self) -> None:
        """Make the CA."""
        self.signer = authority(self.folder / "ca")

    def edge_settings(self, **more: Any) -> PrivateEdgeSettings:
        """Return the edge's settings."""
        fields = {
            "name": "pe-1", "state": self.folder / "edge", "listen": "127.0.0.1:0",
            "identity": identity(self.signer, "private-edge", "pe-1"),
            "logs": {"directory": self.folder / "logs"},
            "applications": APPLICATIONS, "access": ACCESS, "drain": {"limit": "200ms"},
        }
        (self.folder / "logs").mkdir(exist_ok=True)
        return PrivateEdgeSettings.model_validate(fields | more)

    def app_connector_settings(self, **more: Any) -> AppConnectorSettings:
        """Return the app connector's settings."""
        (self.folder / "ac-logs").mkdir(exist_ok=True)
        fields = {
            "name": "ac-1", "group": "dc1", "edges": [self.edge_address], "networks": ["127.0.0.0/8"],
            "identity": identity(self.signer, "app-connector", "ac-1"),
            "logs": {"directory": self.folder / "ac-logs"}, "drain": {"limit": "200ms"},
            "backoff_floor": "10ms", "backoff_ceiling": "20ms",
        }
        return AppConnectorSettings.model_validate(fields | more)

    def client_of(self, role: str = "connector", name: str = "cc-1", group: str = "cc-group-1",
                  claims: bool = True) -> EdgeClient:
        """Return an EdgeClient with a certificate of its own."""
        own = identity(self.signer, role, name)
        check = PeerCheck(own)
        settings = ClientSettings.model_validate(
            {"edges": [self.edge_address], "backoff_floor": "10ms", "backoff_ceiling": "20ms"})
        return EdgeClient(settings, tls_client(own, ALPN), lambda der: check.verify(der, "private-edge"),
                          Hello(name=name, group=group, claims=claims, pools=True), SystemClock())

    def request(self, port: int, host: str = "portal.corp.example", protocol: str = "tcp",
                **source: str) -> OpenRequest:
        """Return what a connector would ask."""
        identity_of_source = {"namespace": "co1", "address": "10.8.6.4", "connector": "cc-1",
                              "group": "cc-group-1", "location": "aws-co1"} | source
        return OpenRequest(host=host, port=port, protocol=protocol,  # type: ignore[arg-type]
                           source=SourceIdentity.model_validate(identity_of_source), trace="t-1")

    def records(self, kind: str, folder: str = "logs") -> list[dict[str, Any]]:
        """Return what was logged; complete after the edge has stopped."""
        lines = (self.folder / folder / f"{kind}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@contextlib.asynccontextmanager
async def running(folder: Path, **edge: Any) -> AsyncIterator[PrivatePath]:
    """Start an edge, an app connector and a client; end them all."""
    path = PrivatePath(folder)
    path.edge = PrivateEdge(path.edge_settings(**edge))
    path.edge_address = str(await path.edge.start())
    path.app_connector = AppConnector(path.app_connector_settings())
    await path.app_connector.start()
    path.client = path.client_of()
    task = asyncio.create_task(path.client.run())
    try:
        await until(lambda: path.client.connected and path.edge.registry.count("dc1") == 1)
        yield path
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await path.app_connector.stop()
        await path.edge.stop()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something holds, at most 5 s."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[int]:
    """Serve TCP on loopback; yields the port."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handler(reader, writer)

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)
