"""No decoder reads a byte behind its bytes: they end where the process may read no further, and a read there would end it.

A batch owns its memory, so its rows can not lie there. The leaves of the batch stages are the C interface's too: those get
buffers whose last byte is the last of a mapping. What the batches do with the bytes is compared with the models. DNS has no
entry there, and flowkey no decoder: their calls for one message, key or packet read where the bytes lie, and get arrays there.
"""

import ctypes
import mmap
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedding.library import ffi, lib
from fastpath import checksum, dns, flowkey, geneve, gwlb, packet
from fastpath.batch import PacketBatch
from inner_packets import echo, pieces, tcp, udp
from model import dns as dns_model
from model import flowkey as flowkey_model
from model import geneve as geneve_model
from model import gwlb as gwlb_model
from model import packet as packet_model

SIZES, SEED = (1, 32, 256), bytes(range(32))
ROOM = 512
NATIVE = (geneve, gwlb, packet, flowkey)
MODELS = (geneve_model, gwlb_model, packet_model, flowkey_model)
PACKETS = [
    tcp("10.0.0.1", "192.0.2.9", 1000, 443), udp("10.0.0.1", "192.0.2.9", 53, 1000), echo("10.0.0.1", "192.0.2.9", 77),
    tcp("2001:db8::1", "2001:db8::2", 1000, 443), udp("2001:db8::1", "2001:db8::2", 1, 2), echo("2001:db8::1", "::2", 7),
    *pieces(udp("10.0.0.1", "192.0.2.9", 53, 1000, bytes(100))),
    bytes.fromhex("60000000 0018 00 40") + bytes(32) + bytes.fromhex("2c00 0104 00000000 1100 0001 00000007 0001000200080000"),
]
HEADER = gwlb.header(0x0AAA_AAAA_AAAA_AAA1, 2, 7, 4)
FRAMES = [HEADER + made for made in PACKETS]
QUERY = bytes.fromhex("1234 0100 0001 0000 0000 0001") + b"\x01a\x02bc\x00"
QUERY += bytes.fromhex("0001 0001 00 0029 04d0 00000000 0000")
COLUMNS = ("reason", "geneve_length", "vni", "endpoint", "attachment", "cookie", "inner_start", "inner_length", "ip_version",
           "protocol", "fragment", "tcp_flags", "l4_start", "source_port", "destination_port", "hash", "direction")


class Edge:
    """A page before one that may not be touched."""

    def __init__(self):
        self.map = mmap.mmap(-1, 2 * mmap.PAGESIZE)
        self.view = (ctypes.c_char * len(self.map)).from_buffer(self.map)
        self.end = ctypes.addressof(self.view) + mmap.PAGESIZE
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(self.end), ctypes.c_size_t(mmap.PAGESIZE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")

    def put(self, data):
        """Where `data` lies now, its last byte before the page."""
        ctypes.memmove(self.end - len(data), data, len(data))
        return ffi.cast("uint8_t *", self.end - len(data))


EDGE = Edge()


def array_at_edge(data):
    """The bytes as an array that ends at the edge; good until the next one is put there."""
    EDGE.put(data)
    return np.frombuffer(EDGE.map, np.uint8, len(data), mmap.PAGESIZE - len(data))


def read_at_edge(data):
    """What the decoders say of bytes that end at the edge: results of Geneve, GWLB, packet."""
    at = EDGE.put(data)
    outcome = []
    for kind, function in (("fastpath_geneve", lib.fastpath_geneve_decode), ("fastpath_gwlb", lib.fastpath_gwlb_decode),
                           ("fastpath_packet", lib.fastpath_packet_parse)):
        out = ffi.new(f"struct {kind} *")
        outcome.append(function(at, len(data), out, ffi.sizeof(out[0])))
    return outcome


def read_in_batch(data):
    """The same by the batch stages, each on a batch of its own."""
    batch, inner = PacketBatch(1, 4096), PacketBatch(1, 4096)
    batch.load([data])
    inner.load([data])
    inner.inner_start[:], inner.inner_length[:] = inner.start, inner.length
    geneve.decode_batch(batch)
    first = int(batch.reason[0])
    gwlb.decode_batch(batch)
    packet.parse_batch(inner)
    return [first, int(batch.reason[0]), int(inner.reason[0])]


def changed(bases):
    """A well made one cut short, with bytes that are other ones; or any bytes."""
    def change(parts):
        data = bytearray(parts[0])
        for at, value in parts[1]:
            data[at % len(data)] = value
        return bytes(data[:parts[2]])
    changes = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4)
    return st.one_of(st.tuples(st.sampled_from(bases), changes, st.integers(0, 300)).map(change), st.binary(max_size=300))


def test_the_edge_is_one():
    """A read of the page behind ends a process: else nothing here could fail."""
    program = ("import sys; sys.path.insert(0, 'tests'); sys.path.insert(0, 'tests/fastpath')\n"
               "import ctypes, test_decoder_bounds as t; print('ready', flush=True); ctypes.string_at(t.EDGE.end, 1)")
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.stdout == b"ready\n"
    assert ended.returncode == -signal.SIGSEGV or b"AddressSanitizer: SEGV" in ended.stderr


@pytest.mark.parametrize("data", [*FRAMES, *PACKETS, HEADER, QUERY], ids=lambda data: data[:4].hex() + str(len(data)))
def test_every_beginning_is_read_to_its_end_and_no_further(data):
    for size in range(len(data) + 1):
        assert read_at_edge(data[:size]) == read_in_batch(data[:size])


@settings(max_examples=300, deadline=None)
@given(changed([*FRAMES, *PACKETS]))
def test_any_bytes_at_the_edge_are_read_as_in_a_batch(data):
    assert read_at_edge(data) == read_in_batch(data)


def walk(modules, frames, dns_module):
    """All stages over a batch, and what each packet is as a DNS message."""
    batch, errors = PacketBatch(len(frames), ROOM), np.zeros(len(frames), np.uint8)
    batch.load(frames)
    alive = [stage.decode_batch(batch) for stage in modules[:2]]
    alive += [modules[2].parse_batch(batch), modules[3].build_batch(batch, modules[3].Secret(SEED))]
    return batch, errors, alive, dns_module.read_batch(batch, errors)


def check(frames):
    fast, slow = walk(NATIVE, frames, dns), walk(MODELS, frames, dns_model)
    live = np.flatnonzero(slow[0].reason == 0)
    assert list(fast[0].reason) == list(slow[0].reason)
    for column in COLUMNS:
        assert list(getattr(fast[0], column)[live]) == list(getattr(slow[0], column)[live]), column
    assert fast[0].key[live].tolist() == slow[0].key[live].tolist()
    assert (list(fast[1]), *fast[2:]) == (list(slow[1]), *slow[2:])


@pytest.mark.parametrize("size", SIZES)
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_batches_of_any_bytes_are_what_the_models_say(size, data):
    few = data.draw(st.lists(changed([*FRAMES, HEADER + udp("10.0.0.1", "192.0.2.9", 9, 53, QUERY)]), min_size=1, max_size=8))
    check([few[i % len(few)] for i in range(size)])


@pytest.mark.parametrize("size", SIZES)
def test_rows_of_no_bytes_are_dropped(size):
    check([b""] * size)
    assert walk(NATIVE, [b""] * size, dns)[2] == [0, 0, 0, 0]


@pytest.mark.parametrize("size", SIZES)
def test_rows_that_fill_their_room_are_read(size):
    """The last row ends where the batch's bytes end."""
    inner = udp("10.0.0.1", "192.0.2.9", 9, 53, QUERY)
    check([HEADER + inner + bytes(ROOM - 128 - len(HEADER) - len(inner))] * size)


QUESTION = b"\x01a\x02bc\x00\x00\x01\x00\x01"
ANSWER = bytes.fromhex("1234 8180 0001 0003 0000 0000") + QUESTION + b"\xc0\x0c" + bytes.fromhex(
    "0005 0001 0000003c 0004") + b"\x01d\xc0\x0e" + b"\x01d\xc0\x0e" + bytes.fromhex(
    "0001 0001 0000003c 0004 c0000201") + b"\xc0\x0c" + bytes.fromhex("001c 0001 0000003c 0010") + bytes(range(16))


@pytest.mark.parametrize("message", [QUERY, ANSWER], ids=["query", "answer"])
def test_every_beginning_of_a_dns_message_is_read_to_its_end_and_no_further(message):
    assert dns.read_addresses(ANSWER) != []
    for size in range(len(message) + 1):
        at_edge = array_at_edge(message[:size])
        assert dns.read_query(at_edge) == dns.read_query(message[:size])
        assert dns.read_addresses(at_edge) == dns.read_addresses(message[:size])


@settings(max_examples=300, deadline=None)
@given(changed([QUERY, ANSWER]))
def test_any_dns_message_at_the_edge_is_read_as_elsewhere(message):
    at_edge = array_at_edge(message)
    assert dns.read_query(at_edge) == dns.read_query(message)
    assert dns.read_addresses(at_edge) == dns.read_addresses(message)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120), st.binary(min_size=40, max_size=40))
def test_hashes_and_options_of_bytes_at_the_edge_are_those_of_bytes_elsewhere(data, key):
    secret = flowkey.Secret(SEED)
    assert flowkey.key_hash(array_at_edge(key), secret) == flowkey.key_hash(key, secret)
    assert flowkey.toeplitz(array_at_edge(key), data[:36]) == flowkey.toeplitz(key, data[:36])
    assert flowkey.toeplitz(key, array_at_edge(data[:36])) == flowkey.toeplitz(key, data[:36])
    assert flowkey.symmetric_toeplitz(array_at_edge(data)) == flowkey.symmetric_toeplitz(data)
    assert checksum.checksum(array_at_edge(data)) == checksum.checksum(data)
    assert geneve.decode_options(array_at_edge(HEADER + data)) == geneve.decode_options(HEADER + data)
