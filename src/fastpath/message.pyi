import enum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from fastpath.ring import Ring

class Command(enum.IntEnum):
    COMMAND_DELIVER = 1
    COMMAND_RESUME = 2
    COMMAND_LEARN = 3
    COMMAND_FORGET = 4
    COMMAND_TUNNEL_ACTIVE = 5
    COMMAND_TUNNEL_DETACH = 6
    COMMAND_TUNNEL_CONTROL = 7
    COMMAND_DRAIN = 8
    COMMAND_EXCHANGE = 9
    COMMAND_RESET = 10
    COMMAND_OWN = 11
    COMMAND_DISOWN = 12
    COMMAND_NAME = 13

class Flow(NamedTuple):
    namespace: int
    ip_version: int
    protocol: int
    source: IPv4Address | IPv6Address
    source_port: int
    destination: IPv4Address | IPv6Address
    destination_port: int
    action: int
    rule: int
    name_id: int
    location: int
    packets: tuple[int, int]
    bytes: tuple[int, int]
    started_ns: int
    last_seen_ns: int
    nat_slot: int
    nat_port: int
    tunnel: int
    state: int
    naming: int

class Event(NamedTuple):
    reason: int
    namespace: int
    location: int
    endpoint: int
    packet: bytes
    header: bytes
    peer_address: int
    peer_port: int
    slot: int
    value: int
    flow: Flow | None

def drain(ring: Ring, limit: int = 1024) -> list[Event]: ...
def command(
    ring: Ring,
    kind: int,
    *,
    namespace: int = 0,
    location: int = 0,
    endpoint: int = 0,
    slot: int = 255,
    packet: bytes = b"",
    header: bytes = b"",
    peer: tuple[int, int] = (0, 0),
    address: IPv4Address | IPv6Address | None = None,
    value: int = 0,
    until_ns: int = 0,
    bound: tuple[int, IPv4Address, int] | None = None,
) -> bool: ...
