"""The reference of fastpath.nametable."""


class NameTable:
    """A dictionary; when it is full, the name that expires first of all gives way."""

    def __init__(self, capacity, seed=None):
        if not 8 <= capacity <= 1 << 26:
            raise ValueError(f"capacity must be 8 to {1 << 26}, not {capacity}")
        if seed is not None and (len(seed) != 32 or not any(seed)):
            raise ValueError("seed must be 32 secret bytes, not zeros")
        self.capacity = 1 << (capacity - 1).bit_length()
        self.replaced = 0
        self._names = {}

    size = property(lambda self: len(self._names))

    @staticmethod
    def _key(namespace, address):
        if len(address) != 16:
            raise ValueError(f"address must be 16 bytes, not {len(address)}")
        return namespace, bytes(address)

    def lookup(self, namespace, address, now_ns):
        name_id, expires_ns = self._names.get(self._key(namespace, address), (0, 0))
        return name_id if expires_ns > now_ns else 0

    def insert(self, namespace, address, name_id, expires_ns):
        key = self._key(namespace, address)
        if name_id == 0:
            raise ValueError("name_id must be 1 or more, not 0")
        if key not in self._names and len(self._names) == self.capacity:
            del self._names[min(self._names, key=lambda other: self._names[other][1])]
            self.replaced += 1
        self._names[key] = name_id, max(expires_ns, 1)

    def remove(self, namespace, address):
        return self._names.pop(self._key(namespace, address), None) is not None
