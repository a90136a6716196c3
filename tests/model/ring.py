"""Ring, the obvious way: a deque with the same accounting of bytes."""

from collections import deque

PREFIX = 8


class Ring:
    """Records in order; refuses one that the real buffer would have no contiguous place for."""

    def __init__(self, size: int = 1 << 20) -> None:
        if not 4096 <= size <= 1 << 30 or size & (size - 1):
            raise ValueError(f"size must be a power of two from 4096 to {1 << 30}, not {size}")
        self.size, self.lost = size, 0
        self._head = self._tail = 0
        self._records: deque[tuple[int, int, bytes]] = deque()  # (start, end, record)

    def push(self, record: bytes) -> bool:
        """Write one record, or count it as lost."""
        need = PREFIX + (len(record) + 7) // 8 * 8
        at = self._head % self.size
        filler = self.size - at if at + need > self.size else 0
        if len(record) > self.size // 2 or self._head + filler + need - self._tail > self.size:
            self.lost += 1
            return False
        start = self._head + filler
        self._head = start + need
        self._records.append((start, self._head, bytes(record)))
        return True

    def drain(self, limit: int = 1024) -> list[bytes]:
        """Take out up to `limit` records."""
        out = []
        while self._records and len(out) < limit:
            _, self._tail, record = self._records.popleft()
            out.append(record)
        if not self._records and len(out) < limit:
            self._skip_filler()
        return out

    def _skip_filler(self) -> None:
        self._tail = max(self._tail, self._head)
