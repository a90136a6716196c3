"""Wrong calls of Lpm4 and Lpm6: refused with the argument's name, nothing changed."""

import ipaddress

import numpy as np
import pytest

from fastpath import lpm


@pytest.fixture(params=[lpm.Lpm4, lpm.Lpm6], ids=["IPv4", "IPv6"])
def table(request):
    made = request.param(5)
    made.insert((0, 1), 1)
    yield made
    assert [value for _, value in made] == [1]
    assert made.lookup(0) == 1


def addresses(table, n):
    return np.zeros(n, np.uint32) if isinstance(table, lpm.Lpm4) else np.zeros((n, 16), np.uint8)


@pytest.mark.parametrize("wrong, error", [(-1, ValueError), (1 << 32, ValueError), ("7", TypeError), (1.0, TypeError),
                                          (None, TypeError)])
def test_values_are_ints_of_32_bits(table, wrong, error):
    for call in (lambda: table.insert((0, 2), wrong), lambda: table.replace({(0, 2): wrong}),
                 lambda: table.replace([((0, 3), 1), ((0, 2), wrong)]), lambda: type(table)(wrong)):
        with pytest.raises(error, match=r"value|default"):
            call()


@pytest.mark.parametrize("wrong", [None, 5, 1.0, b"\0", (0.0, 1), (0, "8"), object()])
def test_prefixes_of_another_type_are_refused(table, wrong):
    for call in (lambda: table.insert(wrong, 1), lambda: table.remove(wrong), lambda: table.exact(wrong)):
        with pytest.raises(TypeError, match="prefix"):
            call()


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.uint64])
def test_numbers_of_numpy_are_numbers(table, kind):
    """Their own arithmetic has 8 or 64 bits: a prefix of theirs once became another one."""
    bits = 32 if isinstance(table, lpm.Lpm4) else 128
    table.insert((kind(0), kind(8)), kind(7))
    assert [prefix.prefixlen for prefix, _ in table] == [1, 8] and table.exact((0, 8)) == table.lookup(kind(0)) == 7
    if kind != np.uint8:
        table.insert((kind(1 << 40 >> (40 if bits == 32 else 0)), kind(bits)), 9)
    assert table.remove((kind(0), kind(8)))
    if kind != np.uint8:
        assert table.remove((1 << 40 >> (40 if bits == 32 else 0), bits))


@pytest.mark.parametrize("length", [-1, 33, 99, 1 << 40])
def test_a_network_that_lies_about_its_length_is_refused(length):
    made = ipaddress.IPv4Network("10.0.0.0/8")
    made._prefixlen = length
    table = lpm.Lpm4(5)
    for call in (lambda: table.insert(made, 1), lambda: table.remove(made), lambda: table.exact(made),
                 lambda: table.replace({made: 1})):
        with pytest.raises(ValueError, match="length must be 0 to 32"):
            call()
    assert len(table) == 0


def test_addresses_of_a_batch_have_one_dtype_shape_and_order(table):
    good, out = addresses(table, 4), np.zeros(4, np.uint32)
    for wrong in (good.astype(np.int64), good.astype(np.uint16), np.zeros((4, 3, 2), good.dtype),
                  np.concatenate([good, good])[::2], None, [1, 2, 3, 4], "text"):
        with pytest.raises((TypeError, ValueError), match="addresses must be uint"):
            table.lookup_batch(wrong, out)


def test_out_of_a_batch_has_one_dtype_shape_and_order_and_can_be_written(table):
    good, fixed = addresses(table, 4), np.zeros(4, np.uint32)
    fixed.flags.writeable = False
    for wrong in (np.zeros(4, np.int32), np.zeros(4, np.uint64), np.zeros((4, 1), np.uint32), np.zeros(8, np.uint32)[::2],
                  fixed, None, [0] * 4):
        with pytest.raises((TypeError, ValueError), match="out must be uint32"):
            table.lookup_batch(good, wrong)
    for n in (3, 5):
        with pytest.raises(ValueError, match="out must have the 4"):
            table.lookup_batch(good, np.zeros(n, np.uint32))


def test_columns_of_replace_arrays_have_one_dtype_each(table):
    good = {"addresses": addresses(table, 2), "lengths": np.array([1, 2], np.uint8), "values": np.array([1, 2], np.uint32)}
    for name, column in good.items():
        for wrong in (column.astype(np.float64), np.concatenate([column, column])[::2], None):
            with pytest.raises((TypeError, ValueError), match=f"{name} must be uint"):
                table.replace_arrays(**{**good, name: wrong})


@pytest.mark.parametrize("wrong", ["", "10.0.0.256", "1::2::3", -1, 1 << 128])
def test_addresses_that_are_none_are_refused(table, wrong):
    with pytest.raises(ValueError):
        table.lookup(wrong)
