"""The C interface's lpm tables answer as Lpm4 and Lpm6 do, whatever is done to them."""

import ipaddress
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.lpm import Lpm4, Lpm6

from .library import EINVAL, ENOENT, OK, ffi, lib

FALLBACK = 4_000_000_000


class Family(NamedTuple):
    """One of the two kinds of table, and how its addresses are handed over."""

    name: str
    bits: int
    python: type

    def call(self, function: str, *arguments: Any) -> int:
        return getattr(lib, f"fastpath_{self.name}_{function}")(*arguments)

    def address(self, number: int) -> Any:
        return number if self.bits == 32 else ffi.new("uint8_t[16]", number.to_bytes(16))

    def array(self, numbers: list[int]) -> Any:
        """A pointer to addresses for a batch."""
        if self.bits == 32:
            return ffi.new("uint32_t[]", numbers)
        return ffi.new(f"uint8_t[{16 * len(numbers)}]", b"".join(number.to_bytes(16) for number in numbers))

    def lookups(self, table: Any, numbers: list[int]) -> list[int]:
        """One by one, which must agree with the batch."""
        one, all_ = ffi.new("uint32_t *"), ffi.new("uint32_t[]", len(numbers))
        found = []
        for number in numbers:
            assert self.call("lookup", table, self.address(number), one) == OK
            found.append(one[0])
        assert self.call("lookup_batch", table, self.array(numbers), all_, len(numbers)) == OK
        assert found == list(all_)
        return found


FAMILIES = {"lpm4": Family("lpm4", 32, Lpm4), "lpm6": Family("lpm6", 128, Lpm6)}


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.fixture
def table(family: Family) -> Iterator[Any]:
    handle = ffi.new(f"fastpath_{family.name} **")
    assert family.call("create", FALLBACK, handle) == OK
    yield handle[0]
    family.call("free", handle)


def prefix_of(family: Family, seed: int, length: int) -> tuple[int, int]:
    """A prefix out of few, so that they nest and meet."""
    length = length % (family.bits + 1)
    spread = int.from_bytes(seed.to_bytes(2) * (family.bits // 16))
    return spread >> (family.bits - length) << (family.bits - length), length


# Verb, which prefix, how long, value.
STEPS = st.lists(
    st.tuples(
        st.sampled_from("iiir"), st.sampled_from([0, 1, 2, 0xFFFF, 0x8000, 0x0A0A]), st.integers(0, 128),
        st.integers(0, 9)),
    max_size=40,
)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=60, deadline=None)
@given(steps=STEPS, addresses=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=130))
def test_any_series_of_changes_leads_to_the_same_answers(name: str, steps, addresses) -> None:
    family = FAMILIES[name]
    handle = ffi.new(f"fastpath_{name} **")
    assert family.call("create", FALLBACK, handle) == OK
    table, twin = handle[0], family.python(FALLBACK)
    value = ffi.new("uint32_t *")
    for verb, seed, length, number in steps:
        network, bits = prefix_of(family, seed, length)
        if verb == "i":
            assert family.call("insert", table, family.address(network), bits, number) == OK
            twin.insert((network, bits), number)
        else:
            there = twin.remove((network, bits))
            assert family.call("remove", table, family.address(network), bits) == (OK if there else ENOENT)
        expected = twin.exact((network, bits))
        result = family.call("exact", table, family.address(network), bits, value)
        assert (result, value[0] if result == OK else None) == (ENOENT if expected is None else OK, expected)
    probes = [int.from_bytes(address.to_bytes(2) * (family.bits // 16)) for address in addresses]
    assert family.lookups(table, probes) == [twin.lookup(probe) for probe in probes]
    assert (family.call("size", table), family.call("bytes", table)) == (len(twin), twin.memory)
    family.call("free", handle)


def routes(family: Family, n: int, seed: int) -> dict[tuple[int, int], int]:
    random = np.random.default_rng(seed)
    made = {}
    for length in random.integers(8, family.bits + 1, n).tolist():
        number = int.from_bytes(random.bytes(family.bits // 8)) >> (family.bits - length) << (family.bits - length)
        made[number, length] = int(random.integers(0, FALLBACK))
    return made


def build(family: Family, table: Any, made: dict[tuple[int, int], int]) -> int:
    lengths = ffi.new("uint8_t[]", [length for _, length in made])
    values = ffi.new("uint32_t[]", list(made.values()))
    return family.call("build", table, family.array([network for network, _ in made]), lengths, values, len(made))


def test_a_table_built_from_arrays_is_python_s(family: Family, table: Any) -> None:
    made = routes(family, 20_000, 7)
    assert build(family, table, made) == OK
    twin = family.python(FALLBACK)
    twin.replace(made)
    inside = [network | 1 for network, length in list(made)[:3_000] if length < family.bits]
    assert family.lookups(table, inside) == [twin.lookup(address) for address in inside]
    assert family.call("size", table) == len(twin) == len(made)


def test_building_replaces_all_and_an_empty_list_empties(family: Family, table: Any) -> None:
    assert build(family, table, routes(family, 100, 1)) == OK
    assert build(family, table, {(0, 0): 5}) == OK
    assert family.call("size", table) == 1 and family.lookups(table, [0, 77]) == [5, 5]
    assert family.call("reclaim", table) == OK
    assert family.call("build", table, ffi.NULL, ffi.NULL, ffi.NULL, 0) == OK
    assert family.call("size", table) == 0 and family.lookups(table, [0, 77]) == [FALLBACK, FALLBACK]


@pytest.mark.parametrize("wrong", [(1, 8), (0, 129), (0, 255)], ids=["host bits", "too long", "far too long"])
def test_one_wrong_prefix_leaves_the_table_as_it_was(family: Family, table: Any, wrong: tuple[int, int]) -> None:
    assert build(family, table, {(0, 0): 5}) == OK
    assert build(family, table, {(0, 1): 6, wrong: 7}) == EINVAL
    assert family.call("size", table) == 1 and family.lookups(table, [0]) == [5]


def test_of_equal_prefixes_the_last_counts(family: Family, table: Any) -> None:
    lengths, values = ffi.new("uint8_t[3]", [8, 8, 8]), ffi.new("uint32_t[3]", [1, 2, 3])
    assert family.call("build", table, family.array([0, 0, 0]), lengths, values, 3) == OK
    assert family.lookups(table, [0]) == [3] and family.call("size", table) == 1


def test_addresses_are_in_the_order_that_the_header_says() -> None:
    handle, value = ffi.new("fastpath_lpm4 **"), ffi.new("uint32_t *")
    assert lib.fastpath_lpm4_create(0, handle) == OK
    assert lib.fastpath_lpm4_insert(handle[0], int(ipaddress.ip_address("192.0.2.0")), 24, 9) == OK
    assert lib.fastpath_lpm4_lookup(handle[0], 0xC0000205, value) == OK and value[0] == 9
    lib.fastpath_lpm4_free(handle)
    handle = ffi.new("fastpath_lpm6 **")
    assert lib.fastpath_lpm6_create(0, handle) == OK
    assert lib.fastpath_lpm6_insert(handle[0], ipaddress.ip_address("2001:db8::").packed, 32, 9) == OK
    assert lib.fastpath_lpm6_lookup(handle[0], ipaddress.ip_address("2001:db8:5::1").packed, value) == OK and value[0] == 9
    lib.fastpath_lpm6_free(handle)
