"""The obvious NAT: a dictionary of bindings, and packets rewritten by slicing."""

from __future__ import annotations

from itertools import chain

import numpy as np

from fastpath.action import DropReason, Fragment
from model.arguments import Array, Number, takes

SOURCE, DESTINATION = 0, 1
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
MAPPED = bytes(10) + b"\xff\xff"
ECHO = {ICMP: (0, 8), ICMPV6: (128, 129)}


class NatTable:
    def __init__(self, capacity, ports, seed):
        self.port_low, self.port_high = ports
        if not 1 <= capacity <= 1 << 28:
            raise ValueError("capacity must be 1 to 2^28")
        if not 1 <= self.port_low <= self.port_high <= 65535:
            raise ValueError("ports must be (low, high) within 1 to 65535")
        if len(seed) != 32 or not any(seed):
            raise ValueError("seed must be 32 secret bytes, not zeros")
        self.capacity = capacity
        self.flows: dict[tuple, int] = {}

    def __len__(self):
        return len(self.flows)

    @property
    def size(self):
        return len(self.flows)

    def bind_one(self, protocol, local, remote, remote_port, wanted, flow):
        check_addresses(local=local, remote=remote)
        if protocol not in (ICMP, TCP, UDP, ICMPV6):
            raise ValueError("protocol must be TCP, UDP, ICMP or ICMPv6")
        if len(self) == self.capacity:
            return None
        for port in chain([wanted], range(self.port_low, self.port_high + 1)):
            key = protocol, local, port, remote, remote_port
            if self.port_low <= port <= self.port_high and key not in self.flows:
                self.flows[key] = flow
                return port
        return None

    def find_one(self, protocol, local, port, remote, remote_port):
        check_addresses(local=local, remote=remote)
        return self.flows.get((protocol, local, port, remote, remote_port), -1)

    def release_one(self, protocol, local, port, remote, remote_port):
        check_addresses(local=local, remote=remote)
        return self.flows.pop((protocol, local, port, remote, remote_port), None) is not None

    @takes(rows=Array(np.uint16), addresses=Array(np.uint8, 16), flows=Array(np.int32), ports=Array(np.uint16, written=True))
    def bind_rows(self, batch, rows, addresses, flows, ports):
        check_rows(batch, rows, addresses=addresses, flows=flows, ports=ports)
        bound = 0
        for k, i in enumerate(rows):
            if batch.reason[i]:
                continue
            local, protocol = bytes(addresses[k]), int(batch.protocol[i])
            reason = DropReason.DROP_NONE
            if batch.fragment[i] == Fragment.FRAGMENT_LATER:
                reason = DropReason.DROP_NAT_FRAGMENT
            elif local.startswith(MAPPED) != (batch.ip_version[i] == 4):
                reason = DropReason.DROP_NAT_FAMILY
            elif not has_port(batch, i):
                reason = DropReason.DROP_NAT_PROTOCOL
            else:
                remote_port = 0 if protocol in ECHO else int(batch.destination_port[i])
                port = self.bind_one(protocol, local, batch.destination[i].tobytes(), remote_port,
                                     int(batch.source_port[i]), int(flows[k]))
                if port is None:
                    reason = DropReason.DROP_NAT_EXHAUSTED
                else:
                    ports[k] = port
            drop(batch, i, reason)
            bound += reason == 0
        return bound

    @takes(rows=Array(np.uint16), flows=Array(np.int32, written=True))
    def find_rows(self, batch, rows, flows):
        check_rows(batch, rows, flows=flows)
        for k, i in enumerate(rows):
            flows[k] = -1
            if batch.reason[i] == 0 and has_port(batch, i):
                protocol = int(batch.protocol[i])
                flows[k] = self.find_one(protocol, batch.destination[i].tobytes(), int(batch.destination_port[i]),
                                         batch.source[i].tobytes(), 0 if protocol in ECHO else int(batch.source_port[i]))
        return int((flows >= 0).sum())


def check_addresses(**addresses):
    for name, address in addresses.items():
        if len(address) != 16:
            raise ValueError(f"{name} must be 16 bytes")


def check_rows(batch, rows, **columns):
    if len(rows) and rows.max() >= batch.count:
        raise ValueError("rows: not below the batch's count")
    for name, column in columns.items():
        shape = (len(rows), 16) if name == "addresses" else (len(rows),)
        if column.shape != shape:
            raise ValueError(f"{name} must be {shape}")


def has_port(batch, i):
    if batch.fragment[i] == Fragment.FRAGMENT_LATER:
        return False
    protocol = int(batch.protocol[i])
    return protocol in (TCP, UDP) or batch.data[i, batch.l4_start[i]] in ECHO.get(protocol, ())


def drop(batch, i, reason):
    if reason:
        batch.reason[i], batch.action[i] = reason, 3


def updated(checksum, old, new):
    """RFC 1624 equation 3 over whole strings of even length."""
    total = 0xFFFF - checksum
    for at in range(0, len(old), 2):
        total += 0xFFFF - int.from_bytes(old[at:at + 2]) + int.from_bytes(new[at:at + 2])
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def check_call(packet, l4_offset, side, address):
    version = packet[0] >> 4 if len(packet) else 0
    if version not in (4, 6) or len(packet) < {4: 20, 6: 40}[version]:
        raise ValueError("packet must begin with an IP header")
    check_addresses(address=address)
    if side not in (SOURCE, DESTINATION):
        raise ValueError("side must be SOURCE or DESTINATION")
    if not {4: 20, 6: 40}[version] <= l4_offset <= len(packet):
        raise ValueError("l4_offset must lie behind the IP header")
    return version


def refusal(version, protocol, transport, address, fragment):
    if address.startswith(MAPPED) != (version == 4):
        return DropReason.DROP_NAT_FAMILY
    if fragment == Fragment.FRAGMENT_LATER:
        return DropReason.DROP_NONE
    short = len(transport) < (20 if protocol == TCP else 8)
    if short or (protocol not in (TCP, UDP) and transport[0] not in ECHO.get(protocol, ())):
        return DropReason.DROP_NAT_PROTOCOL
    return DropReason.DROP_NONE


def rewrite_one(packet, protocol, l4_offset, side, address, port, fragment=0):
    version = check_call(packet, l4_offset, side, address)
    transport = bytes(packet[l4_offset:])
    reason = refusal(version, protocol, transport, address, fragment)
    if reason:
        return reason
    begin, new = (8 + 16 * side, address) if version == 6 else (12 + 4 * side, address[12:])
    old = bytes(packet[begin:begin + len(new)])
    if fragment != Fragment.FRAGMENT_LATER:
        rewrite_transport(packet, transport, protocol, l4_offset, side, (old, new), port)
    if version == 4:
        packet[10:12] = updated(int.from_bytes(packet[10:12]), old, new).to_bytes(2)
    packet[begin:begin + len(new)] = new
    return DropReason.DROP_NONE


def rewrite_transport(packet, transport, protocol, l4_offset, side, addresses, port):
    """Port and checksum, which a later fragment has not."""
    port_at, sum_at = {TCP: (2 * side, 16), UDP: (2 * side, 6)}.get(protocol, (4, 2))
    new_port = port.to_bytes(2)
    checksum = int.from_bytes(transport[sum_at:sum_at + 2])
    if checksum or protocol != UDP:
        checksum = updated(checksum, transport[port_at:port_at + 2], new_port)
        if protocol != ICMP:
            checksum = updated(checksum, *addresses)
        if protocol == UDP:
            checksum = checksum or 0xFFFF
    packet[l4_offset + sum_at:l4_offset + sum_at + 2] = checksum.to_bytes(2)
    packet[l4_offset + port_at:l4_offset + port_at + 2] = new_port


def decrement_ttl_one(packet):
    version = packet[0] >> 4 if len(packet) else 0
    if version not in (4, 6) or len(packet) < {4: 20, 6: 40}[version]:
        raise ValueError("packet must begin with an IP header")
    at = 7 if version == 6 else 8
    if packet[at] <= 1:
        return False
    old = bytes(packet[8:10])
    packet[at] -= 1
    if version == 4:
        packet[10:12] = updated(int.from_bytes(packet[10:12]), old, bytes(packet[8:10])).to_bytes(2)
    return True


@takes(rows=Array(np.uint16), addresses=Array(np.uint8, 16), ports=Array(np.uint16), side=Number(0, 1))
def rewrite_rows(batch, rows, side, addresses, ports):
    if side not in (SOURCE, DESTINATION):
        raise ValueError("side must be SOURCE or DESTINATION")
    check_rows(batch, rows, addresses=addresses, ports=ports)
    done = 0
    for k, i in enumerate(rows):
        if batch.reason[i]:
            continue
        begin = int(batch.inner_start[i])
        packet = bytearray(batch.data[i, begin:begin + int(batch.inner_length[i])].tobytes())
        address, port, protocol = bytes(addresses[k]), int(ports[k]), int(batch.protocol[i])
        reason = rewrite_one(packet, protocol, int(batch.l4_start[i]) - begin, side, address, port, int(batch.fragment[i]))
        drop(batch, i, reason)
        if reason:
            continue
        batch.data[i, begin:begin + len(packet)] = list(packet)
        (batch.destination if side else batch.source)[i] = list(address)
        done += 1
        if batch.fragment[i] == Fragment.FRAGMENT_LATER:
            continue
        for column in (batch.source_port, batch.destination_port) if protocol in ECHO else (
                (batch.source_port, batch.destination_port)[side],):
            column[i] = port
    return done


@takes(rows=Array(np.uint16))
def decrement_ttl_rows(batch, rows):
    check_rows(batch, rows)
    done = 0
    for i in rows:
        begin, end = int(batch.inner_start[i]), int(batch.inner_start[i]) + int(batch.inner_length[i])
        if batch.reason[i]:
            continue
        packet = bytearray(batch.data[i, begin:end].tobytes())
        if decrement_ttl_one(packet):
            batch.data[i, begin:end] = list(packet)
            done += 1
        else:
            drop(batch, i, DropReason.DROP_TTL_EXPIRED)
    return done
