"""How far apart a port's batches are: rates over windows, and a comparison with how it was without rests."""

from model.arguments import TIME, Number, takes

LONGEST, TOGETHER, SPARSE = 250_000, 64, 12_500
WINDOW, PATIENCE, COMPARED = 4_000_000, 3, 250_000_000


class Moderation:
    def __init__(self):
        self._begun, self._batches = 0, []
        self.rest_ns = 0
        self._free_gap, self._next, self._slow = 0, 0, 0

    @takes(now_ns=TIME, rows=Number(0, (1 << 31) - 1))
    def rest(self, now_ns, rows):
        if now_ns - self._begun >= WINDOW:
            self._judge(now_ns, (now_ns - self._begun) // max(sum(self._batches), 1))
            self._begun, self._batches = now_ns, []
        self._batches.append(rows)
        return self.rest_ns if 0 < rows < TOGETHER else 0

    def _judge(self, now, gap):
        if self.rest_ns:
            slow = gap > SPARSE or gap > self._free_gap + self._free_gap // 4
            self._slow = self._slow + 1 if slow else 0
            self.rest_ns = min(LONGEST, TOGETHER * gap)
            if self._slow == PATIENCE or now >= self._next:
                self.rest_ns, self._free_gap = 0, 0
            if self._slow == PATIENCE:
                self._next = now + COMPARED
        elif gap > SPARSE or sum(self._batches) >= TOGETHER * len(self._batches):
            self._free_gap = 0
        elif now >= self._next and self._free_gap:
            self._free_gap = max(gap, self._free_gap)
            self.rest_ns, self._slow, self._next = min(LONGEST, TOGETHER * gap), 0, now + COMPARED
        else:
            self._free_gap = gap
