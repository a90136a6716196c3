import numpy as np
import numpy.typing as npt

from fastpath.batch import PacketBatch

def join_rows(batch: PacketBatch, rows: npt.NDArray[np.uint16]) -> list[tuple[list[int], bytes, bytes]]: ...
