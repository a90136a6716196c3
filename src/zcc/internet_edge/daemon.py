"""The internet edge, put together: identity, device, listener, datapath, logs, metrics.

    identity ─▶ device and egress addresses ─▶ datapath thread ─▶ ready … stop ─▶ goodbye ─▶ device gone

Called by the command line. It decides nothing about packets.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from ipaddress import IPv4Address

from zcc import notify
from zcc.clock import SystemClock
from zcc.doorway import Doorway
from zcc.errors import ListenError
from zcc.internet_edge.cookie import Cookies
from zcc.internet_edge.datapath import Datapath
from zcc.internet_edge.drops import drop_counts
from zcc.internet_edge.flows import FlowEnd
from zcc.internet_edge.listener import Listener
from zcc.internet_edge.metrics import EdgeCollector, Snapshot
from zcc.internet_edge.sessions import EdgeSession
from zcc.internet_edge.settings import InternetEdgeSettings
from zcc.internet_edge.streams import Streams
from zcc.pki.context import dtls_server, stream_server
from zcc.pki.peer import Peer, PeerCheck
from zcc.telemetry.logs import Logs
from zcc.telemetry.metrics import MetricsServer

__all__ = ["run"]

REVIEW_S = 10.0          # how often the revocation list is looked at
OUTCOMES = ("cookies", "begun", "accepted", "refused", "failed", "expired", "crowded")
STREAM_OUTCOMES = ("begun", "accepted", "refused", "failed", "expired", "crowded")
TAKE_OVERS = ("taken_over", "not_taken_over")
TUNNEL_PROTOCOLS = {"DTLS": "DTLSv1.2", "TLS": "TLSv1.3"}
PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPV6"}

log = logging.getLogger(__name__)


class Reporter:
    """Writes the datapath's news as records; called in the datapath's thread, writes in the event loop's."""

    def __init__(self, logs: Logs, settings: InternetEdgeSettings, loop: asyncio.AbstractEventLoop) -> None:
        self._logs, self._settings, self._loop = logs, settings, loop

    def flows_ended(self, flows: list[tuple[FlowEnd, str]]) -> None:
        """Record flows, each with its connector's name: the session log."""
        self._loop.call_soon_threadsafe(self._sessions, flows)

    def tunnel_changed(self, event: str, session: EdgeSession, reason: str) -> None:
        """Record a tunnel's beginning or end."""
        log.info("tunnel of %s at %s:%d is %s (%s)", session.peer, IPv4Address(session.address[0]),
                 session.address[1], event.lower(), reason)
        self._loop.call_soon_threadsafe(self._tunnel, event, session, reason)

    def _sessions(self, flows: list[tuple[FlowEnd, str]]) -> None:
        for flow, connector in flows:
            self._session(flow, connector)

    def _session(self, flow: FlowEnd, connector: str) -> None:
        protocol = PROTOCOLS.get(flow.protocol, str(flow.protocol))
        self._logs.session(
            name=connector, namespace=str(flow.namespace), location=str(flow.location), fwdtypename="ZIA",
            clt_src_ip=flow.source, clt_src_port=flow.source_port, clt_dst_ip=flow.destination,
            clt_dst_port=flow.destination_port, srv_src_ip=flow.nat_address, srv_src_port=flow.nat_port,
            srv_dst_ip=flow.destination, srv_dst_port=flow.destination_port, clt_nw_protocol=protocol,
            srv_nw_protocol=protocol, clt_rx_bytes=flow.bytes[0], clt_tx_bytes=flow.bytes[1],
            clt_rx_packets=flow.packets[0], clt_tx_packets=flow.packets[1], num_sess=1, reason=flow.reason,
            session_duration=max(flow.ended_ns - flow.started_ns, 0) // 1_000_000)

    def _tunnel(self, event: str, session: EdgeSession, reason: str) -> None:
        listen = self._settings.listen
        self._logs.tunnel(
            tunnelactionname="Tunnel Event", tunneltype=session.transport, event=event,
            protocol=TUNNEL_PROTOCOLS[session.transport], eventreason=reason,
            peer=str(session.peer), sessionid=str(session.number),
            sourceip=IPv4Address(session.address[0]), srcport=session.address[1],
            destvip=listen.address, destport=listen.port, dpdrec=session.probes,
            rxbytes=session.link.received_bytes, txbytes=session.link.sent_bytes,
            rxpackets=session.link.received, txpackets=session.link.sent)


async def run(settings: InternetEdgeSettings, *, stop: asyncio.Event) -> None:
    """Serve until `stop` is set.

    Raises:
        IdentityError, DeviceError, ListenError: with what to do about it.
    """
    check = PeerCheck(settings.identity)
    listener = Listener(dtls_server(settings.identity), lambda der: check.verify(der, "connector"),
                        settings.limits, Cookies(time.monotonic_ns()))
    logs = Logs(settings.logs, settings.name, role=settings.role)
    metrics = MetricsServer(settings.metrics)
    doorway = Doorway(settings.kernel)
    try:
        datapath = _open(settings, doorway, listener, check, Reporter(logs, settings, asyncio.get_running_loop()))
        metrics.registry.register(EdgeCollector(lambda: _snapshot(datapath, listener)))
        await metrics.start()
        await _serve(settings, datapath, check, stop)
        await asyncio.sleep(0)          # the last records, queued by the thread that ended
    finally:
        await metrics.close()
        doorway.close()
        logs.close()


def _open(
    settings: InternetEdgeSettings, doorway: Doorway, listener: Listener, check: PeerCheck, reporter: Reporter
) -> Datapath:
    tls = stream_server(settings.identity)
    device = doorway.open()
    forbidden = doorway.host_addresses()
    for address in settings.nat.addresses:
        doorway.own(address)
    try:
        streams = Streams(tls, lambda der: check.verify(der, "connector"), settings.limits, settings.listen)
        return Datapath(settings, (doorway.kind, device), listener, streams, forbidden=forbidden, clock=SystemClock(),
                        ended=reporter.flows_ended, tunnel=reporter.tunnel_changed)
    except OSError as error:
        raise ListenError(f"internet edge at {settings.listen} with device {device}: {error}; is another one "
                          "running, and is the address this host's?") from None


async def _serve(
    settings: InternetEdgeSettings, datapath: Datapath, check: PeerCheck, stop: asyncio.Event
) -> None:
    generation = check.generation

    def is_revoked(peer: Peer) -> bool:
        return check.revoked(peer)

    def review() -> None:
        nonlocal generation
        if check.changed_since(generation):
            generation = check.generation
            datapath.gate.end_sessions(lambda session: is_revoked(session.peer), "its certificate was revoked")

    worker = asyncio.create_task(asyncio.to_thread(datapath.run))
    stopped = asyncio.create_task(stop.wait())
    log.info("internet edge %s listens at %s, flows leave from %s", settings.name, settings.listen,
             ", ".join(map(str, settings.nat.addresses)))
    notify.ready()
    try:
        while not worker.done() and not stopped.done():
            await asyncio.wait((worker, stopped), timeout=REVIEW_S, return_when=asyncio.FIRST_COMPLETED)
            datapath.submit(review)
    finally:
        notify.stopping()
        datapath.stop()
        stopped.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker


def _snapshot(datapath: Datapath, listener: Listener) -> Snapshot:
    sides = {"to_internet": datapath.to_internet, "to_tunnels": datapath.to_tunnels}      # packets and bytes of each
    return Snapshot(
        packets={side: int(counts[0]) for side, counts in sides.items()},
        bytes={side: int(counts[1]) for side, counts in sides.items()},
        drops=drop_counts(datapath.drops),
        handshakes={outcome: listener.counts[outcome] for outcome in OUTCOMES},
        stream_handshakes={outcome: datapath.gate.streams.counts[outcome] for outcome in STREAM_OUTCOMES},
        take_overs={outcome: datapath.gate.counts[outcome] for outcome in TAKE_OVERS},
        black_holes=datapath.gate.counts["black_holes"], streams=datapath.gate.n_streams,
        sessions=len(datapath.sessions) - datapath.gate.n_streams, half_open=len(listener), flows=len(datapath.book))
