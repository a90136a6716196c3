"""AliasTable, the obvious way: a dict and a list."""

import ipaddress


class AliasTable:
    """Aliases counted from `base`, one a workload, never reused."""

    def __init__(self, base, capacity=65000):
        self.base = int(ipaddress.IPv4Address(base))
        if not 1 <= capacity <= 1 << 24 or self.base + capacity > 1 << 32:
            raise ValueError("capacity")
        self.capacity, self._numbers = capacity, {}

    @property
    def size(self):
        """Aliases given out."""
        return len(self._numbers)

    def alias(self, namespace, address):
        """The alias of a workload, or None."""
        if not 0 <= namespace <= 65535:
            raise ValueError("namespace")
        key = (namespace, ipaddress.ip_address(address))
        if key not in self._numbers and self.size == self.capacity:
            return None
        return ipaddress.IPv4Address(self.base + self._numbers.setdefault(key, self.size))

    def workload(self, alias):
        """The workload of an alias, or None."""
        number = int(ipaddress.IPv4Address(alias)) - self.base
        return next((key for key, n in self._numbers.items() if n == number), None)
