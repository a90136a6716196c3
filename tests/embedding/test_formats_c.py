"""The C interface's decoders and encoders read and write as the batch stages do, on any bytes."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.batch import PacketBatch
from fastpath.checksum import checksum, updated
from fastpath.flowkey import Secret, key_hash, make_key
from fastpath.geneve import decode_batch as decode_geneve
from fastpath.geneve import decode_options, encode_header, put_header
from fastpath.gwlb import decode_batch as decode_gwlb
from fastpath.gwlb import header as gwlb_header
from fastpath.packet import parse_batch
from inner_packets import echo, pieces, tcp, udp

from .library import EINVAL, ENOENT, EROOM, OK, ffi, filled, lib

BATCH = PacketBatch(1, 4096)
PACKETS = [
    tcp("10.0.0.1", "192.0.2.9", 1000, 443), udp("10.0.0.1", "192.0.2.9", 53, 1000), echo("10.0.0.1", "192.0.2.9", 77),
    tcp("2001:db8::1", "2001:db8::2", 1000, 443), udp("2001:db8::1", "2001:db8::2", 1, 2), echo("2001:db8::1", "::2", 7),
    *pieces(udp("10.0.0.1", "192.0.2.9", 53, 1000, bytes(100))),
]
HEADERS = [
    gwlb_header(0x0123456789ABCDEF, 5, 6, 4), gwlb_header(1, 2, 3, 6), encode_header(),
    encode_header([(0x0108, 1, bytes(8)), (0x0108, 2, bytes(8)), (0x0108, 3, bytes(8))]),
    encode_header([(0xFF5A, 1, bytes(124)), (0xFF5A, 2, bytes(60))], vni=0xABCDEF, flags=0xC0),
]


def changed(bases: list[bytes]) -> st.SearchStrategy[bytes]:
    """A well made packet, or one in which bytes are other ones, or the end is missing, or any bytes."""
    def change(args: tuple[bytes, list[tuple[int, int]], int]) -> bytes:
        data = bytearray(args[0])
        for at, value in args[1]:
            data[at % len(data)] = value
        return bytes(data[: len(data) - args[2]])

    edits = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4)
    return st.one_of(
        st.tuples(st.sampled_from(bases), edits, st.integers(0, 45)).map(change), st.binary(max_size=120)
    )


def one_row(data: bytes) -> PacketBatch:
    BATCH.load([data])
    BATCH.inner_start[0], BATCH.inner_length[0] = BATCH.start[0], BATCH.length[0]
    return BATCH


@settings(max_examples=400, deadline=None)
@given(data=changed(PACKETS))
def test_a_packet_is_parsed_as_in_a_batch(data: bytes) -> None:
    batch = one_row(data)
    parse_batch(batch)
    result, packet = filled("fastpath_packet", lib.fastpath_packet_parse, data, len(data))
    assert result == batch.reason[0]
    if result:
        assert bytes(ffi.buffer(packet)) == bytes(ffi.sizeof(packet[0]))
        return
    assert (bytes(packet.source), bytes(packet.destination)) == (batch.source[0].tobytes(), batch.destination[0].tobytes())
    assert (packet.length, packet.l4_start) == (batch.inner_length[0], batch.l4_start[0] - batch.inner_start[0])
    for name in ("source_port", "destination_port", "ip_version", "protocol", "fragment", "tcp_flags"):
        assert getattr(packet, name) == getattr(batch, name)[0], name


@settings(max_examples=400, deadline=None)
@given(data=changed([header + PACKETS[0] for header in HEADERS]))
def test_a_geneve_packet_is_decoded_as_in_a_batch(data: bytes) -> None:
    batch = one_row(data)
    decode_geneve(batch)
    result, geneve = filled("fastpath_geneve", lib.fastpath_geneve_decode, data, len(data))
    assert result == batch.reason[0]
    if result:
        assert bytes(ffi.buffer(geneve)) == bytes(ffi.sizeof(geneve[0]))
    else:
        assert (geneve.vni, geneve.flags, geneve.header_size) == (batch.vni[0], batch.geneve_flags[0], batch.geneve_length[0])
        assert geneve.protocol == int.from_bytes(data[2:4])
        assert options_of(data[: geneve.header_size]) == decode_options(data[: geneve.header_size])
    decode_gwlb(batch)
    result, gwlb = filled("fastpath_gwlb", lib.fastpath_gwlb_decode, data, len(data))
    assert result == batch.reason[0]
    if result == OK:
        assert (gwlb.endpoint, gwlb.attachment, gwlb.cookie) == (batch.endpoint[0], batch.attachment[0], batch.cookie[0])
        assert gwlb.header_size == batch.geneve_length[0]


def options_of(header: bytes) -> list[tuple[int, int, bytes]]:
    """The options of a whole header as decode_options gives them."""
    offset, found = ffi.new("size_t *", 0), []
    buffer = ffi.from_buffer("uint8_t[]", header)
    while True:
        result, option = filled("fastpath_geneve_option", lib.fastpath_geneve_next_option, buffer, len(header), offset)
        if result:
            assert result == ENOENT
            return found
        found.append((option.option_class, option.type, bytes(ffi.buffer(option.data, option.size))))


@settings(max_examples=300, deadline=None)
@given(header=st.binary(max_size=80), start=st.sampled_from([0, 8, 12, 20]))
def test_options_of_any_bytes_stay_inside_them(header: bytes, start: int) -> None:
    offset, buffer = ffi.new("size_t *", start), ffi.from_buffer("uint8_t[]", header)
    for _ in range(70):
        before = offset[0]
        result, option = filled("fastpath_geneve_option", lib.fastpath_geneve_next_option, buffer, len(header), offset)
        if result:
            assert result in (EINVAL, ENOENT, 1, 3) and offset[0] == before
            return
        at = int(ffi.cast("uintptr_t", option.data)) - int(ffi.cast("uintptr_t", buffer))
        assert at >= 12 and at + option.size <= len(header) and offset[0] > before
    raise AssertionError("more options than a header can hold")


OPTION = st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFF), st.integers(0, 32).flatmap(
    lambda words: st.binary(min_size=4 * words, max_size=4 * words)))


@settings(max_examples=200, deadline=None)
@given(
    options=st.lists(OPTION, max_size=4), vni=st.integers(0, 1 << 25), flags=st.sampled_from([0, 0x80, 0x40, 0xC0, 1]),
    protocol=st.integers(0, 0xFFFF),
)
def test_a_header_is_encoded_as_in_python(options, vni: int, flags: int, protocol: int) -> None:
    geneve = ffi.new("struct fastpath_geneve *", {"vni": vni, "protocol": protocol, "flags": flags})
    kept = [ffi.new("uint8_t[]", data or b"\0") for _, _, data in options]
    listed = ffi.new("struct fastpath_geneve_option[]", [
        {"option_class": klass, "type": kind, "data": data, "size": len(body)}
        for (klass, kind, body), data in zip(options, kept, strict=True)
    ])
    out, size = ffi.new("uint8_t[260]"), ffi.new("size_t *", 999)
    encode: Any = lib.fastpath_geneve_encode
    result = encode(geneve, ffi.sizeof(geneve[0]), listed, len(options), out, 260, size)
    try:
        expected = encode_header(options, protocol=protocol, vni=vni, flags=flags)
    except ValueError:
        assert (result, size[0], bytes(out)) == (EINVAL, 999, bytes(260))
        return
    assert (result, bytes(out)[: size[0]]) == (OK, expected)
    short = ffi.new("uint8_t[260]")
    assert encode(geneve, ffi.sizeof(geneve[0]), listed, len(options), short, len(expected) - 1, size) == EROOM
    assert bytes(short) == bytes(260)


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 32) - 1), st.sampled_from([4, 6]))
def test_the_load_balancer_s_header_is_written_and_read_back(endpoint: int, attachment: int, cookie: int, version: int) -> None:
    out = ffi.new("uint8_t[40]")
    assert lib.fastpath_gwlb_encode(endpoint, attachment, cookie, version, out, 39) == EROOM
    assert lib.fastpath_gwlb_encode(endpoint, attachment, cookie, version, out, 40) == OK
    assert bytes(out) == gwlb_header(endpoint, attachment, cookie, version)
    result, gwlb = filled("fastpath_gwlb", lib.fastpath_gwlb_decode, bytes(out) + PACKETS[0], 40 + len(PACKETS[0]))
    assert (result, gwlb.endpoint, gwlb.attachment, gwlb.cookie) == (OK, endpoint, attachment, cookie)


@pytest.mark.parametrize("inner_start", [40, 41, 100])
def test_an_echo_is_the_header_in_front_of_the_packet(inner_start: int) -> None:
    inner, start = PACKETS[0], ffi.new("size_t *")
    buffer = ffi.new("uint8_t[256]", bytes(inner_start) + inner)
    assert lib.fastpath_gwlb_echo(buffer, inner_start + len(inner), inner_start, HEADERS[0], 40, start) == OK
    batch = one_row(inner)
    put_header(batch, 0, HEADERS[0])
    assert bytes(buffer)[start[0] : inner_start + len(inner)] == batch.frame(0) == HEADERS[0] + inner


def test_the_longest_header_that_is_echoed_is_the_one_that_is_read() -> None:
    start = ffi.new("size_t *")
    for more in range(0, 16, 4):
        header = encode_header([*decode_options(HEADERS[0]), (0xFFFF, 1, bytes(more))][: 3 + (more > 0)])
        result, _ = filled("fastpath_gwlb", lib.fastpath_gwlb_decode, header, len(header))
        echoed = lib.fastpath_gwlb_echo(ffi.new("uint8_t[100]"), 100, 64, header, len(header), start)
        fits = len(header) <= lib.FASTPATH_GWLB_HEADER_MAX
        assert (result == OK, echoed == OK) == (fits, fits)


@pytest.mark.parametrize("header", [HEADERS[2], HEADERS[3], HEADERS[4], b"", bytes(40)])
def test_a_header_that_is_not_the_load_balancer_s_is_not_echoed(header: bytes) -> None:
    buffer, start = ffi.new("uint8_t[400]"), ffi.new("size_t *", 7)
    assert lib.fastpath_gwlb_echo(buffer, 400, 300, header, len(header), start) == EINVAL
    assert lib.fastpath_gwlb_echo(buffer, 400, 39, HEADERS[0], 40, start) == EROOM
    assert bytes(buffer) == bytes(400) and start[0] == 7


@given(data=st.binary(max_size=300), at=st.integers(0, 149), word=st.integers(0, 0xFFFF))
def test_checksums_are_python_s(data: bytes, at: int, word: int) -> None:
    out = ffi.new("uint16_t *")
    assert lib.fastpath_checksum(data, len(data), out) == OK
    assert out[0] == checksum(data)
    assert lib.fastpath_checksum_update(out[0], at, word) == updated(out[0], at, word)


ADDRESS4 = st.integers(0, (1 << 32) - 1).map(ipaddress.IPv4Address)
ADDRESS6 = st.integers(0, (1 << 128) - 1).map(ipaddress.IPv6Address)
PORT = st.integers(0, 0xFFFF)


@settings(deadline=None)
@given(
    ends=st.one_of(st.tuples(ADDRESS4, ADDRESS4), st.tuples(ADDRESS6, ADDRESS6)), source_port=PORT, destination_port=PORT,
    space=PORT, secret=st.binary(min_size=32, max_size=32),
)
def test_keys_and_hashes_are_python_s(ends, source_port: int, destination_port: int, space: int, secret: bytes) -> None:
    data = udp(str(ends[0]), str(ends[1]), source_port, destination_port)
    result, packet = filled("fastpath_packet", lib.fastpath_packet_parse, data, len(data))
    assert result == OK
    key, direction, number = ffi.new("struct fastpath_flow_key *"), ffi.new("int *"), ffi.new("uint64_t *")
    assert lib.fastpath_flow_key_of(packet, ffi.sizeof(packet[0]), space, key, direction) == OK
    expected = make_key(
        *ends, protocol=17, source_port=source_port, destination_port=destination_port, namespace=space)
    assert (bytes(ffi.buffer(key)), direction[0]) == expected
    words = [int.from_bytes(secret[at : at + 8]) for at in range(0, 32, 8)]
    if min(word.bit_count() for word in words) < 8:
        assert lib.fastpath_flow_hash(key, secret, 32, number) == EINVAL
        return
    assert lib.fastpath_flow_hash(key, secret, 32, number) == OK
    assert number[0] == key_hash(expected[0], Secret(secret))
