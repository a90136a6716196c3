"""Replayed: the flows of a capture as the rules treat them, printed for people and for machines.

Journey: `replay` makes the flows → here → terminal or JSON lines (one object a flow, then one summary). It decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from zcc.connector.capture import Frame
from zcc.wording import counted

__all__ = ["DNS_HERE", "Before", "ReplayedFlow", "Summary", "print_json", "print_table", "with_progress"]

DNS_HERE = "DNS"  # no rule: the connector answers, or asks for the client
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
LARGE_BYTES = 1 << 23  # a file from here on takes seconds, so its progress is shown
STEP = 512  # frames between two looks at the progress
WIDTH = 180  # of a table that is not printed on a terminal


@dataclass(frozen=True, slots=True)
class Before:
    """How a flow was decided until it had said its name."""

    rule_index: int
    rule: str
    method: str
    packets: tuple[int, ...]  # that went by it, with the one that said it


@dataclass(frozen=True, slots=True)
class ReplayedFlow:
    """One flow from the side that began it; counters are pairs (from there, to there)."""

    namespace: str
    location: str
    protocol: int
    source: IPv4Address | IPv6Address
    source_port: int  # of an ICMP echo the identifier
    destination: IPv4Address | IPv6Address
    destination_port: int
    name: str = ""  # of the destination: learned before the flow began, or said by itself
    name_from: str = ""  # one of NAMINGS: how that is known, or why it is not; "" = nothing is known of it
    rule_index: int = -1
    rule: str = ""
    method: str = DNS_HERE
    before: Before | None = None  # None: its name changed nothing
    packets: tuple[int, ...] = (0, 0)
    bytes: tuple[int, ...] = (0, 0)  # of IP packets
    started_ns: int = 0
    ended_ns: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON; times in seconds since 1970."""
        values = asdict(self)
        started, ended = values.pop("started_ns"), values.pop("ended_ns")
        values |= {"source": str(self.source), "destination": str(self.destination), "protocol": self.protocol_name,
                   "started": started / 1e9, "ended": ended / 1e9, "duration": self.duration_s}
        return {"type": "flow", **values}

    @property
    def duration_s(self) -> float:
        """Seconds from its first to its last packet."""
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def protocol_name(self) -> str:
        """The protocol as a person writes it."""
        return PROTOCOLS.get(self.protocol, str(self.protocol))


@dataclass(frozen=True, slots=True)
class Summary:
    """The flows together, and what the capture held besides."""

    flows: int
    packets: int  # in flows, both ways
    bytes: int
    frames: int
    not_ip: int
    outside: int  # plain packets to or from the connector itself
    echoes: int  # LOCAL packets on their way back to GWLB
    errors: int  # ICMP errors about flows
    dns_answered_here: int
    link_types: dict[int, int] = field(default_factory=dict)  # those not known → frames
    drops: dict[str, int] = field(default_factory=dict)  # reason → packets
    unknown_endpoints: dict[str, int] = field(default_factory=dict)  # vpce-… → packets
    namings: dict[str, int] = field(default_factory=dict)  # flows that were read, by how their name is known or why not
    changed: int = 0  # flows whose decision changed when their name was read
    cut_short: int = 0  # flows whose first words the capture left out
    dns: list[dict[str, Any]] = field(default_factory=list)  # queries and answers by action and rule: number, names

    def notes(self) -> Iterator[str]:
        """Yield what is not zero, in words."""
        for number, text in (
            (self.not_ip, "frames that are not IP"),
            (self.outside, "packets of the connector itself, not of workloads"),
            (self.echoes, "LOCAL packets seen a second time, on their way back to GWLB"),
            (self.errors, "ICMP errors that speak of a flow, and go its way"),
            (self.dns_answered_here, "DNS queries that the connector answers itself"),
            (self.changed, "flows decided again when their name was read (the first packets went as before, →)"),
            (self.cut_short, "flows that may have said a name which the capture, made with a snapshot length, left out"),
        ):
            if number:
                yield f"{text}: {number}"
        for kind, number in self.link_types.items():
            yield f"frames of link type {kind}, which is not known here: {number}"
        for name, number in self.unknown_endpoints.items():
            yield f"packets by endpoint {name}, which the configuration does not have: {number}"


def print_json(flows: Iterable[ReplayedFlow], summary: Summary, out: TextIO) -> None:
    """Print one JSON object a line: each flow, then the summary."""
    for flow in flows:
        print(json.dumps(flow.to_dict()), file=out)
    print(json.dumps({"type": "summary", **asdict(summary)}), file=out)


def print_table(flows: Iterable[ReplayedFlow], summary: Summary, out: TextIO) -> None:
    """Print a table of flows, one of drop reasons if there are any, notes, and a line of totals."""
    console = Console(file=out, width=None if out.isatty() else WIDTH)
    table = Table("namespace", "proto", "initiator", "responder", "name", "rule", "method")
    for heading in ("packets → ←", "bytes → ←", "duration"):
        table.add_column(heading, justify="right")
    for flow in flows:
        cells = (flow.namespace, flow.protocol_name, endpoint(flow.source, flow.source_port),
                 endpoint(flow.destination, flow.destination_port), *cells_of_decision(flow),
                 "{:,} {:,}".format(*flow.packets), "{:,} {:,}".format(*flow.bytes), f"{flow.duration_s:.3f} s")
        # Text, so that no name is taken for mark-up.
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    console.print(table)
    if summary.drops:
        drops = Table("drop reason")
        drops.add_column("packets", justify="right")
        for reason, number in summary.drops.items():
            drops.add_row(reason, f"{number:,}")
        console.print(drops)
    if summary.dns:
        console.print(table_of_queries(summary.dns))
    for note in summary.notes():
        console.print(Text(f"note: {note}", style="yellow"))
    counts = (("flow", summary.flows), ("packet", summary.packets), ("byte", summary.bytes), ("frame", summary.frames))
    console.print(" · ".join((*(counted(number, noun) for noun, number in counts), f"{sum(summary.drops.values()):,} dropped")),
                  highlight=False)


def cells_of_decision(flow: ReplayedFlow) -> tuple[str, str, str]:
    """Write a flow's name with how it is known, unless that is by DNS, its rule and its method; what it was before, too."""
    how = "" if flow.name_from in ("", "dns") else f" ({flow.name_from})"
    was = [] if flow.before is None else [flow.before]
    rule, method = ([*(getattr(before, field) for before in was), getattr(flow, field)] for field in ("rule", "method"))
    return (flow.name + how).strip(), " → ".join(rule), " → ".join(dict.fromkeys(method))


def table_of_queries(listed: list[dict[str, Any]]) -> Table:
    """Make a table of DNS queries and answers by what became of them."""
    table = Table("dns", "rule")
    table.add_column("number", justify="right")
    table.add_column("for example")
    for row in listed:
        cells = (row["action"], row["rule"], f"{row['number']:,}", ", ".join(row["names"]))
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    return table


def with_progress(frames: Iterable[Frame], path: Path, out: TextIO) -> Iterator[Frame]:
    """Yield the frames, with a progress bar if the file is large and `out` is a terminal."""
    size = path.stat().st_size if path.is_file() else 0
    if size < LARGE_BYTES or not out.isatty():
        yield from frames
        return
    with Progress(console=Console(file=out), transient=True) as progress:
        task = progress.add_task("replaying", total=size)
        for n, frame in enumerate(frames):
            if n % STEP == 0:
                progress.update(task, completed=frame.offset)
            yield frame


def endpoint(address: IPv4Address | IPv6Address, port: int) -> str:
    """Write an address and a port as in a URL; a port of 0 is left out."""
    if not port:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
