from typing import final

import numpy as np
from numpy.typing import NDArray

from fastpath.batch import PacketBatch
from fastpath.flowkey import Secret
from fastpath.flowtable import FlowTable
from fastpath.nat import NatTable

@final
class Outlet:
    def __new__(
        cls, flows: FlowTable, nat: NatTable, secret: Secret, addresses: NDArray[np.uint8], closed: NDArray[np.uint8]
    ) -> Outlet: ...
    @property
    def flows(self) -> FlowTable: ...
    @property
    def nat(self) -> NatTable: ...
    @property
    def secret(self) -> Secret: ...
    @property
    def addresses(self) -> NDArray[np.uint8]: ...
    def admit_batch(self, batch: PacketBatch, now_ns: int, full: bool = False) -> int: ...
    def end_flows(self, indexes: NDArray[np.int32]) -> int: ...
