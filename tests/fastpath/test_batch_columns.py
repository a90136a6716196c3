"""Columns that no stage wrote: a call from Python looks at them before a stage believes them.

Anybody can write a batch's arrays. Offsets and lengths that leave a row, or speak of another packet than lies there, are a
wrong call: refused by a name, and not a byte of any row is changed.
"""

from typing import Any

import numpy as np
import pytest

from argument_calls import CALLS, module_of
from argument_calls.call import rows_of
from fastpath import classify, dns, gwlb, nat
from fastpath.batch import PacketBatch
from fastpath.criteria import Criteria
from fastpath.domains import DomainMap
from fastpath.flowtable import FlowTable
from fastpath.lpm import Lpm4, Lpm6
from inner_packets import udp

FRAME, HEADER, INNER = ("start", "length"), ("geneve_start", "geneve_length"), ("inner_start", "inner_length")
PARSED = (*INNER, "l4_start", "ip_version")
# Which columns a call stands on.
BELIEVED = {
    "geneve.decode_batch": FRAME, "geneve.put_header": INNER, "gwlb.decode_batch": HEADER, "packet.parse_batch": INNER,
    "packet.clamp_mss_batch": PARSED, "rewrite.rewrite_rows": PARSED, "rewrite.decrement_ttl_rows": PARSED,
    "pieces.cut_one": PARSED, "quote.read_one": PARSED, "quote.rewrite_one": PARSED, "quote.readdress_one": PARSED,
    "refusal.refuse_one": PARSED, "owned.OwnedNames.answer_batch": PARSED, "shard.Shard.owners_batch": PARSED,
    "identification.Identifications.renew_rows": PARSED, "nat.NatTable.bind_rows": PARSED, "nat.NatTable.find_rows": PARSED,
    "fragments.FragmentTable.enter_one": (*PARSED, *FRAME), "parts.Parts.split_rows": FRAME,
    "parts.Parts.join_rows": (*HEADER, *INNER),
}
WRONG = [(name, column) for name, columns in BELIEVED.items() for column in columns]


def batch_of(arguments: dict[str, Any]) -> PacketBatch:
    return arguments["batch"]


@pytest.mark.parametrize(("name", "column"), WRONG)
def test_what_leaves_a_row_is_refused_by_name_and_nothing_is_written(name: str, column: str) -> None:
    made = CALLS[name].make(module_of(name))
    batch = batch_of(made.arguments)
    written = getattr(batch, column)
    written[...] = np.iinfo(written.dtype).max
    before = {key: getattr(batch, key).copy() for key in ("data", "reason", "start", "length", "inner_start", "inner_length")}
    with pytest.raises(ValueError, match=r"^(batch: |rows\[0\]: |row_number |i |header )"):
        made.function(**made.arguments)
    for key, value in before.items():
        assert (getattr(batch, key) == value).all(), key


@pytest.mark.parametrize("name", BELIEVED)
def test_dead_rows_may_hold_anything(name: str) -> None:
    made = CALLS[name].make(module_of(name))
    if not any(argument in made.arguments for argument in ("row_number", "i")):
        batch = batch_of(made.arguments)
        batch.reason[:] = 9
        for column in (*FRAME, *HEADER, *PARSED):
            getattr(batch, column)[...] = np.iinfo(getattr(batch, column).dtype).max
        made.function(**made.arguments)


@pytest.mark.parametrize("name", [name for name, columns in BELIEVED.items() if columns[:4] == PARSED])
@pytest.mark.parametrize("byte", [0x4F, 0x60, 0x00])
def test_a_header_that_is_another_one_now_is_refused(name: str, byte: int) -> None:
    made = CALLS[name].make(module_of(name))
    batch = batch_of(made.arguments)
    batch.data[np.arange(batch.capacity), batch.inner_start] = byte
    with pytest.raises(ValueError, match="as parse_batch leaves it"):
        made.function(**made.arguments)


def test_options_that_were_changed_after_they_were_checked_are_read_no_further() -> None:
    batch = rows_of(udp("10.0.0.1", "192.0.2.9", 9, 53))
    batch.data[0, -48:] = 0
    batch.geneve_start[0], batch.geneve_length[0] = batch.room - 12, 12
    batch.data[0, -1] = 0x1F                        # an option of 124 bytes in the last word of the row
    gwlb.decode_batch(batch)
    assert batch.reason[0] == 6                     # GWLB_OPTION_LENGTH


class Liar(np.ndarray):
    """An array that says of itself what is not so."""

    def max(self, *_: Any, **__: Any) -> Any:
        return 0

    def __len__(self) -> int:
        return 1


def rules() -> Any:
    return classify.RuleSet(1, actions=np.ones(2, np.uint8), rule_of=np.zeros(1, np.int32), criteria=Criteria())


def test_what_is_written_may_not_lie_where_is_still_to_be_read() -> None:
    words = np.zeros(8, np.uint32)
    indexes, batch = words.view(np.int32), rows_of(*[udp("10.0.0.1", "192.0.2.9", 9, 53)] * 4)
    table, hashes, keys = FlowTable(8), np.zeros(4, np.uint64), np.zeros((4, 40), np.uint8)
    bindings, four = nat.NatTable(8, (1, 9), bytes(range(32))), np.zeros(4, np.int32)
    names = np.frombuffer(bytearray(b"a.b\n" * 4), np.uint8)
    overlapping = [
        lambda: Lpm4(0).lookup_batch(words[:6], words[2:]), lambda: Lpm4(0).lookup_batch(words, words),
        lambda: Lpm6(0).lookup_batch(words.view(np.uint8).reshape(2, 16), words[6:]),
        lambda: table.lookup_keys(keys, hashes, hashes.view(np.int32)[:4]),
        lambda: table.lookup_keys(keys, hashes, keys.reshape(-1)[:16].view(np.int32)),
        lambda: table.insert_keys(keys, hashes, 1, 0, hashes.view(np.int32)[4:]),
        lambda: bindings.find_rows(batch, indexes.view(np.uint16)[:4], indexes[:4]),
        lambda: bindings.bind_rows(batch, np.zeros(4, np.uint16), np.zeros((4, 16), np.uint8), four, four.view(np.uint16)[:4]),
        lambda: rules().decide_batch(batch, words[:4], np.zeros(4, np.uint32), indexes[:4]),
        lambda: rules().decide_batch(batch, np.zeros(4, np.uint32), words[:4], indexes[2:6]),
        lambda: DomainMap().get_many(names, names.view(np.uint32)),
    ]
    for call in overlapping:
        with pytest.raises(ValueError, match="must not share memory with"):
            call()
    assert not words.any() and not hashes.any() and not keys.any() and len(table) == 0
    assert Lpm4(5).lookup_batch(words[:4], words[4:]) == 4 and words[4:].tolist() == [5] * 4      # side by side is no overlap


def test_an_array_is_believed_by_its_memory_alone() -> None:
    batch = rows_of(*[udp("10.0.0.1", "192.0.2.9", 9, 53)] * 4)
    rows = np.array([0, 9999], np.uint16).view(Liar)
    for name in ("rewrite.decrement_ttl_rows", "packet.clamp_mss_batch"):
        made = CALLS[name].make(module_of(name))
        with pytest.raises(ValueError, match="rows"):
            made.function(**made.arguments | {"rows": rows})
    errors = np.zeros(1, np.uint8).view(Liar)
    with pytest.raises(ValueError, match="errors must have at least 4"):
        dns.read_batch(batch, errors)


COLUMNS = [name for name, kind in vars(PacketBatch).items() if type(kind).__name__ == "getset_descriptor"
           and isinstance(getattr(PacketBatch(1), name), np.ndarray)]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_can_not_be_given_away(name: str) -> None:
    """ndarray.resize frees what an array owns; the batch would go on writing there."""
    batch = PacketBatch(4, 512)
    with pytest.raises(ValueError, match="resize"):
        getattr(batch, name).resize(1)
    assert batch.load([b"abc"]) == 1 and batch.frame(0) == b"abc"


def test_what_a_rule_set_was_made_of_stays() -> None:
    made = rules()
    for array in (made.actions, made.gateways, made.opens):
        with pytest.raises(ValueError, match="resize"):
            array.resize(1)
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
