"""The load balancer's state over HTTP, for people, tests and Prometheus.

    GET    /status             targets with health and reason, counters, endpoints     JSON
    GET    /flows?source=…&source_port=…&destination=…&destination_port=…&protocol=…   JSON, filters optional
    GET    /metrics            the same counters for Prometheus                         text
    PUT    /targets/ADDRESS    register     DELETE /targets/ADDRESS    deregister

Served by the daemon's loop on an address for operators; one request a connection. It changes nothing but
registrations.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_address
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from zcc.fields import HostPort, format_endpoint_id
from zcc.lab.emulator.flows import describe
from zcc.lab.emulator.forwarding import Forwarding
from zcc.lab.emulator.settings import GwlbSettings
from zcc.lab.emulator.targets import State, Targets

_REQUEST_LIMIT = 8192
_PATIENCE_S = 5.0
_FLOWS_LIMIT = 10_000

Answer = tuple[int, str, bytes]


class Status:
    """The HTTP service.

    Args:
        register, deregister: what PUT and DELETE of a target do; deregister raises KeyError for an unknown
            one.
    """

    def __init__(
        self,
        settings: GwlbSettings,
        targets: Targets,
        forwarding: Forwarding,
        *,
        register: Callable[[IPv4Address], None],
        deregister: Callable[[IPv4Address], None],
    ) -> None:
        self._settings = settings
        self._targets = targets
        self._forwarding = forwarding
        self._register = register
        self._deregister = deregister
        self._registry = CollectorRegistry()
        self._registry.register(self)

    async def serve(self, where: HostPort) -> asyncio.Server:
        """Listen at `where`."""
        return await asyncio.start_server(self._talk, str(where.address), where.port, limit=_REQUEST_LIMIT)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                status, kind, body = self.answer(*_request_line(head))
                writer.write(
                    f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                    "Connection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that went away or sent no request gets no answer
        finally:
            writer.close()

    def answer(self, method: str, target: str) -> Answer:
        """Return status, content type and body for a request."""
        parts = urlsplit(target)
        if parts.path.startswith("/targets/"):
            return self._change(method, parts.path.removeprefix("/targets/"))
        if method != "GET":
            return _json(405, {"error": "use GET"})
        if parts.path == "/status":
            return _json(200, self._summary())
        if parts.path == "/flows":
            return _json(200, self._flows(dict(parse_qsl(parts.query))))
        if parts.path == "/metrics":
            return 200, "text/plain; version=0.0.4", generate_latest(self._registry)
        return _json(404, {"error": "there are /status, /flows, /metrics and /targets/ADDRESS"})

    def _change(self, method: str, text: str) -> Answer:
        try:
            {"PUT": self._register, "DELETE": self._deregister}[method](IPv4Address(text))
        except (KeyError, ValueError):
            return _json(404, {"error": f"PUT or DELETE a target's address, not {method} {text}"})
        return _json(200, {"targets": self._target_records()})

    def _summary(self) -> dict[str, Any]:
        traffic = [
            {
                "id": format_endpoint_id(endpoint.id),
                "interface": endpoint.interface,
                "packets_to_targets": int(self._forwarding.packets[index, 0]),
                "packets_from_targets": int(self._forwarding.packets[index, 1]),
                "bytes_to_targets": int(self._forwarding.bytes[index, 0]),
                "bytes_from_targets": int(self._forwarding.bytes[index, 1]),
            }
            for index, endpoint in enumerate(self._settings.endpoints)
        ]
        return {
            "name": self._settings.name,
            "targets": self._target_records(),
            "endpoints": traffic,
            "flows": len(self._forwarding.flows.table),
            "drops": self._drops(),
            "events": {
                name: n for name, n in self._forwarding.flows.counts.items() if name.startswith("flows_")
            },
        }

    def _target_records(self) -> list[dict[str, Any]]:
        return [
            {"address": str(address), "state": str(target.state), "reason": target.reason}
            for address, target in self._targets.by_address.items()
        ]

    def _drops(self) -> dict[str, int]:
        own = {
            name.removeprefix("drop_"): n
            for name, n in list(self._forwarding.flows.counts.items())
            if name.startswith("drop_")
        }
        return {**own, **{name: n for name, n in list(self._forwarding.dropped.items()) if n}}

    def _flows(self, wanted: dict[str, str]) -> list[dict[str, Any]]:
        flows = self._forwarding.flows
        records = describe(flows, np.flatnonzero(flows.entries["used"] != 0)[:_FLOWS_LIMIT], _print_address)
        for record in records:
            record["endpoint"] = format_endpoint_id(self._settings.endpoints[record["endpoint"]].id)
        return [
            record
            for record in records
            if all(str(record.get(name)) == value for name, value in wanted.items())
        ]

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; called by prometheus_client."""
        yield GaugeMetricFamily("zcc_gwlb_flows", "Flows remembered", len(self._forwarding.flows.table))
        health = GaugeMetricFamily("zcc_gwlb_target_healthy", "1 = healthy", labels=["target", "state"])
        for address, target in self._targets.by_address.items():
            health.add_metric([str(address), str(target.state)], float(target.state is State.HEALTHY))
        yield health
        packets = CounterMetricFamily("zcc_gwlb_packets", "Packets carried", labels=["endpoint", "direction"])
        for index, endpoint in enumerate(self._settings.endpoints):
            for at, direction in enumerate(("to_targets", "from_targets")):
                packets.add_metric(
                    [format_endpoint_id(endpoint.id), direction], float(self._forwarding.packets[index, at])
                )
        yield packets
        drops = CounterMetricFamily("zcc_gwlb_drops", "Packets dropped", labels=["reason"])
        for reason, n in self._drops().items():
            drops.add_metric([reason], float(n))
        yield drops


def _request_line(head: str) -> tuple[str, str]:
    words = head.split("\r\n", 1)[0].split(" ")
    return (words[0], words[1]) if len(words) == 3 else ("", "")


def _json(status: int, value: object) -> Answer:
    return status, "application/json", json.dumps(value, indent=1).encode() + b"\n"


def _print_address(address: bytes, ip_version: int) -> str:
    return str(ip_address(address[12:] if ip_version == 4 else address))
