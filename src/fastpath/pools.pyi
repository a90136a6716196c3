from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import final

@final
class Pools:
    def __new__(cls, networks: Iterable[IPv4Network]) -> Pools: ...
    @property
    def size(self) -> int: ...
    def __contains__(self, address: IPv4Address, /) -> bool: ...
