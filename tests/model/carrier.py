"""What an internet edge makes of a packet, the obvious way: dicts, and scapy for what changes in it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6

LAYERS = {TCP: ("sport", "dport"), UDP: ("sport", "dport"), ICMP: ("id", "id"), ICMPv6EchoRequest: ("id", "id"),
          ICMPv6EchoReply: ("id", "id")}


def parsed(packet):
    """An IP packet, its transport layer, and the names of its ports."""
    whole = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    layer = next(layer for layer in LAYERS if layer in whole)
    return whole, whole[layer], *LAYERS[layer]


def rebuilt(whole):
    """The bytes, with checksums made anew; UDP's 0 says that there is none, so it is never made."""
    for layer in (IP, TCP, UDP, ICMP):
        if layer in whole:
            del whole[layer].chksum
    for layer in (ICMPv6EchoRequest, ICMPv6EchoReply):
        if layer in whole:
            del whole[layer].cksum
    return bytes(whole)


def header(namespace, location, version):
    """A tunnel's header, but for the flow's hash."""
    layout = ">BBHIHBBIHBB"
    return struct.pack(layout, 5, 0, 0x0800 if version == 4 else 0x86DD, namespace << 8, 0xFF5A, 1, 1, location, 0xFF5A, 3, 2)


@dataclass
class Edge:
    """fastpath.carrier.Carrier: what leaves for what comes. Ports are told by what has left, and checked."""

    local: dict[int, str]                              # by IP version
    bound: dict = field(default_factory=dict)          # (local port, remote end) → flow
    flows: dict = field(default_factory=dict)          # flow → local port
    owners: dict = field(default_factory=dict)         # flow → (session, location)

    def out(self, session, namespace, location, packet, left):
        """The packet that goes to the internet; `left`: what has, for the numbers that are the edge's choice."""
        whole, transport, source, destination = parsed(packet)
        _, chosen, _, _ = parsed(left)
        remote = whole.dst, type(transport), 0 if source == destination else getattr(transport, destination)
        flow = namespace, whole.src, getattr(transport, source), remote
        port = self.flows.setdefault(flow, getattr(chosen, source))
        assert self.bound.setdefault((port, remote), flow) == flow, "two flows share a binding"
        if len([1 for _, end in self.bound if end == remote]) == 1:
            assert port == flow[2], "nobody had it"
        location = self.owners.get(flow, (None, location))[1]
        self.owners[flow] = session, location
        if whole.version == 4:
            whole.ttl, whole.id = whole.ttl - 1, IP(left).id
        else:
            whole.hlim -= 1
        whole.src = self.local[whole.version]
        setattr(transport, source, port)
        return rebuilt(whole)

    def back(self, packet):
        """(session, header without the hash, packet) of an answer; None: nobody's."""
        whole, transport, source, destination = parsed(packet)
        kind = {ICMPv6EchoReply: ICMPv6EchoRequest}.get(type(transport), type(transport))
        remote = whole.src, kind, 0 if source == destination else getattr(transport, source)
        flow = self.bound.get((getattr(transport, destination), remote))
        if flow is None:
            return None
        whole.dst = flow[1]
        setattr(transport, destination, flow[2])
        session, location = self.owners[flow]
        return session, header(flow[0], location, whole.version), rebuilt(whole)
