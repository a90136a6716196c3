from typing import final

import numpy as np
from numpy.typing import NDArray

from fastpath.fragments import FragmentTable
from fastpath.identification import Identifications
from fastpath.links import Links
from fastpath.outlet import Outlet
from fastpath.packetio import Port

@final
class Outward:
    def __new__(
        cls,
        device: Port,
        links: Links,
        outlet: Outlet,
        fragments: FragmentTable,
        identifications: Identifications,
        datagrams: NDArray[np.int32],
        mtu: int,
    ) -> Outward: ...
    @property
    def device(self) -> Port: ...
    @property
    def links(self) -> Links: ...
    @property
    def outlet(self) -> Outlet: ...
    @property
    def fragments(self) -> FragmentTable: ...
    @property
    def identifications(self) -> Identifications: ...
    @property
    def origin(self) -> NDArray[np.uint32]: ...
    @property
    def datagrams(self) -> NDArray[np.int32]: ...
    @property
    def carried(self) -> NDArray[np.int64]: ...
