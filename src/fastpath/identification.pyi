from typing import final

import numpy as np
from _typeshed import ReadableBuffer
from numpy.typing import NDArray

from fastpath.batch import PacketBatch
from fastpath.fragments import FragmentTable

@final
class Identifications:
    def __new__(cls, *, seed: ReadableBuffer) -> Identifications: ...
    def renew_rows(
        self, batch: PacketBatch, rows: NDArray[np.uint16], fragments: FragmentTable, datagrams: NDArray[np.int32]
    ) -> None: ...
