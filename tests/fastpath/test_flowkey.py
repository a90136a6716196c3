"""flowkey: one key for both directions, the published RSS vectors, and a hash nobody can aim at without the secret."""

import ipaddress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import flowkey as compiled
from fastpath import packet
from fastpath.batch import PacketBatch
from model import flowkey as model
from model import packet as packet_model

SEED = bytes(range(32))
# Microsoft, "Verifying the RSS hash calculation": key, then (destination, port, source, port, hash of addresses, with ports).
RSS_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
RSS = [
    ("161.142.100.80", 1766, "66.9.149.187", 2794, 0x323E8FC2, 0x51CCC178),
    ("65.69.140.83", 4739, "199.92.111.2", 14230, 0xD718262A, 0xC626B0EA),
    ("12.22.207.184", 38024, "24.19.198.95", 12898, 0xD2D0A5DE, 0x5C2B394A),
    ("209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xAFC7327F),
    ("202.188.127.2", 1303, "153.39.163.191", 44251, 0x5D1809C5, 0x10E828A2),
    ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2CC18CD5, 0x40207D3D),
    ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0F0C461C, 0xDDE51BBF),
    ("fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4B61E985, 0x02D1FEEF),
]


@pytest.fixture(params=[compiled, model], ids=["fastpath", "model"])
def impl(request):
    return request.param


@pytest.mark.parametrize(
    ("destination", "dport", "source", "sport", "addresses", "whole"), RSS, ids=[r[2] for r in RSS]
)
def test_toeplitz_gives_microsofts_table(impl, destination, dport, source, sport, addresses, whole):
    data = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    assert impl.toeplitz(RSS_KEY, data) == addresses
    assert impl.toeplitz(RSS_KEY, data + sport.to_bytes(2, "big") + dport.to_bytes(2, "big")) == whole


@given(
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=2, max_size=2),
    st.binary(min_size=2, max_size=2),
)
def test_symmetric_toeplitz_is_the_same_for_both_directions(a, b, p, q):
    assert compiled.symmetric_toeplitz(a + b + p + q) == compiled.symmetric_toeplitz(b + a + q + p)
    assert compiled.symmetric_toeplitz(a + b + p + q) == model.symmetric_toeplitz(a + b + p + q)


def test_short_toeplitz_key_is_named(impl):
    with pytest.raises(ValueError, match="key"):
        impl.toeplitz(bytes(10), bytes(8))


addresses = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
    st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
)
port = st.integers(0, 65535)


@settings(max_examples=200, deadline=None)
@given(addresses, port, port, port, st.integers(0, 255))
def test_key_is_the_models_and_the_same_for_both_directions(ends, sport, dport, namespace, protocol):
    common = {"protocol": protocol, "namespace": namespace}
    there, d = compiled.make_key(*ends, source_port=sport, destination_port=dport, **common)
    back, e = compiled.make_key(*ends[::-1], source_port=dport, destination_port=sport, **common)
    assert there == back
    assert (d, e) in ([(0, 0)] if (ends[0], sport) == (ends[1], dport) else [(0, 1), (1, 0)])
    assert (there, d) == model.make_key(*ends, source_port=sport, destination_port=dport, **common)
    assert compiled.key_hash(there, compiled.Secret(SEED)) == model.key_hash(there, model.Secret(SEED))


def test_every_field_and_the_secret_move_the_hash(impl):
    secret = impl.Secret(SEED)
    key = impl.make_key("10.0.0.1", "10.0.0.2", protocol=6, source_port=1, destination_port=2, namespace=3)[0]
    hashes = {impl.key_hash(key, secret), impl.key_hash(key, impl.Secret(SEED[::-1]))}
    for at in range(40):
        hashes.add(impl.key_hash(key[:at] + bytes([key[at] ^ 1]) + key[at + 1 :], secret))
    assert len(hashes) == 42


@pytest.mark.parametrize("end", ["source_port", "destination_port"])
@pytest.mark.parametrize("home", [lambda h: h & np.uint64(255), lambda h: h >> np.uint64(56)], ids=["low", "high"])
def test_neighbouring_flows_spread_under_every_secret(end, home):
    """One product would do under most secrets; under one in some hundred the ports of a client would share few buckets."""
    ports = [compiled.make_key("10.0.0.1", "10.0.0.2", protocol=6, **{end: n})[0] for n in range(2560)]
    draw = np.random.default_rng(7)
    for _ in range(300):
        secret = compiled.Secret(draw.bytes(32))
        hashes = np.array([compiled.key_hash(key, secret) for key in ports], np.uint64)
        counts = np.bincount(home(hashes).astype(np.intp), minlength=256)
        # chi square with 255 degrees of freedom: beyond 380 once in a million.
        assert ((counts - 10.0) ** 2 / 10).sum() < 380


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=6), st.integers(0, 65535))
def test_batch_is_keyed_as_the_model_keys_it(data, namespace):
    fast, slow = PacketBatch(16, 512), PacketBatch(16, 512)
    for batch, parse, build, secret in (
        (fast, packet.parse_batch, compiled.build_batch, compiled.Secret(SEED)),
        (slow, packet_model.parse_batch, model.build_batch, model.Secret(SEED)),
    ):
        batch.load(data)
        batch.inner_start[: len(data)], batch.inner_length[: len(data)] = (
            batch.start[: len(data)],
            batch.length[: len(data)],
        )
        batch.namespace[:] = namespace
        parse(batch)
        build(batch, secret)
    for i in range(len(data)):
        if slow.reason[i] == 0:
            assert (fast.key[i].tobytes(), fast.hash[i], fast.direction[i]) == (
                slow.key[i].tobytes(),
                slow.hash[i],
                slow.direction[i],
            )


def test_bad_arguments_are_named(impl):
    with pytest.raises(ValueError, match="seed"):
        impl.Secret(b"short")
    with pytest.raises(ValueError, match="family"):
        impl.make_key("10.0.0.1", "::1", protocol=6)
    with pytest.raises(ValueError, match="source_port"):
        impl.make_key("10.0.0.1", "10.0.0.2", protocol=6, source_port=65536)
    with pytest.raises(ValueError, match="key"):
        impl.key_hash(b"short", impl.Secret(SEED))
