"""Sessions by address and by number, the obvious way: two dicts."""

from __future__ import annotations


class Links:
    """fastpath.links.Links, but that a link is its number."""

    def __init__(self, capacity, secret):
        self.capacity, self._last = capacity, 0
        self._owners, self._addresses = {}, {}

    def __len__(self):
        return len(self._owners)

    def add(self, owner, address, port):
        """Take in; the number is larger than all before."""
        if len(self) == self.capacity or (address, port) in self._addresses.values():
            raise ValueError("full, or somebody's")
        self._last += 1
        self._owners[self._last], self._addresses[self._last] = owner, (address, port)
        return self._last

    def remove(self, number):
        """Forget; was it here?"""
        self._addresses.pop(number, None)
        return self._owners.pop(number, None) is not None

    def at(self, address, port):
        """By address."""
        return next((self._owners[number] for number, at in self._addresses.items() if at == (address, port)), None)

    def get(self, number):
        """By number."""
        return self._owners.get(number)
