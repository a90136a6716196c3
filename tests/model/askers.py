"""How often each source may ask: a dictionary of buckets, none of which is ever forgotten."""

from model.arguments import TIME, Number, Octets, takes

WHOLE = 10**9


class AskerTable:
    @takes(rate=Number(0, 1_000_000), seed=Octets(32))
    def __init__(self, rate=250, *, seed):
        if not any(seed):
            raise ValueError("seed must be 32 secret bytes, not zeros")
        self.rate = rate
        self._left = {}        # of whom: time's worth that was left, and when

    @takes(namespace=Number(0, 0xFFFF), source=Octets(16), now_ns=TIME)
    def ask(self, namespace, source, now_ns):
        if self.rate == 0:
            return True
        each = WHOLE // self.rate
        left, at = self._left.get((namespace, bytes(source)), (self.rate * each, now_ns))
        left = min(left + now_ns - at, self.rate * each)
        granted = left >= each
        self._left[namespace, bytes(source)] = left - each * granted, now_ns
        return granted
