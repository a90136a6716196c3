from typing import final

from fastpath.flowmarks import FlowMarks
from fastpath.packetio import GenevePort, GeneveSocket

@final
class PacketRing(GenevePort):
    def __new__(
        cls,
        address: str,
        port: int = 6081,
        *,
        fanout: int = 0,
        workers: int = 1,
        marks: FlowMarks | None = None,
        worker: int = 0,
    ) -> PacketRing: ...
    @property
    def kernel(self) -> GeneveSocket: ...
    @property
    def interface(self) -> str: ...
    @property
    def fanout(self) -> int: ...
