"""Events: the worker's events in the words of the connector's services.

Journey: fastpath.message → here → Datapath hands them over. Part of the doorway to fastpath. It keeps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from fastpath.action import Action, PuntReason
from fastpath.message import Event, Flow
from zcc.connector.ports import FlowRecord, Punt

__all__ = ["Events"]


class Events:
    """Translates events of one worker."""

    def __init__(self, aliases: IPv4Address, egress: Sequence[IPv4Address | IPv6Address], worker: int = 0) -> None:
        """Remember what numbers stand for.

        Args:
            aliases: the first of the workloads' inside the kernel.
            egress: the addresses that DIRECT flows leave with.
            worker: its number.
        """
        self._base, self._addresses, self._worker = aliases, tuple(egress), worker

    def punt(self, event: Event) -> Punt:
        """Return an event as its subscriber takes it."""
        of_tunnel = event.reason in (PuntReason.PUNT_TUNNEL_CONTROL, PuntReason.PUNT_TUNNEL_CLOSED)
        slot = event.value if of_tunnel else event.slot
        return Punt(
            event.reason,
            event.namespace,
            event.location,
            event.endpoint,
            event.packet,
            event.header,
            (event.peer_address, event.peer_port),
            slot,
            None if event.flow is None else self._record(event.flow),
            event.value,
            self._worker,
        )

    def _record(self, flow: Flow) -> FlowRecord:
        alias = self._base + flow.nat_slot if flow.action == Action.ACTION_ZPA else None
        return FlowRecord(
            flow.namespace,
            flow.ip_version,
            flow.protocol,
            flow.source,
            flow.source_port,
            flow.destination,
            flow.destination_port,
            flow.action,
            flow.rule,
            flow.name_id,
            flow.location,
            flow.packets,
            flow.bytes,
            flow.started_ns,
            flow.last_seen_ns,
            self._egress(flow),
            flow.nat_port,
            flow.tunnel,
            flow.naming,
            alias,
        )

    def _egress(self, flow: Flow) -> IPv4Address | IPv6Address | None:
        if flow.action != Action.ACTION_DIRECT:
            return None
        return next((address for address in self._addresses if address.version == flow.ip_version), None)
