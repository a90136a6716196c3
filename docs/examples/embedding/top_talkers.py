"""Who talks most in a capture: flows, hosts or ports by bytes, as a table or as JSON.

    python top_talkers.py [--by flow|host|port] [--top 10] [--json] CAPTURE.pcap

Packets go through fastpath 256 at a time: parse, key, find their flow or make one, count. What Python does for each packet is
to read it from the file; the rest is one call for a batch. At the end the flow table is read as NumPy arrays.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import secrets
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from capture import Packet, read_capture

from fastpath import DropReason, PacketBatch
from fastpath.flowkey import Secret, build_batch
from fastpath.flowtable import FlowTable
from fastpath.packet import parse_batch

ROWS = 256
ROOM = 65535  # bytes a row: offload engines hand captures packets far above the MTU
FRAME_MAX = ROOM - 128  # a batch keeps 128 bytes free in front of each
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}


class Talkers:
    """The flows of a capture, counted."""

    def __init__(self, capacity: int) -> None:
        self.table = FlowTable(capacity)
        self.batch = PacketBatch(ROWS, ROOM)
        self.secret = Secret(secrets.token_bytes(32))
        self.packets = 0
        self.evicted = 0
        self.dropped = np.zeros(256, np.int64)  # by DropReason

    def count(self, packets: list[Packet]) -> None:
        """Count up to ROWS packets in their flows; a full table forgets flows that nobody answers first."""
        batch = self.batch
        n = batch.load(padded(packets))
        batch.inner_start[:n] = batch.start[:n]
        batch.inner_length[:n] = batch.length[:n]
        batch.namespace[:n] = 0
        parse_batch(batch)
        build_batch(batch, self.secret)
        self.table.lookup_batch(batch)
        before, now_ns = len(self.table), packets[-1].time_ns
        made = self.table.insert_misses(batch, now_ns)
        self.table.account_batch(batch, now_ns)
        self.packets += n
        self.evicted += made - (len(self.table) - before)
        self.dropped += np.bincount(batch.reason[:n], minlength=256)

    def flows(self) -> np.ndarray:
        """All flows: a structured array with the fields of fastpath.flowtable.ENTRY."""
        entries = self.table.entries_view
        return entries[entries["used"] != 0]


def padded(packets: Iterable[Packet]) -> Iterator[bytes]:
    """What was captured, and zeros in place of what was cut off: lengths are read from headers and must be there."""
    for packet in packets:
        yield packet.data[:FRAME_MAX].ljust(min(packet.size, FRAME_MAX), b"\0")


def until_damage(packets: Iterator[Packet], damage: list[str]) -> Iterator[Packet]:
    """Yield what can be read; what is wrong with the rest, as in a capture that was not ended properly, goes to `damage`."""
    try:
        yield from packets
    except ValueError as error:
        damage.append(str(error))


def address(packed: np.ndarray) -> str:
    """An address of 16 bytes as people write it."""
    whole = ipaddress.IPv6Address(packed.tobytes())
    return str(whole.ipv4_mapped or whole)


def end(name: str, port: int) -> str:
    """An address and a port, as in a URL."""
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def by_flow(flows: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, packets and bytes of each flow, the side that began first."""
    names = []
    for flow in flows:
        ends = [
            end(address(flow["a_address"]), flow["a_port"]),
            end(address(flow["b_address"]), flow["b_port"]),
        ]
        source, destination = reversed(ends) if flow["initiator"] else ends
        protocol = PROTOCOLS.get(int(flow["protocol"]), str(flow["protocol"]))
        names.append(f"{protocol} {source} > {destination}")
    return names, flows["packets"].sum(axis=1), flows["bytes"].sum(axis=1)


def grouped(keys: np.ndarray, flows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct rows of `keys` (two halves: one for each end of the flows), packets and bytes of each."""
    distinct, which = np.unique(keys, axis=0, return_inverse=True)
    packets, octets = np.zeros(len(distinct), np.uint64), np.zeros(len(distinct), np.uint64)
    for half in np.split(which.reshape(-1), 2):
        np.add.at(packets, half, flows["packets"].sum(axis=1))
        np.add.at(octets, half, flows["bytes"].sum(axis=1))
    return distinct, packets, octets


def by_host(flows: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, packets and bytes of each address, sent and received."""
    hosts, packets, octets = grouped(np.concatenate([flows["a_address"], flows["b_address"]]), flows)
    return [address(host) for host in hosts], packets, octets


def by_port(flows: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, packets and bytes of each (protocol, port) of the side that was called."""
    flows = flows[(flows["protocol"] == 6) | (flows["protocol"] == 17)]
    called = np.where(flows["initiator"] == 0, flows["b_port"], flows["a_port"])
    ports, which = np.unique(np.stack([flows["protocol"], called], axis=1), axis=0, return_inverse=True)
    packets, octets = np.zeros(len(ports), np.uint64), np.zeros(len(ports), np.uint64)
    np.add.at(packets, which.reshape(-1), flows["packets"].sum(axis=1))
    np.add.at(octets, which.reshape(-1), flows["bytes"].sum(axis=1))
    return [f"{PROTOCOLS[int(protocol)]}/{port}" for protocol, port in ports], packets, octets


BY = {"flow": by_flow, "host": by_host, "port": by_port}


def report(talkers: Talkers, kind: str, top: int) -> dict[str, Any]:
    """Everything that is printed, as plain values."""
    flows = talkers.flows()
    names, packets, octets = BY[kind](flows)
    order = np.lexsort((names, -octets.astype(np.int64)))[:top] if names else []
    dropped = {DropReason(int(k)).name: int(talkers.dropped[k]) for k in np.flatnonzero(talkers.dropped) if k}
    return {
        "packets": talkers.packets,
        "bytes": int(flows["bytes"].sum()),
        "flows": len(talkers.table),
        "evicted": talkers.evicted,
        "dropped": dropped,
        "by": kind,
        "top": [{"name": names[k], "packets": int(packets[k]), "bytes": int(octets[k])} for k in order],
    }


def print_table(found: dict[str, Any]) -> None:
    """The report for people."""
    total = found["bytes"] or 1
    print(f"{'bytes':>14} {'packets':>10} {'share':>6}  {found['by']}")
    for row in found["top"]:
        print(f"{row['bytes']:>14,} {row['packets']:>10,} {row['bytes'] / total:>6.1%}  {row['name']}")
    print(f"{found['packets']:,} packets, {found['bytes']:,} bytes, {found['flows']:,} flows, {found['evicted']:,} evicted")
    for reason, n in found["dropped"].items():
        print(f"not counted: {n:,} {reason}")


def main() -> int:
    """Read the capture and print the report; return the exit code."""
    parser = argparse.ArgumentParser(description="Who talks most in a capture.")
    parser.add_argument("capture", type=Path, help="a classic pcap file")
    parser.add_argument("--by", choices=sorted(BY), default="flow")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="rows to print")
    parser.add_argument("--flows", type=int, default=1_000_000, metavar="N", help="flows to remember at most")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    damage: list[str] = []
    try:
        talkers = Talkers(asked.flows)
        with asked.capture.open("rb") as file:
            packets = until_damage(read_capture(file), damage)
            while some := list(islice(packets, ROWS)):
                talkers.count(some)
    except (OSError, ValueError) as error:
        print(f"top_talkers: {error}", file=sys.stderr)
        return 2
    if damage:
        print(f"top_talkers: {damage[0]}; counted up to there: {talkers.packets} packets", file=sys.stderr)
    if damage and not talkers.packets:
        return 2
    found = report(talkers, asked.by, asked.top)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        print_table(found)
    return 1 if damage else 0


if __name__ == "__main__":
    sys.exit(main())
