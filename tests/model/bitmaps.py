"""The reference of fastpath.bitmaps: rows in a list."""

import numpy as np

from model.arguments import Array, takes


class BitmapBook:
    def __init__(self, valid, limit=1 << 30):
        if not 1 <= len(valid) <= (1 << 18) // 64:
            raise ValueError(f"valid must have 1 to {(1 << 18) // 64} words, not {len(valid)}")
        for word in valid.tolist():
            if not word & 1 or word & (word + 1):
                raise ValueError(f"valid must have the lowest bits of each word set and no others, not {word:#x}")
        self._valid, self._rows, self._limit = valid.copy(), [], limit
        self.words, self.spans = len(valid), (len(valid) + 63) // 64

    rows = property(lambda self: len(self._rows))

    @takes(bits=Array(np.uint64))
    def add(self, bits):
        if len(bits) != self.words or (bits & ~self._valid).any():
            raise ValueError(f"bits must be {self.words} words of valid bits")
        key = bits.tobytes()
        if key not in self._rows:
            self._rows.append(key)
        return self._rows.index(key)

    def row(self, place):
        if not 0 <= place < len(self._rows):
            raise ValueError(f"place must be one that add returned, not {place}")
        return np.frombuffer(self._rows[place], np.uint64)
