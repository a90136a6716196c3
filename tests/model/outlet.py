"""Who gets a flow, the obvious way: a dict of flows, a set of bindings, a row after another. Every packet fits the table."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from fastpath.action import DropReason

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58


def location_of(header):
    """What the first location option of a Geneve header says; 0: none is there, or the options end before it."""
    at = 8
    while at + 4 <= len(header):
        option_class, kind, words = struct.unpack_from(">HBB", header, at)
        size = 4 + 4 * (words & 31)
        if at + size > len(header):
            break
        if (option_class, kind, size) == (0xFF5A, 1, 8):
            return int.from_bytes(header[at + 4:at + 8], "big")
        at += size
    return 0


@dataclass
class Outlet:
    """fastpath.outlet.Outlet over packets as
    (namespace, version, protocol, fragment, source, port, destination, port, header).
    """

    families: set[int]
    closed: set[bytes]
    ports: tuple[int, int]
    capacity: int
    flows: dict = field(default_factory=dict)      # key → (namespace, location)
    used: dict = field(default_factory=dict)       # remote end → how many bindings it has

    def admit(self, packet):
        """The reason of one packet."""
        namespace, version, protocol, fragment, source, port, destination, remote_port, header = packet
        if destination in self.closed:
            return DropReason.DROP_POLICY
        if version not in self.families:
            return DropReason.DROP_NAT_FAMILY
        ends = frozenset(((source, port), (destination, remote_port)))
        key = namespace, protocol, ends
        if key in self.flows:
            return DropReason.DROP_NONE
        if len(self.flows) == self.capacity:
            return DropReason.DROP_FLOW_TABLE_FULL
        if fragment == 2:
            return DropReason.DROP_NAT_FRAGMENT
        if protocol not in (TCP, UDP):
            return DropReason.DROP_NAT_PROTOCOL
        remote = protocol, destination, remote_port
        if self.used.get(remote, 0) == self.ports[1] - self.ports[0] + 1:
            return DropReason.DROP_NAT_EXHAUSTED
        self.used[remote] = self.used.get(remote, 0) + 1
        self.flows[key] = (namespace, location_of(header))
        return DropReason.DROP_NONE
