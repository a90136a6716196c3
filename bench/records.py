"""Session records: 512 flows that ended, from the ring to the text that is written, a record.

The reference is the Python of one record, which still writes those of ZPA flows: an event, a FlowRecord, a dict, json.dumps.
Both make the same bytes. Neither writes them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_address
from typing import Any, cast

from bench.harness import Case
from fastpath.action import Action
from fastpath.message import drain
from fastpath.ring import Ring
from model.flowlines import closed
from zcc.connector.events import Events
from zcc.connector.flow_log import AT_ONCE, FlowLog
from zcc.connector.sessions import Labels, session_fields
from zcc.telemetry.logs import Logs

EGRESS = (ip_address("198.51.100.7"),)
HEAD = {"log": "session", "time": "2026-11-26T21:10:32.123+00:00", "vm_name": "cc-1", "group_name": "lab"}
FIRST = 1_764_191_432_000_000
RULES = [f"rule {number}" for number in range(100)]


def cases(quick: bool) -> Iterator[Case]:
    """LOCAL flows, and DIRECT ones, which have four fields more."""
    for name, action in (("local", Action.ACTION_LOCAL), ("direct", Action.ACTION_DIRECT)):
        records = [flow(number, action) for number in range(AT_ONCE)]
        if by_lines(records)[1] != one_by_one(records)[1]:
            raise RuntimeError("the two write different records")
        for impl, function in (("fastpath", by_lines), ("reference", one_by_one)):
            yield Case(impl, name, "ns", AT_ONCE, timed(function, records), own_clock=True)


def flow(number: int, action: int) -> bytes:
    """The message of a flow's end."""
    mapped = bytes(10) + b"\xff\xff"
    return closed(
        source=mapped + IPv4Address(0x0A080000 + number * 7919 % 65536).packed, source_port=1024 + number * 40503 % 64000,
        destination=mapped + IPv4Address(0xCB007100 + number % 200).packed, destination_port=(443, 80, 8443)[number % 3],
        protocol=6, action=action, rule=number % 100, packets=(4 + number % 9, 3), bytes=(400 + number, 5000 + 37 * number),
        started_ns=10**12, last_seen_ns=10**12 + number * 10**8, name_id=number % 50, namespace=1, location=1, nat_port=number,
        tunnel=255,
    )  # fmt: skip


def labels() -> Labels:
    """What numbers are called."""
    methods = {1: "DIRECT", 2: "LOCAL"}
    return Labels({1: "co1"}, {1: "aws-co1"}, methods, RULES, lambda number: f"host{number}.example" if number else None)


def timed(function: Callable[[list[bytes]], tuple[float, bytes]], records: list[bytes]) -> Callable[[], object]:
    """The seconds of it alone."""
    return lambda: function(records)[0]


class Taken:
    """Stands for the logs: keeps the text."""

    text = b""

    def session_lines(self, make: Callable[[int, bytes], tuple[bytes, int]], *, all_of_it: bool = False) -> bool:
        """As Logs.session_lines."""
        self.text, _ = make(FIRST, b"," + json.dumps(HEAD, separators=(",", ":")).encode()[1:-1])
        return True


RING, TAKEN, LABELS = Ring(1 << 20), Taken(), labels()
LOG, EVENTS = FlowLog(LABELS, EGRESS, cast(Logs, TAKEN)), Events(IPv4Address("198.18.0.4"), EGRESS)


def by_lines(records: list[bytes]) -> tuple[float, bytes]:
    """The connector's way; the seconds, and the text."""
    for record in records:
        RING.push(record)
    began = time.perf_counter()
    LOG.take(RING)
    return time.perf_counter() - began, TAKEN.text


def one_by_one(records: list[bytes]) -> tuple[float, bytes]:
    """By way of an object a record."""
    for record in records:
        RING.push(record)
    began = time.perf_counter()
    lines = []
    for number, event in enumerate(drain(RING), FIRST):
        ended: Any = EVENTS.punt(event).flow
        fields = {"recordid": number, **HEAD, **session_fields(ended, LABELS)}
        lines.append(json.dumps(fields, default=str, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    text = b"".join(lines)
    return time.perf_counter() - began, text
