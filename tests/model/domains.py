"""The reference of fastpath.domains: a dictionary, asked for ever shorter patterns."""

import numpy as np

from model.arguments import Array, Number, takes


class DomainMap:
    def __init__(self, seed=0):
        self._values = {}

    def __len__(self):
        return len({pattern.removeprefix("*.") for pattern in self._values})

    def set(self, pattern, value):
        if not 0 < len(pattern.removeprefix("*.").encode()) <= 255:
            raise ValueError("pattern must have 1 to 255 bytes")
        if value == 2**32 - 1:
            raise ValueError(f"value must be below {value}")
        self._values[pattern] = value

    def get(self, name):
        if len(name.encode()) > 255:
            return None
        labels = name.split(".")
        patterns = [name, *("*." + ".".join(labels[i:]) for i in range(1, len(labels)))]
        return next((self._values[pattern] for pattern in patterns if pattern in self._values), None)

    @takes(names=Array(np.uint8), out=Array(np.uint32, written=True), default=Number(0, 2**32 - 1))
    def get_many(self, names, out, default=0):
        listed = names.tobytes().decode().split("\n")
        if listed.pop():
            raise ValueError("names must end with a line feed")
        if len(listed) > len(out):
            raise ValueError("out must have an element for each name")
        for i, name in enumerate(listed):
            value = self.get(name)
            out[i] = default if value is None else value
        return len(listed)
