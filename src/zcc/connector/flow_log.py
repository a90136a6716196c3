"""FlowLog: session records of flows that ended, written by the data plane's code as the JSON lines that they end as.

    ring ─▶ fastpath.flowlines, by the layout made here ─▶ lines ─▶ zcc.telemetry

Journey: record_pump calls `take`. The lines are those that `sessions.session_fields` and `telemetry.stream` would make of the
same flows, field by field; what numbers are called is asked of the Labels once each, and of the rules again after every edit.
Part of the doorway to fastpath. The control plane's thread.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address

from fastpath.action import Action
from fastpath.flowlines import Column, FlowLines, Left
from fastpath.labeltable import LabelTable
from fastpath.ring import Ring
from zcc.connector.sessions import SERVICES, Labels, protocol_name
from zcc.policy.objects.unnamed import NAMINGS
from zcc.telemetry.logs import Logs

__all__ = ["FlowLog"]

AT_ONCE = 512  # some 0.1 ms; then others of the loop have their turn

log = logging.getLogger(__name__)

Part = bytes | Column | tuple[Column, LabelTable]


class FlowLog:
    """Writes what workers say of flows that ended."""

    def __init__(self, labels: Labels, egress: Sequence[IPv4Address | IPv6Address], logs: Logs) -> None:
        """Make the layout.

        Args:
            egress: the addresses that DIRECT flows leave with.
        """
        self._labels, self._logs = labels, logs
        self._known_rules = labels.rules
        self._rules = LabelTable(tell=_member("rdrrulename", lambda number: labels.rule(number - 1)))
        more: dict[tuple[int, int], Sequence[Part]] = {}
        for address in egress:
            more.setdefault((Action.ACTION_DIRECT, address.version), _translated(address))
        self._lines = FlowLines(b'{"recordid":', _parts(labels, self._rules), more, b"}\n")

    def take(self, ring: Ring, *, all_of_it: bool = False) -> tuple[Left | None, int]:
        """Write down some of the flows in a ring.

        Args:
            all_of_it: also where the stream has no room, at the end.
        Returns:
            What is left, and how many were taken; None: the stream has no room for any.
        """
        if self._labels.rules is not self._known_rules:
            self._known_rules = self._labels.rules
            self._rules.forget()
        left, taken = None, 0

        def make(number: int, head: bytes) -> tuple[bytes, int]:
            nonlocal left, taken
            text, taken, left = self._lines.take(ring, number, head, AT_ONCE)
            return text, taken

        try:
            self._logs.session_lines(make, all_of_it=all_of_it)
        except Exception:       # of one flow, which is left to whoever writes the others
            log.exception("a flow's labels can not be told")
            return Left.LEFT_OTHER, 0
        return left, taken

    def lose(self, count: int) -> None:
        """Tell of so many flows that the ring had no room for."""
        self._logs.lose_sessions(count)


def _parts(labels: Labels, rules: LabelTable) -> list[Part]:
    namings = {number + 1: _text("clt_dst_name_from", word) for number, word in enumerate(NAMINGS)}
    services = {protocol << 16 | port: _text("nw_service", name) for (protocol, port), name in SERVICES.items()}
    return [
        *_address("clt_src_ip", Column.COLUMN_SOURCE),
        *_number("clt_src_port", Column.COLUMN_SOURCE_PORT),
        *_address("clt_dst_ip", Column.COLUMN_DESTINATION),
        *_number("clt_dst_port", Column.COLUMN_DESTINATION_PORT),
        (Column.COLUMN_NAME, LabelTable(tell=_member("clt_dst_name", labels.name))),
        (Column.COLUMN_NAMING, LabelTable(namings)),
        (Column.COLUMN_ACTION, LabelTable(tell=_member("fwdtypename", labels.method))),
        (Column.COLUMN_RULE, rules),
        *_number("clt_tx_bytes", Column.COLUMN_BYTES_BACK),
        *_number("clt_rx_bytes", Column.COLUMN_BYTES),
        *_number("clt_tx_packets", Column.COLUMN_PACKETS_BACK),
        *_number("clt_rx_packets", Column.COLUMN_PACKETS),
        *_number("session_duration", Column.COLUMN_DURATION_MS),
        b',"num_sess":1',
        (Column.COLUMN_PROTOCOL, LabelTable(tell=_member("clt_nw_protocol", protocol_name))),
        (Column.COLUMN_SERVICE, LabelTable(services)),
        (Column.COLUMN_TUNNEL, LabelTable(tell=_member("gw_name", labels.tunnel))),
        (Column.COLUMN_LOCATION, LabelTable(tell=_member("location", labels.location))),
        (Column.COLUMN_NAMESPACE, LabelTable(tell=_member("namespace", labels.namespace))),
    ]


def _translated(address: IPv4Address | IPv6Address) -> list[Part]:
    return [
        _text("srv_src_ip", str(address)),
        *_number("srv_src_port", Column.COLUMN_NAT_PORT),
        *_address("srv_dst_ip", Column.COLUMN_DESTINATION),
        *_number("srv_dst_port", Column.COLUMN_DESTINATION_PORT),
    ]


def _member(field: str, name_of: Callable[[int], str]) -> Callable[[int], bytes]:
    return lambda number: _text(field, name_of(number))


def _text(field: str, value: str) -> bytes:
    """A member of a JSON object; what is empty is left out."""
    return f',"{field}":{json.dumps(value, ensure_ascii=False)}'.encode(errors="backslashreplace") if value else b""


def _number(field: str, column: Column) -> list[Part]:
    return [f',"{field}":'.encode(), column]


def _address(field: str, column: Column) -> list[Part]:
    return [f',"{field}":"'.encode(), column, b'"']
