"""Row 1 of fastpath: packets and their parts."""

import numpy as np

from argument_calls.call import BATCH, PORT, ROWS, SEED, SHORT, TIME, WORD, Spared, T, array, rows_in, rows_of
from fastpath import batch, flowkey, refusal
from inner_packets import error, udp
from model.arguments import Address, Array, Instance, Number, Octets, Text

T.call("alias.AliasTable", {"base": "10.0.0.1", "capacity": 4}, {"base": Address(), "capacity": Number(1, 1 << 24)})
aliases = lambda module: module.AliasTable("10.0.0.1", 4)  # noqa: E731
T.call("alias.AliasTable.alias", {"namespace": 1, "address": "10.9.9.9", "now_ns": 3},
       {"namespace": PORT, "address": Address(), "now_ns": TIME}, aliases, lambda made: made.size)


def held(module):
    made = aliases(module)
    made.alias(1, "10.9.9.9")
    made.hold_one(0)
    return made


T.call("alias.AliasTable.hold_one", {"number": 0}, {"number": Number(0, 0)}, held, lambda made: made.size)
T.call("alias.AliasTable.give_one", {"number": 0, "now_ns": 3}, {"number": Number(0, 0), "now_ns": TIME}, held,
       lambda made: made.size)
T.call("alias.AliasTable.workload", {"alias": "10.0.0.1"}, {"alias": Address()}, aliases, lambda made: made.size)
T.call("batch.PacketBatch", {"capacity": 4, "room": 512}, {"capacity": Number(1, 4096), "room": Number(256, SHORT)})
T.call("batch.PacketBatch.reset", {"count": 2}, {"count": Number(0, 4)}, lambda module: rows_in(), lambda made: made.count)
T.call("batch.PacketBatch.frame", {"i": 2}, {"i": Number(0, 3)}, lambda module: rows_in(), lambda made: made.count)
T.call("checksum.checksum", {"data": b"abcd"}, {"data": Array(np.uint8, sized=False)})
T.call("checksum.checksum_by", {"data": b"abcd", "path": "scalar"}, {"data": Octets(), "path": Text()})
T.call("checksum.updated", {"checksum": 1, "old": 2, "new": 3}, {"checksum": PORT, "old": PORT, "new": PORT})
T.call("flowkey.Secret", {"seed": SEED}, {"seed": Octets(32)})
T.call("flowkey.build_batch", {"batch": rows_in, "secret": flowkey.Secret(SEED)}, BATCH | {"secret": Instance()})
T.call("flowkey.make_key", {"source": "10.0.0.1", "destination": "10.0.0.2", "protocol": 6, "source_port": 1,
                            "destination_port": 2, "namespace": 3},
       {"source": Address(), "destination": Address(), "protocol": Number(0, 255), "source_port": PORT,
        "destination_port": PORT, "namespace": PORT})  # fmt: skip
T.call("flowkey.key_hash", {"key": array(np.uint8, 40), "secret": flowkey.Secret(SEED)},
       {"key": Array(np.uint8), "secret": Instance()})
T.call("flowkey.toeplitz", {"key": array(np.uint8, 40), "data": array(np.uint8, 36)},
       {"key": Array(np.uint8), "data": Array(np.uint8, sized=False)})
T.call("flowkey.symmetric_toeplitz", {"data": array(np.uint8, 36)}, {"data": Array(np.uint8, sized=False)})
T.call("geneve.decode_batch", {"batch": rows_in}, BATCH)
T.call("geneve.put_header", {"batch": rows_in, "i": 1, "header": bytes(8)},
       BATCH | {"i": Number(0, 3), "header": Instance()})
T.call("geneve.encode_header", {"options": (), "protocol": 0x800, "vni": 1, "flags": 0x80},
       {"protocol": PORT, "vni": Number(0, (1 << 24) - 1), "flags": Number(0, 255)})
T.call("geneve.decode_options", {"header": bytes(8)}, {"header": Array(np.uint8, sized=False)})
T.call("gwlb.decode_batch", {"batch": rows_in}, BATCH)
T.call("gwlb.header", {"endpoint": 1, "attachment": 2, "cookie": 3, "ip_version": 4},
       {"endpoint": TIME, "attachment": TIME, "cookie": Number(0, WORD), "ip_version": Number(4, 4)})
T.call("gwlb.endpoint_name", {"endpoint": 1}, {"endpoint": TIME})
T.call("gwlb.endpoint_id", {"name": "vpce-0" + "0" * 16}, {"name": Text()})
T.call("packet.parse_batch", {"batch": rows_in}, BATCH)
T.call("packet.clamp_mss_batch", {"batch": rows_in, "mtu": 1500, "rows": array(np.uint16, 2)},
       BATCH | {"mtu": Number(576, SHORT), "rows": Spared(Array(np.uint16, sized=False))})
packet_of = lambda: np.frombuffer(bytearray(udp("10.0.0.1", "192.0.2.9", 9, 53, b"x")), np.uint8)  # noqa: E731
T.call("rewrite.rewrite_one", {"packet": packet_of, "protocol": 17, "l4_offset": 20, "side": 0,
                               "address": bytes(10) + b"\xff\xff" + bytes(4), "port": 5, "fragment": 0},
       {"packet": Array(np.uint8, written=True, sized=False), "protocol": Number(0, 255), "l4_offset": Number(20, 29),
        "side": Number(0, 1), "address": Octets(16), "port": PORT, "fragment": Number(0, 2)})  # fmt: skip
T.call("rewrite.decrement_ttl_one", {"packet": packet_of}, {"packet": Array(np.uint8, written=True, sized=False)})
T.call("rewrite.rewrite_rows", {"batch": rows_in, "rows": array(np.uint16, 2), "side": 0,
                                "addresses": array(np.uint8, 2, 16), "ports": array(np.uint16, 2)},
       BATCH | ROWS | {"side": Number(0, 1), "addresses": Array(np.uint8, 16), "ports": Array(np.uint16)})  # fmt: skip
T.call("rewrite.decrement_ttl_rows", {"batch": rows_in, "rows": array(np.uint16, 2)}, BATCH | ROWS)

row_number = {"row_number": Number(0, 3)}
T.call("pieces.cut_one", {"batch": rows_in, "row_number": 1, "mtu": 68, "out": lambda: batch.PacketBatch(4)},
       BATCH | row_number | {"mtu": Number(68, SHORT), "out": Instance()})
errors = lambda: rows_of(error(udp("10.0.0.1", "192.0.2.9", 9, 53)))  # noqa: E731
one, mapped = {"row_number": Number(0, 0)}, bytes(10) + b"\xff\xff" + bytes(4)
T.call("quote.read_one", {"batch": errors, "row_number": 0}, BATCH | one)
right, kinds = {"batch": errors, "row_number": 0, "side": 1, "address": mapped}, {"side": Number(0, 1), "address": Octets(16)}
T.call("quote.rewrite_one", right | {"port": 5}, BATCH | one | kinds | {"port": PORT})
T.call("quote.readdress_one", right, BATCH | one | kinds)
T.call("refusal.refuse_one", {"batch": rows_in, "row_number": 1, "refusal": refusal.Refusal.REFUSAL_TOO_BIG, "mtu": 1280,
                              "speaker": mapped},
       BATCH | row_number | {"refusal": Number(0, 2), "mtu": Number(68, SHORT), "speaker": Spared(Octets(16))})
T.call("superpacket.cut_one", {"header": bytes(10), "packet": bytes(packet_of()), "batch": rows_in},
       {"header": Array(np.uint8), "packet": Octets()} | BATCH)
T.call("trains.join_rows", {"batch": rows_in, "rows": array(np.uint16, 2)}, BATCH | ROWS)
