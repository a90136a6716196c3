"""AliasTable, the obvious way: a list of workloads, and of those that no flow has."""

import ipaddress

from model.arguments import TIME, takes

QUIET_NS = 300 * 10**9


class AliasTable:
    """Aliases counted from `base`, one a workload; of one that was quiet for long, where none is left."""

    def __init__(self, base, capacity=65000):
        self.base = int(ipaddress.IPv4Address(base))
        if not 1 <= capacity <= 1 << 24 or self.base + capacity > 1 << 32:
            raise ValueError("capacity")
        self.capacity = capacity
        self._workloads, self._users = [], []
        self._quiet = {}        # number → since when, the longest quiet one first

    @property
    def size(self):
        """Aliases given out."""
        return len(self._workloads)

    @takes(now_ns=TIME)
    def alias(self, namespace, address, now_ns=0):
        """The alias of a workload, or None."""
        if not 0 <= namespace <= 65535:
            raise ValueError("namespace")
        key = (namespace, ipaddress.ip_address(address))
        number = self._number(key, now_ns)
        return None if number is None else ipaddress.IPv4Address(self.base + number)

    def _number(self, key, now_ns):
        if key in self._workloads:
            number = self._workloads.index(key)
            if not self._users[number]:
                self._rest(number, now_ns)
            return number
        if self.size < self.capacity:
            self._workloads.append(key)
            self._users.append(0)
            number = self.size - 1
        else:
            number = next(iter(self._quiet), None)
            if number is None or now_ns < self._quiet[number] + QUIET_NS:
                return None
            self._workloads[number] = key
        self._rest(number, now_ns)
        return number

    def _rest(self, number, now_ns):
        self._quiet.pop(number, None)
        self._quiet[number] = now_ns

    def hold_one(self, number):
        """A flow has it."""
        if not 0 <= number < self.size:
            raise ValueError("number")
        self._users[number] += 1
        self._quiet.pop(number, None)

    @takes(now_ns=TIME)
    def give_one(self, number, now_ns):
        """A flow has it no more."""
        if not 0 <= number < self.size or not self._users[number]:
            raise ValueError("number")
        self._users[number] -= 1
        if not self._users[number]:
            self._rest(number, now_ns)

    def workload(self, alias):
        """The workload of an alias, or None."""
        number = int(ipaddress.IPv4Address(alias)) - self.base
        return self._workloads[number] if 0 <= number < self.size else None
