"""What this product makes of them, and what speaks to the kernel: a right call of bpf(2) is made by tests in namespaces."""

from typing import Any

import numpy as np

from argument_calls.call import BATCH, INT, PORT, ROWS, SEED, SHORT, TIME, WORD, Spared, T, array, rows_in
from fastpath import batch, ring
from fastpath.criteria import Criteria
from model.arguments import Address, Array, Instance, Number, Octets, Text


def rules(module: Any) -> Any:
    return module.RuleSet(1, actions=np.ones(2, np.uint8), rule_of=np.zeros(1, np.int32), criteria=Criteria(), name_capacity=4)


def sends(module: Any) -> Any:
    return module.UdpSocket.bind("127.0.0.1", 0)


T.call("bitmaps.BitmapBook", {"valid": lambda: np.ones(1, np.uint64), "limit": 4096},
       {"valid": Array(np.uint64), "limit": TIME})
book = lambda module: module.BitmapBook(np.ones(1, np.uint64))  # noqa: E731
T.call("bitmaps.BitmapBook.add", {"bits": lambda: np.ones(1, np.uint64)}, {"bits": Array(np.uint64)}, book,
       lambda made: made.rows)
T.call("bitmaps.BitmapBook.row", {"place": 0}, {"place": TIME}, book, lambda made: made.nbytes, works=False)
T.call("classify.RuleSet.decide_batch", {"batch": rows_in, "locations": array(np.uint32, 4),
                                         "name_ids": array(np.uint32, 4), "out": array(np.int32, 4), "now_ns": 1},
       BATCH | {"locations": Array(np.uint32), "name_ids": Array(np.uint32), "out": Array(np.int32, written=True),
                "now_ns": TIME}, rules, lambda made: made.name_capacity)  # fmt: skip
T.call("classify.RuleSet.bind_name", {"name_id": 1, "name": "a.b", "categories": 1},
       {"name_id": Number(1, 3), "name": Text(), "categories": Number(0, WORD)}, rules, lambda made: made.nbytes)
for name in ("likeness", "speaks_of"):
    T.call(f"classify.RuleSet.{name}", {"name": "a.b"}, {"name": Text()}, rules, lambda made: made.nbytes)
T.call("dns.read_batch", {"batch": rows_in, "errors": array(np.uint8, 4)},
       BATCH | {"errors": Array(np.uint8, written=True)})
for name in ("read_query", "read_addresses"):
    T.call(f"dns.{name}", {"message": bytes(20)}, {"message": Octets()})
T.call("dns.build_answer", {"message": bytes(20), "rcode": 0, "type": 1, "data": b"abcd", "ttl": 1, "extended_error": 1,
                            "text": "x", "limit": 512},
       {"message": Octets(), "data": Octets(), "text": Text(), "rcode": Number(0, 4095), "type": PORT,
        "ttl": Number(0, INT)})  # fmt: skip
places = lambda module: module.EndpointMap([(1, 2, 3)])  # noqa: E731
T.call("endpoint.EndpointMap.get", {"id": 1}, {"id": TIME}, places, lambda made: made.size)
names = lambda module: module.OwnedNames(8, SEED)  # noqa: E731
T.call("owned.OwnedNames", {"capacity": 8, "secret": SEED, "text": "x", "by_location": True},
       {"capacity": Number(8, 1 << 22), "secret": Octets(32), "text": Text()})
name = {"namespace": 1, "name": b"\x01a\0", "location": 1}
kinds = {"namespace": PORT, "name": Instance(), "location": Number(0, WORD)}
T.call("owned.OwnedNames.learn_one", name | {"address": "10.0.0.1", "ttl": 1, "until_ns": 1},
       kinds | {"address": Address(), "ttl": Number(0, WORD), "until_ns": TIME}, names,
       lambda made: made.find_one(1, b"\x01a\0", 0))
T.call("owned.OwnedNames.forget_one", name, kinds, names, lambda made: made.capacity)
T.call("owned.OwnedNames.find_one", name | {"now_ns": 1}, kinds | {"now_ns": TIME}, names, lambda made: made.capacity)
T.call("owned.OwnedNames.answer_batch", {"batch": rows_in, "now_ns": 1, "location": 1},
       BATCH | {"now_ns": TIME, "location": Number(0, WORD)}, names, lambda made: made.capacity)
T.call("ring.Ring", {"size": 4096}, {"size": Number(4096, 1 << 30)})
small = lambda module: module.Ring(4096)  # noqa: E731
T.call("ring.Ring.push", {"record": b"abc"}, {"record": Octets()}, small, lambda made: made.lost)
T.call("ring.Ring.drain", {"limit": 1}, {"limit": Number(1, 1 << 30)}, small, lambda made: made.lost)
T.call("message.drain", {"ring": ring.Ring(4096), "limit": 1}, {"ring": Instance(), "limit": Number(1, INT)})
word = Number(0, WORD)
T.call("message.command", {"ring": ring.Ring(4096), "kind": 1, "namespace": 1, "location": 1, "endpoint": 1, "slot": 1,
                           "packet": b"x", "header": b"x", "peer": (1, 2), "address": "10.0.0.1", "value": 1, "until_ns": 1,
                           "bound": (6, "10.0.0.1", 5)},
       {"ring": Instance(), "kind": Number(1, 200), "namespace": PORT, "location": word, "endpoint": TIME,
        "slot": Number(0, 255), "packet": Instance(), "header": Instance(), "peer": Instance(), "value": word,
        "until_ns": TIME})  # fmt: skip
lines = lambda module: module.FlowLines(b"", [b"x"])  # noqa: E731
T.call("flowlines.FlowLines.take", {"ring": ring.Ring(4096), "number": 1, "head": b"x", "limit": 1},
       {"ring": Instance(), "number": TIME, "head": Octets(), "limit": Number(1, INT)}, lines, lambda made: None)
T.call("flowlines.FlowLines", {"start": b"x", "parts": [b"y"], "more": {}, "end": b"z"}, {"start": Octets(), "end": Octets()})
T.call("labeltable.LabelTable", {"given": {}, "tell": None, "most": 4}, {"most": Number(1, 1 << 18)})
T.call("tunnels.Tunnels.release", {"place": 1}, {"place": Number(0, 15)}, lambda module: module.Tunnels(), lambda made: None)
T.call("tunnels.Tunnels.records", {"place": 1}, {"place": Number(0, 15)}, lambda module: module.Tunnels(), lambda made: None)
T.call("tunnels.Tunnels.resize", {"place": 1, "mtu": 1400}, {"place": Number(0, 15), "mtu": Number(68, SHORT)},
       lambda module: module.Tunnels(), lambda made: None)
parts = lambda module: module.Parts()  # noqa: E731
T.call("parts.Parts.split_rows",
       {"batch": rows_in, "rows": array(np.uint16, 2), "size": 1200, "out": lambda: batch.PacketBatch(4)},
       BATCH | ROWS | {"size": Number(1, SHORT), "out": Instance()}, parts, lambda made: made.lost)
T.call("parts.Parts.join_rows", {"batch": rows_in, "rows": array(np.uint16, 2)}, BATCH | ROWS, parts, lambda made: made.lost)
T.call("frames.Frames.feed", {"data": b"abc"}, {"data": Array(np.uint8, sized=False)}, lambda module: module.Frames(),
       lambda made: None)
T.call("frames.Frames.recv", {"batch": rows_in}, BATCH, lambda module: module.Frames(), lambda made: None)
T.call("tunnels.Tunnels.swap", {"slot": 1}, {"slot": Number(0, 7)}, lambda module: module.Tunnels(), lambda made: None,
       works=False)

for name, right in {
    "map_create": {"kind": 1, "key_bytes": 4, "value_bytes": 4, "entries": 1, "flags": 0},
    "map_lookup": {"fd": 0, "value_bytes": 4, "key": b"1234"},
    "map_update": {"fd": 0, "key": b"1234", "value": b"1234"},
    "program_load": {"kind": 6, "code": bytes(8), "flags": 0, "attach": 0},
    "link_create": {"program_fd": 0, "interface_index": 1, "attach": 0, "flags": 0},
    "run": {"program_fd": 0, "frame": b"x", "repeat": 1, "batch": 0, "flags": 0},
}.items():
    kinds = {key: Instance() if isinstance(value, bytes) else Number(0, INT) for key, value in right.items()}
    T.call(f"bpf.{name}", right, kinds, works=False)
T.call("packetio.UdpSocket.send_bytes", {"data": b"abc"}, {"data": Array(np.uint8, sized=False)}, sends,
       lambda made: made.connected)
size = Number(1, 1 << 30)
T.call("packetio.UdpSocket.bind", {"address": "127.0.0.1", "port": 0, "reuse_port": False, "buffer_bytes": 4096},
       {"port": PORT, "buffer_bytes": size})
T.call("packetio.UdpSocket", {"fd": 0}, {"fd": Number(0, INT)}, works=False)
T.call("packetio.Port.recv", {"batch": rows_in}, BATCH, sends, lambda made: made.connected)
T.call("packetio.Port.send", {"batch": rows_in, "rows": array(np.uint16, 0)},
       BATCH | {"rows": Spared(Array(np.uint16, sized=False))}, sends, lambda made: made.connected)
sessions = lambda module: module.Links(4, SEED)  # noqa: E731
T.call("links.Links", {"capacity": 4, "secret": SEED}, {"capacity": Number(1, 1 << 16), "secret": Octets(32)})
T.call("links.Links.at", {"address": 1, "port": 1}, {"address": Number(0, WORD), "port": PORT}, sessions)
T.call("links.Links.get", {"number": 1}, {"number": Number(0, WORD)}, sessions)
