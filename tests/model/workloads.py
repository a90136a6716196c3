"""The reference of fastpath.workloads: a dictionary."""


class Workloads:
    def __init__(self, namespaces, addresses, sets, feeds, confirmed_ns, seed=None):
        if seed is not None and len(seed) != 16:
            raise ValueError("seed must be 16 bytes")
        if addresses.shape[1] != 16:
            raise ValueError("addresses must be [n, 16]")
        for name, column in (("addresses", addresses), ("sets", sets), ("feeds", feeds)):
            if len(column) != len(namespaces):
                raise ValueError(f"{name} must have the {len(namespaces)} entries of namespaces")
        if len(confirmed_ns) > 256:
            raise ValueError("confirmed_ns must have at most 256 entries")
        if any(feed >= len(confirmed_ns) for feed in feeds):
            raise ValueError(f"feeds must be below {len(confirmed_ns)}")
        self._confirmed = confirmed_ns.tolist()
        self._known = {}
        for namespace, address, number, feed in zip(namespaces, addresses, sets, feeds, strict=True):
            key = int(namespace), address.tobytes()
            if key in self._known:
                raise ValueError("addresses must not give a workload twice")
            self._known[key] = int(number), int(feed)

    size = property(lambda self: len(self._known))
    feeds = property(lambda self: len(self._confirmed))

    def confirm(self, feed, now_ns):
        if not 0 <= feed < len(self._confirmed):
            raise ValueError(f"feed must be 0 to {len(self._confirmed) - 1}")
        self._confirmed[feed] = now_ns

    def lookup(self, namespace, address, now_ns=0):
        if len(bytes(address)) != 16:
            raise ValueError("address must be 16 bytes")
        found = self._known.get((namespace, bytes(address)))
        return found and (found[0], max(0, now_ns - self._confirmed[found[1]]))
