"""ingress and egress together: a batch from bytes to bytes, as the models of all stages have it."""

import numpy as np
import pytest
from bench.chain import Chain
from bench.traffic import ENDPOINTS, PEER, PEER_PORT, frames, receive
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import flowkey, geneve, gwlb, packet
from fastpath.action import Action, DropReason
from fastpath.batch import PacketBatch
from model import chain as model

FLOWS, SEED = 512, bytes(range(32))
OWN, PORT = 0x0A630001, 6081
COLUMNS = ("reason", "action", "start", "length", "namespace", "hash", "direction", "inner_start", "inner_length")


def some(size, version, seed):
    chance = np.random.default_rng(seed)
    return frames(chance.integers(0, FLOWS, size).astype(np.uint64), chance.random(size) < 0.5, version)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [1, 32, 256])
def test_a_batch_leaves_as_the_models_would_send_it(version, size):
    chain, slow, reference = Chain(FLOWS, version), PacketBatch(256, 512), model.Chain(FLOWS, SEED, ENDPOINTS)
    for seed in range(3):
        made = some(size, version, seed)
        receive(chain.batch, made)
        chain.walk(chain.batch)
        chain.encode(chain.batch)
        receive(slow, made)
        reference.walk(slow, 1 + seed, OWN, PORT)
        for column in COLUMNS:
            assert list(getattr(chain.batch, column)[:size]) == list(getattr(slow, column)[:size]), column
        assert [chain.batch.frame(i) for i in range(size)] == [slow.frame(i) for i in range(size)]


def test_each_flow_keeps_its_newest_header_and_counts_its_packets():
    chain = Chain(FLOWS, 4)
    before = {index: chain.flows.get(index) for index in range(FLOWS)}
    made = some(256, 4, 7)
    made[:, 36:40] = np.arange(256, dtype=np.uint32).byteswap().view(np.uint8).reshape(-1, 4)     # another cookie each
    receive(chain.batch, made)
    chain.walk(chain.batch)
    newest = {int(entry): i for i, entry in enumerate(chain.batch.entry[:256])}
    for index, i in newest.items():
        flow = chain.flows.get(index)
        assert flow["header"] == made[i, :40].tobytes()
        assert (flow["peer_address"], flow["peer_port"]) == (PEER, PEER_PORT)
        rows = int((chain.batch.entry[:256] == index).sum())
        assert sum(flow["packets"]) == sum(before[index]["packets"]) + rows
        assert flow["last_seen_ns"] == chain.now_ns


def test_stage_by_stage_is_the_walk():
    whole, parts = Chain(FLOWS, 4), Chain(FLOWS, 4)
    made = some(256, 4, 5)
    receive(whole.batch, made)
    whole.walk(whole.batch)
    receive(parts.batch, made)
    geneve.decode_batch(parts.batch)
    gwlb.decode_batch(parts.batch)
    parts.ingress.place_batch(parts.batch)
    packet.parse_batch(parts.batch)
    flowkey.build_batch(parts.batch, parts.secret)
    parts.flows.lookup_batch(parts.batch)
    parts.decide(parts.batch)
    for column in (*COLUMNS, "entry", "rule"):
        assert list(getattr(whole.batch, column)[:256]) == list(getattr(parts.batch, column)[:256]), column


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4), st.integers(0, 128))
def test_any_frame_is_taken_or_dropped_with_a_reason(changes, cut):
    chain = any_chain()
    made = some(4, 4, 1)
    frame = bytearray(made[0].tobytes())
    for at, value in changes:
        frame[at % len(frame)] = value
    chain.batch.load([bytes(frame[:cut]), made[1].tobytes()])
    alive = chain.ingress.walk_batch(chain.batch, chain.now_ns + 1)
    assert alive == int((chain.batch.reason[:2] == 0).sum())
    assert (chain.batch.reason[0] == 0) == (chain.batch.action[0] != Action.ACTION_DROP)
    assert chain.batch.reason[1] == DropReason.DROP_NONE


def any_chain(made=[]):  # noqa: B006
    if not made:
        made.append(Chain(FLOWS, 4))
    return made[0]


def test_unknown_endpoint_is_dropped():
    chain = Chain(FLOWS, 4)
    made = some(1, 4, 1)
    made[0, 12:20] = 0
    receive(chain.batch, made)
    chain.walk(chain.batch)
    assert chain.batch.reason[0] == DropReason.DROP_GWLB_ENDPOINT_UNKNOWN


def test_no_room_in_front_of_the_frame_is_a_drop():
    chain = Chain(FLOWS, 4)
    made = some(1, 4, 1)
    receive(chain.batch, made)
    chain.batch.data[0, :made.shape[1]] = made[0]
    chain.batch.start[0] = 0
    chain.walk(chain.batch)
    chain.encode(chain.batch)
    assert chain.batch.reason[0] == DropReason.DROP_IO_SEND


def test_an_entry_that_is_no_flow_is_named():
    chain = Chain(FLOWS, 4)
    receive(chain.batch, some(1, 4, 1))
    chain.walk(chain.batch)
    chain.batch.entry[0] = FLOWS
    with pytest.raises(ValueError, match="entry"):
        chain.decide(chain.batch)
