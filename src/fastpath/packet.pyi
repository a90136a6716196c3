import numpy as np
from numpy.typing import NDArray

from fastpath.batch import PacketBatch

def parse_batch(batch: PacketBatch) -> int: ...
def clamp_mss_batch(batch: PacketBatch, mtu: int, rows: NDArray[np.uint16] | None = None) -> int: ...
