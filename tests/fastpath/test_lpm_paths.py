"""The ways to look up a batch, each against the model, on tables of every shape that the structure tells apart."""

import ipaddress

import numpy as np
import pytest

from fastpath import lpm
from model import lpm as reference

FAMILIES = {32: "Lpm4", 128: "Lpm6"}


def dense(bits, length, count, start):
    """`count` neighbouring prefixes."""
    return [(start + (number << (bits - length)), length) for number in range(count)]


def scattered(bits, lengths, count, seed, start=0, fixed=0):
    """`count` prefixes whose first `fixed` bits are those of `start`."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        length = int(rng.choice(lengths))
        address = start | int.from_bytes(rng.bytes(16)) >> (128 - bits + fixed)
        found.append((address >> (bits - length) << (bits - length), length))
    return found


NET = int(ipaddress.IPv6Address("2001:db8::"))
SHAPES = {
    "IPv4 /32 only": (32, scattered(32, [32], 300, 1, 10 << 24, 16)),
    "IPv4 /25 to /32": (32, scattered(32, range(25, 33), 400, 2, 10 << 24, 20)),
    "IPv4 dense /32": (32, [*dense(32, 32, 700, 10 << 24), (10 << 24, 22)]),
    "IPv4 /25 to /32, more routes than lie flat": (32, [*scattered(32, range(25, 33), 3000, 19, 10 << 24, 14),
                                                        *dense(32, 32, 1500, 11 << 24)]),
    "IPv4 longer ones side by side": (32, scattered(32, range(25, 33), 4000, 20, 10 << 24, 18)),
    "IPv4 longer ones side by side, many": (32, [*scattered(32, range(27, 33), 6000, 21, 10 << 24, 17), (10 << 24, 18)]),
    "IPv4 /16 only": (32, scattered(32, [16], 200, 3)),
    "IPv4 nested": (32, [(0x0A0A0A0A >> (32 - length) << (32 - length), length) for length in range(33)]),
    "IPv6 /48 only": (128, scattered(128, [48], 1500, 4, NET, 32)),
    "IPv6 /32 only": (128, scattered(128, [32], 600, 5, 1 << 125, 3)),
    "IPv6 dense /64": (128, dense(128, 64, 3000, NET)),
    "IPv6 hosts": (128, scattered(128, [128], 500, 6, 1 << 125, 3)),
    "IPv6 hosts of one /64": (128, dense(128, 128, 700, NET) + scattered(128, [128], 500, 7, NET, 64)),
    "IPv6 any length anywhere": (128, scattered(128, range(129), 800, 8)),
    "IPv6 private": (128, scattered(128, [48, 56, 64], 600, 9, 0xFD << 120, 8)),
    "IPv6 nested": (128, [(NET | 5 >> (128 - length) << (128 - length), length) for length in range(16, 129)
                          if not (NET | 5) & ((1 << (128 - length)) - 1) or length == 128]),
    "IPv6 few": (128, scattered(128, range(8, 65), 40, 10, 1 << 125, 3)),
    "IPv6 as many as are few": (128, scattered(128, [32, 40, 48, 64], 255, 13, 1 << 125, 3)),
    "IPv6 one more than few": (128, scattered(128, [48], 256, 14, 1 << 125, 3)),
    "IPv6 few and nested, to both ends": (128, [(0, 0), (0, 64), (1 << 127, 1), *(((1 << 128) - (1 << 128 - length), length)
                                                                             for length in (2, 16, 63, 64))]),
    "IPv6 few but one long": (128, [*scattered(128, [48], 30, 15, NET, 32), (NET | 1, 128)]),
    "IPv6 one site": (128, dense(128, 48, 3000, NET)),
    "IPv6 sites": (128, [(site | number << 80, 48) for site, _ in scattered(128, [32], 8, 16, 1 << 125, 3)
                         for number in range(0, 65536, 177)]),
    "IPv6 numbered far behind": (128, [(site | number << 64, 64) for site, _ in scattered(128, [32], 12, 17, 1 << 125, 3)
                                       for number in range(150)]),
    "IPv6 lone long one": (128, [(NET | 1, 128), (NET, 32)]),
    "IPv6 empty": (128, []),
    "IPv4 empty": (32, []),
}


def array_of(addresses, bits):
    if bits == 32:
        return np.array(addresses, np.uint32)
    return np.frombuffer(b"".join(address.to_bytes(16) for address in addresses), np.uint8).reshape(-1, 16).copy()


def probes(prefixes, bits, seed=11):
    """The edges of each prefix, their neighbours, an address inside, and some anywhere."""
    rng = np.random.default_rng(seed)
    found = [int.from_bytes(rng.bytes(bits // 8)) for _ in range(300)]
    for address, length in prefixes:
        size = 1 << (bits - length)
        inside = address + int.from_bytes(rng.bytes(16)) % size
        found += [edge for edge in (address - 1, address, inside, address + size - 1, address + size) if 0 <= edge < 1 << bits]
    return found


def answers(table, addresses, bits, batch=None):
    out = np.zeros(len(addresses), np.uint32)
    packed = array_of(addresses, bits)
    for start in range(0, len(addresses), batch or max(1, len(addresses))):
        stop = start + (batch or len(addresses))
        table.lookup_batch(packed[start:stop], out[start:stop])
    return out.tolist()


@pytest.mark.parametrize("path", lpm.PATHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_path_agrees_with_the_model(shape, path):
    bits, prefixes = SHAPES[shape]
    routes = {prefix: number * 2654435761 % 4294967291 for number, prefix in enumerate(prefixes)}
    table, model = getattr(lpm, FAMILIES[bits])(7, path), getattr(reference, FAMILIES[bits])(7)
    table.replace(routes)
    model.replace(routes)
    addresses = probes(routes, bits)
    expected = answers(model, addresses, bits)
    assert answers(table, addresses, bits) == expected
    assert answers(table, addresses, bits, batch=67) == expected
    assert [table.lookup(address) for address in addresses[:500]] == expected[:500]


@pytest.mark.parametrize("path", lpm.PATHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_table_grown_and_shrunk_route_by_route_answers_the_same(shape, path):
    bits, prefixes = SHAPES[shape]
    table, model = getattr(lpm, FAMILIES[bits])(7, path), getattr(reference, FAMILIES[bits])(7)
    addresses = probes(prefixes, bits)[:3000]
    for number, prefix in enumerate(prefixes):
        table.insert(prefix, number)
        model.insert(prefix, number)
    assert answers(table, addresses, bits) == answers(model, addresses, bits)
    for prefix in prefixes[::2]:
        assert table.remove(prefix) == model.remove(prefix)
    assert answers(table, addresses, bits) == answers(model, addresses, bits)
    table.reclaim()
    for prefix in prefixes[1::2]:
        table.remove(prefix)
    assert set(answers(table, addresses, bits)) == {7}


@pytest.mark.parametrize("path", lpm.PATHS)
def test_changes_of_any_length_among_longer_ones_side_by_side_are_seen(path):
    """8,192 values in a row (a deep cell) change in place, or with the cells that a shorter prefix covers."""
    bits, prefixes = SHAPES["IPv4 longer ones side by side"]
    table, model = lpm.Lpm4(7, path), reference.Lpm4(7)
    rng = np.random.default_rng(22)
    changes = [((10 << 24 | int(rng.integers(1 << 15))) >> (32 - length) << (32 - length), length)
               for length in (*range(33), *range(17, 33)) if length]
    addresses = probes([*prefixes[::9], *changes], bits)
    for each in (table, model):
        each.replace(dict.fromkeys(prefixes, 0xFFFFFFFF) | {prefix: n for n, prefix in enumerate(prefixes[::2])})
    assert answers(table, addresses, bits) == answers(model, addresses, bits)
    for number, prefix in enumerate(changes):
        for each in (table, model):
            each.insert(prefix, 1 << 31 | number)
        assert answers(table, addresses, bits) == answers(model, addresses, bits), prefix
    for prefix in changes[::-1]:
        for each in (table, model):
            each.remove(prefix)
        assert answers(table, addresses, bits) == answers(model, addresses, bits), prefix


@pytest.mark.parametrize("path", lpm.PATHS)
def test_a_table_of_few_routes_is_right_after_each_change(path):
    """Few routes are runs, more are groups; and back."""
    prefixes = scattered(128, [16, 24, 32, 48, 64], 258, 18, 1 << 125, 3)
    table, model = lpm.Lpm6(7, path), reference.Lpm6(7)
    addresses = probes(prefixes[:24] + prefixes[-4:], 128)[250:]
    changes = [(prefix, True) for prefix in prefixes] + [(prefix, False) for prefix in prefixes]
    for number, (prefix, inserts) in enumerate(changes):
        for each in (table, model):
            each.insert(prefix, number) if inserts else each.remove(prefix)
        if number % 16 < 2 or 250 < number < 262 or number > 500:
            assert answers(table, addresses, 128) == answers(model, addresses, 128), (prefix, inserts)
    assert len(table) == 0


def test_a_path_that_this_processor_lacks_is_refused_by_name():
    for make in (lpm.Lpm4, lpm.Lpm6):
        with pytest.raises(ValueError, match="path must be one of scalar"):
            make(0, "avx1024")
    assert lpm.PATHS[0] == "scalar"


def test_one_change_makes_no_new_table():
    """What is published stays; a change adds little behind it."""
    bits, prefixes = SHAPES["IPv6 /48 only"]
    table = lpm.Lpm6()
    table.replace(dict.fromkeys(prefixes, 1))
    before = table.memory
    table.insert((NET, 48), 2)
    assert 0 <= table.memory - before < 4096
    assert bits == 128


@pytest.mark.parametrize("path", lpm.PATHS)
def test_changes_beside_and_above_what_all_routes_share_are_seen(path):
    """Bits that all routes share are skipped at once, until a route does not share them."""
    site = dict.fromkeys(scattered(128, [48, 64], 200, 12, NET, 32), 1)
    elsewhere = (int(ipaddress.IPv6Address("2001:db9::")), 32)
    above = (NET >> 104 << 104, 24)
    table, model = lpm.Lpm6(7, path), reference.Lpm6(7)
    addresses = probes([*site, elsewhere, above], 128)
    for each in (table, model):
        each.replace(site)
    for prefix, value in ((elsewhere, 2), (above, 3), ((0, 0), 4), ((1 << 125, 3), 5), ((NET, 32), 6)):
        for each in (table, model):
            each.insert(prefix, value)
        assert answers(table, addresses, 128) == answers(model, addresses, 128), prefix
    for prefix in (above, elsewhere, (0, 0)):
        assert table.remove(prefix) == model.remove(prefix)
        assert answers(table, addresses, 128) == answers(model, addresses, 128), prefix
