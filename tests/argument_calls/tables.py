"""Tables of routes, flows, bindings and names."""

from typing import Any

import numpy as np

from argument_calls.call import (
    BATCH,
    INT,
    NAMED,
    PORT,
    RIGHT_NAMED,
    ROWS,
    SEED,
    TIME,
    WORD,
    T,
    array,
    rows_in,
    rows_of,
)
from fastpath import batch, flowtable
from fastpath.fragments import FragmentTable
from inner_packets import pieces, udp
from model.arguments import Address, Array, Instance, Number, Octets, Text

KEYS = {"keys": Array(np.uint8, 40, sized=False), "hashes": Array(np.uint64), "out": Array(np.int32, written=True)}
RIGHT_KEYS = {"keys": array(np.uint8, 2, 40), "hashes": array(np.uint64, 2), "out": array(np.int32, 2)}
BINDING = {"protocol": Number(0, 255), "local": Octets(16), "remote": Octets(16), "remote_port": PORT}
RIGHT_BINDING = {"protocol": 17, "local": bytes(16), "remote": bytes(16), "remote_port": 53}


def flows(module: Any) -> Any:
    made = module.FlowTable(8)
    keys = np.arange(80, dtype=np.uint8).reshape(2, 40)
    made.insert_keys(keys, np.array([1, 2], np.uint64), 1, 0, np.zeros(2, np.int32))
    return made


def seen(made: Any) -> bytes:
    return bytes(made.entries_view.tobytes())


def fragment_row() -> batch.PacketBatch:
    return rows_of(pieces(udp("10.0.0.1", "192.0.2.9", 9, 53, bytes(200)))[0])


def fragments(module: Any) -> Any:
    """A table with one datagram, which is its number 0."""
    made = module.FragmentTable(1, 1, seed=SEED)
    made.enter_one(fragment_row(), 0, 0, 1)
    return made


class Times:
    """What is no sequence of (protocol, first port, last port, seconds)."""

    def wrong(self, _: Any) -> Any:
        time = 6, 1, 9, 2.0
        others = ("name", 70, ..., "1"), (-1, 1 << 70, "a"), (0, 65536, 1 << 70, None), (0, float("nan"), "a", None)
        return [("int", 5), ("None", None), ("int inside", [5]), ("short", [time[:3]]), ("long", [(*time, 1)]),
                *((f"{k} {wrong}", [(*time[:k], wrong, *time[k + 1 :])]) for k in range(4) for wrong in others[k])]


class Idle:
    """What is no dict of seconds by class."""

    def wrong(self, _: Any) -> Any:
        return [("int", 5), ("list", [1]), ("class", {9: 1.0}), ("text", {0: "x"}), ("zero", {0: 0}),
                ("nan", {0: float("nan")})]


def missed() -> batch.PacketBatch:
    made = rows_in()
    made.entry[:] = -1
    return made


for name, width in (("Lpm4", None), ("Lpm6", 16)):
    kind = Array(np.uint32 if width is None else np.uint8, width, sized=False)
    addresses = array(kind.dtype, 2, *(() if width is None else (16,)))
    prefix = "10.0.0.0/8" if width is None else "fd00::/8"
    made, wrong = (lambda module, name=name: getattr(module, name)(0)), {"prefix": Text()}
    T.call(f"lpm.{name}", {"default": 1, "path": "scalar"}, {"default": Number(0, WORD)})
    T.call(f"lpm.{name}.insert", {"prefix": prefix, "value": 1}, wrong | {"value": Number(0, WORD)}, made)
    T.call(f"lpm.{name}.remove", {"prefix": prefix}, wrong, made)
    T.call(f"lpm.{name}.exact", {"prefix": prefix}, wrong, made)
    T.call(f"lpm.{name}.replace", {"routes": {prefix: 1}}, {"routes": Instance()}, made)
    T.call(f"lpm.{name}.replace_arrays",
           {"addresses": addresses, "lengths": array(np.uint8, 2), "values": array(np.uint32, 2)},
           {"addresses": kind, "lengths": Array(np.uint8, sized=False), "values": Array(np.uint32, sized=False)}, made)
    T.call(f"lpm.{name}.lookup", {"address": prefix[:-2]}, {"address": Address()}, made)
    T.call(f"lpm.{name}.lookup_batch", {"addresses": addresses, "out": array(np.uint32, 2)},
           {"addresses": kind, "out": Array(np.uint32, written=True)}, made)
domain_map = lambda module: module.DomainMap()  # noqa: E731
T.call("domains.DomainMap", {"seed": 1}, {"seed": TIME})
T.call("domains.DomainMap.set", {"pattern": "a.b", "value": 1}, {"pattern": Text(), "value": Number(0, WORD - 1)},
       lambda module: module.DomainMap())
T.call("domains.DomainMap.get", {"name": "a.b"}, {"name": Text()}, domain_map)
T.call("domains.DomainMap.get_many", {"names": lambda: np.frombuffer(b"a\nb\n", np.uint8), "out": array(np.uint32, 2),
                                      "default": 7},
       {"names": Array(np.uint8), "out": Array(np.uint32, written=True), "default": Number(0, WORD)}, domain_map)
T.call("nametable.NameTable", {"capacity": 8, "seed": SEED}, {"capacity": Number(8, 1 << 26)})
names = lambda module: module.NameTable(8, SEED)  # noqa: E731
T.call("nametable.NameTable.lookup", RIGHT_NAMED | {"now_ns": 1}, NAMED | {"now_ns": TIME}, names, lambda made: made.size)
T.call("nametable.NameTable.insert", RIGHT_NAMED | {"name_id": 1, "expires_ns": 1},
       NAMED | {"name_id": Number(1, WORD), "expires_ns": TIME}, names, lambda made: made.size)
T.call("nametable.NameTable.remove", RIGHT_NAMED, NAMED, names, lambda made: made.size)
T.call("askers.AskerTable", {"rate": 5, "seed": SEED}, {"rate": Number(0, 1_000_000), "seed": Octets(32)})
T.call("askers.AskerTable.ask", {"namespace": 1, "source": bytes(16), "now_ns": 1},
       {"namespace": PORT, "source": Octets(16), "now_ns": TIME}, lambda module: module.AskerTable(5, seed=SEED),
       lambda made: made.rate)
T.call("moderation.Moderation.rest", {"now_ns": 1, "rows": 1}, {"now_ns": TIME, "rows": Number(0, (1 << 31) - 1)},
       lambda module: module.Moderation(), lambda made: made.rest_ns)
T.call("identification.Identifications", {"seed": SEED}, {"seed": Octets(32)})
T.call("identification.Identifications.renew_rows",
       {"batch": rows_in, "rows": array(np.uint16, 2), "fragments": lambda: FragmentTable(seed=SEED),
        "datagrams": np.array([-1, -1], np.int32)},
       BATCH | ROWS | {"fragments": Instance(), "datagrams": Array(np.int32)},
       lambda module: module.Identifications(seed=SEED), lambda made: 0)
T.call("nat.NatTable", {"capacity": 8, "ports": (1, 9), "seed": SEED}, {"capacity": Number(1, 1 << 28), "seed": Octets(32)})
bindings = lambda module: module.NatTable(8, (1, 9), SEED)  # noqa: E731
T.call("nat.NatTable.bind_one", RIGHT_BINDING | {"wanted": 1, "flow": 1},
       BINDING | {"wanted": PORT, "flow": Number(-INT - 1, INT)}, bindings)
for name in ("find_one", "release_one"):
    T.call(f"nat.NatTable.{name}", RIGHT_BINDING | {"port": 1}, BINDING | {"port": PORT}, bindings)
T.call("nat.NatTable.bind_rows", {"batch": rows_in, "rows": array(np.uint16, 2), "addresses": array(np.uint8, 2, 16),
                                  "flows": array(np.int32, 2), "ports": array(np.uint16, 2)},
       BATCH | ROWS | {"addresses": Array(np.uint8, 16), "flows": Array(np.int32), "ports": Array(np.uint16, written=True)},
       bindings)  # fmt: skip
T.call("nat.NatTable.find_rows", {"batch": rows_in, "rows": array(np.uint16, 2), "flows": array(np.int32, 2)},
       BATCH | ROWS | {"flows": Array(np.int32, written=True)}, bindings)
T.call("workloads.Workloads", {"namespaces": lambda: np.arange(2, dtype=np.uint16), "addresses": array(np.uint8, 2, 16),
                               "sets": array(np.uint32, 2), "feeds": array(np.uint8, 2), "confirmed_ns": array(np.int64, 1),
                               "seed": bytes(16)},
       {"namespaces": Array(np.uint16, sized=False), "addresses": Array(np.uint8, 16), "sets": Array(np.uint32),
        "feeds": Array(np.uint8), "confirmed_ns": Array(np.int64, sized=False)})  # fmt: skip
known = lambda module: module.Workloads(np.zeros(0, np.uint16), np.zeros((0, 16), np.uint8), np.zeros(0, np.uint32),  # noqa: E731
                                    np.zeros(0, np.uint8), np.zeros(2, np.int64), bytes(16))
T.call("workloads.Workloads.confirm", {"feed": 1, "now_ns": 1}, {"feed": Number(0, 1), "now_ns": TIME}, known,
       lambda made: made.size)
T.call("workloads.Workloads.lookup", RIGHT_NAMED | {"now_ns": 1}, NAMED | {"now_ns": TIME}, known, lambda made: made.size)

index, kind = Number(0, 1), Number(0, 5)
T.call("flowtable.FlowTable", {"capacity": 8, "idle": {}, "ready": 2},
       {"capacity": Number(1, 1 << 30), "idle": Instance(), "ready": Number(0, 8)})
T.calls["flowtable.FlowTable"].kinds["idle"] = Idle()
for name, right, kinds in (
    ("lookup_batch", {"batch": rows_in}, BATCH),
    ("lookup_keys", RIGHT_KEYS, KEYS),
    ("insert_keys", RIGHT_KEYS | {"now_ns": 1, "timeout_class": 0}, KEYS | {"now_ns": TIME, "timeout_class": kind}),
    ("remove_flows", {"indexes": lambda: np.array([0, 1], np.int32)}, {"indexes": Array(np.int32, sized=False)}),
    ("insert_misses", {"batch": rows_in, "now_ns": 1, "timeout_class": 1}, BATCH | {"now_ns": TIME}),
    ("account_batch", {"batch": missed, "now_ns": 1}, BATCH | {"now_ns": TIME}),
    ("find_one", {"key": array(np.uint8, 40), "hash": 1}, {"key": Array(np.uint8), "hash": TIME}),
    ("touch_one", {"index": 1, "timeout_class": 1, "now_ns": 1}, {"index": index, "timeout_class": kind, "now_ns": TIME}),
    ("remove_one", {"index": 1}, {"index": index}),
    ("pin_one", {"index": 1, "pinned": True, "now_ns": 1}, {"index": index, "now_ns": TIME}),
    ("due_flows", {"now_ns": 1, "out": array(np.int32, 2)},
     {"now_ns": TIME, "out": Array(np.int32, written=True, sized=False)}),
    ("expire", {"now_ns": 1}, {"now_ns": TIME}),
    ("get", {"index": 1}, {"index": index}),
):
    T.call(f"flowtable.FlowTable.{name}", right, kinds, flows, seen)

origin, entered = Number(0, 2), lambda made: (made.waiting, made.ready)
T.call("fragments.FragmentTable", {"capacity": 2, "held": 2, "seed": SEED},
       {"capacity": Number(1, 1 << 20), "held": Number(1, 1 << 14), "seed": Octets(32)})
for name, right, kinds in (
    ("enter_one", {"batch": fragment_row, "row_number": 0, "origin": 1, "now_ns": 2, "again": False},
     BATCH | {"row_number": Number(0, 0), "origin": origin, "now_ns": TIME}),
    ("settle_one", {"number": 0, "flow": 1, "flow_hash": 2, "direction": 1, "verdict": 0},
     {"number": Number(0, 0), "flow": Number(-1, INT), "flow_hash": TIME, "direction": Number(0, 1),
      "verdict": Number(0, 255)}),
    ("follow_one", {"number": 0}, {"number": Number(0, 0)}),
    ("release_rows", {"batch": rows_in, "origin": 1}, BATCH | {"origin": origin}),
    ("sweep_held", {"now_ns": 1}, {"now_ns": TIME}),
):
    T.call(f"fragments.FragmentTable.{name}", right, kinds, fragments, entered)
idle = lambda module: module.PortIdle(8, [(17, 53, 53, 1.0)])  # noqa: E731
T.call("portidle.PortIdle", {"capacity": 8, "times": [(17, 53, 53, 1.0)]}, {"capacity": Number(1, 1 << 30), "times": Times()})
T.call("portidle.PortIdle.enter_one", {"table": lambda: flows(flowtable), "flow": 1, "protocol": 17, "port": 53, "now_ns": 1},
       {"table": Instance(), "flow": index, "protocol": Number(0, 255), "port": PORT, "now_ns": TIME}, idle,
       lambda made: made.kinds)  # fmt: skip
T.call("portidle.PortIdle.due_flows", {"table": lambda: flows(flowtable), "now_ns": 1, "out": array(np.int32, 2)},
       {"table": Instance(), "now_ns": TIME, "out": Array(np.int32, written=True, sized=False)}, idle, lambda made: made.kinds)
