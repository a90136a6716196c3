from typing import final

import numpy as np
from numpy.typing import NDArray

from fastpath.batch import PacketBatch
from fastpath.links import Links
from fastpath.outlet import Outlet
from fastpath.packetio import Port

HEADER_BYTES: int

@final
class Inward:
    def __new__(cls, udp: Port, links: Links, outlet: Outlet, mtu: int, silent_ns: int) -> Inward: ...
    @property
    def udp(self) -> Port: ...
    @property
    def links(self) -> Links: ...
    @property
    def outlet(self) -> Outlet: ...
    @property
    def ways(self) -> NDArray[np.uint32]: ...
    @property
    def carried(self) -> NDArray[np.int64]: ...
    def encapsulate_rows(self, batch: PacketBatch, rows: NDArray[np.uint16]) -> None: ...
    def enter_rows(self, batch: PacketBatch, rows: NDArray[np.uint16], ways: NDArray[np.uint32]) -> int: ...
