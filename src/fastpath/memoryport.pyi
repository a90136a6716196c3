from collections.abc import Sequence
from typing import final

from _typeshed import ReadableBuffer

from fastpath.packetio import GenevePort

@final
class MemoryPort(GenevePort):
    def __new__(
        cls,
        frames: Sequence[ReadableBuffer],
        address: str = "127.0.0.1",
        port: int = 6081,
        *,
        peers: Sequence[int] | None = None,
    ) -> MemoryPort: ...
    @property
    def count(self) -> int: ...
    @property
    def sent(self) -> int: ...
    def last(self, n: int) -> list[bytes]: ...
