from typing import final

from numpy.typing import NDArray

from fastpath.batch import PacketBatch

@final
class Frames:
    def __new__(cls) -> Frames: ...
    def feed(self, data: bytes | bytearray | memoryview | NDArray) -> int: ...
    def recv(self, batch: PacketBatch) -> int: ...
