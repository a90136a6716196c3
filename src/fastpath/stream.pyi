from typing import final

from numpy.typing import NDArray

from fastpath.packetio import Port

@final
class Stream(Port):
    def __new__(cls, connection: object, fd: int) -> Stream: ...
    @property
    def closed(self) -> bool: ...
    @property
    def connection(self) -> object: ...
    def send_bytes(self, packet: bytes | bytearray | memoryview | NDArray) -> bool: ...
