from typing import final

import numpy as np
import numpy.typing as npt
from _typeshed import ReadableBuffer

@final
class Workloads:
    def __new__(
        cls,
        namespaces: npt.NDArray[np.uint16],
        addresses: npt.NDArray[np.uint8],
        sets: npt.NDArray[np.uint32],
        feeds: npt.NDArray[np.uint8],
        confirmed_ns: npt.NDArray[np.int64],
        seed: ReadableBuffer | None = None,
    ) -> Workloads: ...
    @property
    def size(self) -> int: ...
    @property
    def feeds(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def confirm(self, feed: int, now_ns: int) -> None: ...
    def lookup(self, namespace: int, address: ReadableBuffer, now_ns: int = 0) -> tuple[int, int] | None: ...
