"""Idle times by port, the obvious way: a list of flows and when each is looked at."""

LOOKS = 8


class PortIdle:
    def __init__(self, capacity, times=()):
        if not 1 <= capacity <= 1 << 30:
            raise ValueError("capacity must be 1 to 2^30")
        self.capacity, self.idle, self.queues = capacity, {}, {}
        for protocol, low, high, seconds in times:
            if protocol not in (6, 17):
                raise ValueError("times: protocol must be TCP or UDP")
            if not 0 <= low <= high <= 65535:
                raise ValueError("times: ports must be 0 to 65535")
            if not 0.1 <= seconds <= 1e6:
                raise ValueError("times: seconds must be 0.1 to 1000000")
            self.queues.setdefault(seconds, [])
            if len(self.queues) > 31:
                raise ValueError("times: at most 31 different ones")
            self.idle |= dict.fromkeys(((protocol, port) for port in range(low, high + 1)), seconds)

    @property
    def kinds(self):
        return len(self.queues)

    def enter_one(self, table, flow, protocol, port, now_ns):
        entry = table.get(flow)
        if not 0 <= protocol <= 255:
            raise ValueError("protocol must be 0 to 255")
        seconds = self.idle.get((protocol, port))
        if seconds is not None and len(self.queues[seconds]) < self.capacity:
            self.queues[seconds].append((now_ns + int(seconds * 1e9) // LOOKS, flow, entry["hash"]))

    def due_flows(self, table, now_ns, out):
        n = 0
        for seconds, queue in self.queues.items():
            while queue and n < len(out) and queue[0][0] <= now_ns:
                _, flow, known = queue.pop(0)
                entry = table.entries_view[flow]
                if not entry["used"] or int(entry["hash"]) != known:
                    continue
                if now_ns - int(entry["last_seen_ns"]) > int(seconds * 1e9) and entry["timeout_class"] in (0, 3):
                    out[n] = flow
                    n += 1
                else:
                    queue.append((now_ns + int(seconds * 1e9) // LOOKS, flow, known))
        return n
