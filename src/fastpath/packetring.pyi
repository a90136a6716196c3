from typing import final

from fastpath.packetio import GenevePort, GeneveSocket

@final
class PacketRing(GenevePort):
    def __new__(cls, address: str, port: int = 6081, *, fanout: int = 0) -> PacketRing: ...
    @property
    def kernel(self) -> GeneveSocket: ...
    @property
    def interface(self) -> str: ...
