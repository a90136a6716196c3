"""The obvious flow table: a dictionary by key, and for each rank and timeout class a list ordered by last use."""

from __future__ import annotations

import numpy as np

from fastpath.action import DropReason
from fastpath.flowtable import ENTRY, PATH, FlowState, TimeoutClass
from model.arguments import TIME, Array, Number, takes

IDLE_S = {TimeoutClass.TIMEOUT_TCP: 400, TimeoutClass.TIMEOUT_TCP_OPENING: 30, TimeoutClass.TIMEOUT_TCP_CLOSING: 5,
          TimeoutClass.TIMEOUT_UDP: 130, TimeoutClass.TIMEOUT_ICMP: 30, TimeoutClass.TIMEOUT_OTHER: 130}


def class_of(protocol, state):
    """The class of a flow of this protocol in this state."""
    both_fin = FlowState.FLOW_FIN_FORWARD | FlowState.FLOW_FIN_REVERSE
    if protocol == 6:
        if state & FlowState.FLOW_RESET or state & both_fin == both_fin:
            return TimeoutClass.TIMEOUT_TCP_CLOSING
        both = FlowState.FLOW_SEEN_REPLY | FlowState.FLOW_ACKNOWLEDGED
        return TimeoutClass.TIMEOUT_TCP if state & both == both else TimeoutClass.TIMEOUT_TCP_OPENING
    return {17: TimeoutClass.TIMEOUT_UDP, 1: TimeoutClass.TIMEOUT_ICMP,
            58: TimeoutClass.TIMEOUT_ICMP}.get(protocol, TimeoutClass.TIMEOUT_OTHER)


def rank_of(entry, timeout_class):
    """0 young: gives way to new flows; 1 answered; 2 pinned."""
    if entry["state"] & FlowState.FLOW_PINNED:
        return 2
    may_stay = timeout_class not in (TimeoutClass.TIMEOUT_TCP_OPENING, TimeoutClass.TIMEOUT_TCP_CLOSING)
    return int(bool(entry["state"] & FlowState.FLOW_SEEN_REPLY) and may_stay)


class FlowTable:
    def __init__(self, capacity, idle=None, ready=0):
        if not 1 <= capacity <= 1 << 30:
            raise ValueError("capacity must be 1 to 2^30")
        if not 0 <= ready <= capacity:
            raise ValueError("ready must be 0 to the capacity")
        for timeout_class, idle_s in (idle or {}).items():
            if timeout_class not in list(TimeoutClass) or not 0 < idle_s <= 1e9:
                raise ValueError(f"idle: {timeout_class}: {idle_s}")
        self.capacity = capacity
        self.idle_ns = {timeout_class: int(idle_s * 1e9) for timeout_class, idle_s in {**IDLE_S, **(idle or {})}.items()}
        self.by_key: dict[bytes, int] = {}
        self.order = {(rank, timeout_class): [] for rank in range(3) for timeout_class in TimeoutClass}
        self.entries_view, self.paths_view = np.zeros(capacity, ENTRY), np.zeros(capacity, PATH)

    def __len__(self):
        return len(self.by_key)

    @property
    def size(self):
        return len(self.by_key)

    def check(self, index, name):
        if not 0 <= index < self.capacity or not self.entries_view[index]["used"]:
            raise ValueError(f"{name}: {index} is not a flow of this table")

    def lookup_batch(self, batch):
        misses = 0
        for i in live(batch):
            batch.entry[i] = self.by_key.get(batch.key[i].tobytes(), -1)
            misses += int(batch.entry[i] < 0)
        return misses

    @takes(keys=Array(np.uint8, 40), hashes=Array(np.uint64), out=Array(np.int32, written=True))
    def lookup_keys(self, keys, hashes, out):
        check_columns(keys, hashes, out)
        out[:] = [self.by_key.get(key.tobytes(), -1) for key in keys]
        return int(np.count_nonzero(out < 0))

    @takes(keys=Array(np.uint8, 40), hashes=Array(np.uint64), out=Array(np.int32, written=True),
           now_ns=TIME, timeout_class=Number(0, 5))
    def insert_keys(self, keys, hashes, now_ns, timeout_class, out):
        check_columns(keys, hashes, out)
        if not 0 <= timeout_class < 6:
            raise ValueError("timeout_class must be 0 to 5")
        made = 0
        for i, key in enumerate(map(bytes, keys)):
            out[i] = self.by_key.get(key, -1)
            if out[i] < 0 and self.has_room(now_ns):
                out[i] = self.make(key, int(hashes[i]), timeout_class, now_ns)
                made += 1
        return made

    def has_room(self, now_ns):
        """Whether a flow can be made, after another one has given way if need be."""
        if len(self) == self.capacity:
            victim = self.oldest_one()
            if victim < 0 or self.entries_view[victim]["last_seen_ns"] >= now_ns:
                return False
            self.remove_one(victim)
        return True

    @takes(indexes=Array(np.int32))
    def remove_flows(self, indexes):
        for index in indexes:
            self.check(index, "indexes")
        wanted = set(map(int, indexes))
        for index in wanted:
            self.remove_one(index)
        return len(wanted)

    def insert_misses(self, batch, now_ns, timeout_class=None):
        if timeout_class is not None and not 0 <= timeout_class < 6:
            raise ValueError("timeout_class must be 0 to 5")
        hits = [int(batch.entry[i]) for i in live(batch) if batch.entry[i] >= 0]
        for index in hits:
            self.check(index, "entry")
        if len(self) > self.capacity - batch.count:
            for index in hits:
                self.touch_one(index, int(self.entries_view[index]["timeout_class"]), now_ns)
        made = 0
        for i in live(batch):
            key = batch.key[i].tobytes()
            if batch.entry[i] >= 0:
                continue
            if key in self.by_key:
                batch.entry[i] = self.by_key[key]
                continue
            if not self.has_room(now_ns):
                batch.reason[i], batch.action[i] = DropReason.DROP_FLOW_TABLE_FULL, 3
                continue
            chosen = class_of(int(batch.protocol[i]), 0) if timeout_class is None else timeout_class
            batch.entry[i] = self.make(key, int(batch.hash[i]), chosen, now_ns)
            self.entries_view[batch.entry[i]]["initiator"] = batch.direction[i]
            made += 1
        return made

    def make(self, key, hash_, timeout_class, now_ns):
        index = int(np.flatnonzero(self.entries_view["used"] == 0)[0])
        self.entries_view[index], self.paths_view[index] = np.zeros((), ENTRY), np.zeros((), PATH)
        entry = self.entries_view[index]
        self.entries_view.view(np.uint8).reshape(self.capacity, -1)[index, :40] = np.frombuffer(key, np.uint8)
        entry["hash"], entry["last_seen_ns"], self.paths_view[index]["started_ns"] = hash_, now_ns, now_ns
        entry["rule"], entry["tunnel"] = -1, 255
        self.by_key[key] = index
        self.link(index, timeout_class)
        return index

    def link(self, index, timeout_class):
        entry = self.entries_view[index]
        rank = rank_of(entry, timeout_class)
        entry["timeout_class"], entry["used"] = timeout_class, rank + 1
        self.order[rank, timeout_class].append(index)

    def unlink(self, index):
        entry = self.entries_view[index]
        self.order[int(entry["used"]) - 1, int(entry["timeout_class"])].remove(index)

    def account_batch(self, batch, now_ns):
        counted = [i for i in live(batch) if batch.entry[i] >= 0]
        for i in counted:
            self.check(batch.entry[i], "entry")
        for i in counted:
            entry = self.entries_view[batch.entry[i]]
            answer = int(batch.direction[i] != entry["initiator"])
            entry["packets"][answer] += 1
            entry["bytes"][answer] += batch.inner_length[i]
            state = int(entry["state"])
            if answer:
                state |= FlowState.FLOW_SEEN_REPLY
            elif batch.tcp_flags[i] & 0x10:
                state |= FlowState.FLOW_ACKNOWLEDGED
            if batch.tcp_flags[i] & 1:
                state |= FlowState.FLOW_FIN_REVERSE if answer else FlowState.FLOW_FIN_FORWARD
            if batch.tcp_flags[i] & 4:
                state |= FlowState.FLOW_RESET
            entry["state"] = state
            self.touch_one(int(batch.entry[i]), class_of(int(entry["protocol"]), state), now_ns)
        return len(counted)

    def find_one(self, key, hash_):
        if len(key) != 40:
            raise ValueError("key must be 40 bytes")
        return self.by_key.get(bytes(key), -1)

    def touch_one(self, index, timeout_class, now_ns):
        self.check(index, "index")
        if not 0 <= timeout_class < 6:
            raise ValueError("timeout_class must be 0 to 5")
        entry = self.entries_view[index]
        phase = int(entry["hash"]) % 2**30          # a flow that is not young moves once in 2^30 ns
        same_turn = (now_ns + phase) >> 30 == (int(entry["last_seen_ns"]) + phase) >> 30
        rank = rank_of(entry, timeout_class)
        place = int(entry["used"]) - 1, int(entry["timeout_class"])
        entry["last_seen_ns"] = now_ns
        if rank == 0 or not same_turn or place != (rank, timeout_class):
            self.unlink(index)
            self.link(index, timeout_class)

    def pin_one(self, index, pinned, now_ns):
        self.check(index, "index")
        entry = self.entries_view[index]
        state = int(entry["state"]) & ~FlowState.FLOW_PINNED
        entry["state"] = state | FlowState.FLOW_PINNED * pinned
        self.touch_one(index, int(entry["timeout_class"]), now_ns)

    def remove_one(self, index):
        self.check(index, "index")
        self.unlink(index)
        entry = self.entries_view[index]
        del self.by_key[entry.tobytes()[:40]]
        entry["used"] = 0

    def oldest_one(self):
        young = [index for timeout_class in TimeoutClass for index in self.order[0, timeout_class][:1]]
        return min(young, key=lambda index: int(self.entries_view[index]["last_seen_ns"]), default=-1)

    @takes(out=Array(np.int32, written=True), now_ns=TIME)
    def due_flows(self, now_ns, out):
        due = []
        for (_rank, timeout_class), indexes in self.order.items():
            for index in indexes:
                if now_ns - int(self.entries_view[index]["last_seen_ns"]) <= self.idle_ns[timeout_class]:
                    break
                due.append(index)
        n = min(len(due), len(out))
        out[:n] = due[:n]
        return n

    def expire(self, now_ns):
        out = np.zeros(self.capacity, np.int32)
        n = self.due_flows(now_ns, out)
        for index in out[:n]:
            self.remove_one(int(index))
        return n

    def get(self, index):
        self.check(index, "index")
        flow = {name: view[index][name].tolist() for view in (self.entries_view, self.paths_view) for name in view.dtype.names}
        for name in ("a_address", "b_address", "header"):
            flow[name] = bytes(flow[name])
        flow["header"] = flow["header"][:flow["header_length"]]
        del flow["pad"]
        return flow


def check_columns(keys, hashes, out):
    """One hash and one index for each key of 40 bytes."""
    for name, wrong in (("keys", keys.shape[1] != 40), ("hashes", len(hashes) != len(keys)), ("out", len(out) != len(keys))):
        if wrong:
            raise ValueError(f"{name}: wrong shape")


def live(batch):
    return [i for i in range(batch.count) if batch.reason[i] == 0]
