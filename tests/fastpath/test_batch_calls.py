"""Wrong calls of what takes a batch: refused with the argument's name, nothing changed."""

import numpy as np
import pytest

from fastpath import dns, flowkey, geneve, gwlb, packet, rewrite
from fastpath.batch import PacketBatch
from fastpath.flowtable import FlowTable
from inner_packets import udp

SECRET = flowkey.Secret(bytes(range(32)))
CALLS = {
    "geneve": geneve.decode_batch, "gwlb": gwlb.decode_batch, "packet": packet.parse_batch,
    "clamp": lambda batch: packet.clamp_mss_batch(batch, 1500), "flowkey": lambda batch: flowkey.build_batch(batch, SECRET),
    "dns": lambda batch: dns.read_batch(batch, np.zeros(4, np.uint8)),
    "ttl": lambda batch: rewrite.decrement_ttl_rows(batch, np.zeros(1, np.uint16)),
    "insert": lambda batch: FlowTable(8).insert_misses(batch, 1), "account": lambda batch: FlowTable(8).account_batch(batch, 1),
}


@pytest.fixture
def batch():
    made = PacketBatch(4, 512)
    made.load([udp("10.0.0.1", "192.0.2.9", 9, 53, bytes(12))] * 4)
    made.inner_start[:], made.inner_length[:] = made.start, made.length
    packet.parse_batch(made)
    before = made.data.copy()
    yield made
    assert (made.data == before).all()
    assert made.reason.tolist() == [0] * 4


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("wrong", [None, 5, b"", np.zeros((4, 512), np.uint8), object()], ids=lambda w: type(w).__name__)
def test_a_batch_is_a_batch(call, wrong):
    with pytest.raises(TypeError, match="batch"):
        call(wrong)


@pytest.mark.parametrize("wrong", [None, b"0" * 32, object()], ids=lambda w: type(w).__name__)
def test_a_secret_is_a_secret(batch, wrong):
    with pytest.raises(TypeError, match="secret"):
        flowkey.build_batch(batch, wrong)


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33), bytes(32)], ids=["0", "31", "33", "zeros"])
def test_a_seed_has_32_secret_bytes(seed):
    with pytest.raises(ValueError, match="seed must be 32"):
        flowkey.Secret(seed)


@pytest.mark.parametrize("mtu", [-1, 0, 575, 65536])
def test_an_mtu_has_bounds(batch, mtu):
    with pytest.raises(ValueError, match="mtu must be 576 to 65535"):
        packet.clamp_mss_batch(batch, mtu)


@pytest.mark.parametrize("n", [0, 3])
def test_errors_are_as_many_as_rows(batch, n):
    with pytest.raises(ValueError, match="errors must have at least 4"):
        dns.read_batch(batch, np.zeros(n, np.uint8))


@pytest.mark.parametrize("rows", [[4], [0, 65535]])
def test_rows_are_in_use(batch, rows):
    with pytest.raises(ValueError, match="rows"):
        rewrite.decrement_ttl_rows(batch, np.array(rows, np.uint16))
    with pytest.raises(ValueError, match="rows"):
        rewrite.rewrite_rows(batch, np.array(rows, np.uint16), 0, np.zeros((len(rows), 16), np.uint8),
                             np.zeros(len(rows), np.uint16))


def test_columns_of_a_rewrite_are_as_many_as_rows(batch):
    one = np.zeros(1, np.uint16)
    for name, addresses, ports in (("addresses", (2, 16), 1), ("addresses", (1, 4), 1), ("ports", (1, 16), 2)):
        with pytest.raises(ValueError, match=name):
            rewrite.rewrite_rows(batch, one, 0, np.zeros(addresses, np.uint8), np.zeros(ports, np.uint16))
    with pytest.raises(ValueError, match="side"):
        rewrite.rewrite_rows(batch, one, 7, np.zeros((1, 16), np.uint8), one)


@pytest.mark.parametrize("count", [-1, 5])
def test_a_count_is_within_the_capacity(batch, count):
    for call in (lambda: setattr(batch, "count", count), lambda: batch.reset(count)):
        with pytest.raises(ValueError, match="count must be 0 to 4"):
            call()
    assert batch.count == 4


def test_frames_that_do_not_fit_change_nothing(batch):
    for frames, match in (([b""] * 5, "frames must be at most 4"), ([b"", bytes(385)], r"frames\[1\] must be at most 384")):
        with pytest.raises(ValueError, match=match):
            batch.load(frames)
    assert batch.count == 4


@pytest.mark.parametrize(("capacity", "room", "name"), [(0, 512, "capacity"), (4097, 512, "capacity"), (1, 255, "room"),
                                                        (1, 65536, "room")])
def test_a_batch_has_bounds(capacity, room, name):
    with pytest.raises(ValueError, match=name):
        PacketBatch(capacity, room)
