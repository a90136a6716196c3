"""fastpath.workloads and its model, by one suite."""

import numpy as np
import pytest

from criteria_strategies import packed
from fastpath import workloads as native
from model import workloads as reference


@pytest.fixture(params=[native, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def table(impl, **changes):
    made = {
        "namespaces": np.array([1, 2, 1], np.uint16),
        "addresses": np.array([packed(a) for a in ("10.0.0.1", "10.0.0.1", "fd00::1")], np.uint8),
        "sets": np.array([7, 8, 9], np.uint32), "feeds": np.array([0, 1, 1], np.uint8),
        "confirmed_ns": np.array([100, 200], np.int64), "seed": bytes(16),
    } | changes  # fmt: skip
    return impl.Workloads(*made.values())


def test_equal_addresses_of_two_namespaces_are_two_workloads(impl):
    made = table(impl)
    asked = [(1, "10.0.0.1"), (2, "10.0.0.1"), (1, "fd00::1"), (3, "10.0.0.1")]
    found = [made.lookup(namespace, bytes(packed(address)), 250) for namespace, address in asked]
    assert found == [(7, 150), (8, 50), (9, 50), None] and (made.size, made.feeds) == (3, 2)


def test_a_feed_is_confirmed_for_all_its_workloads(impl):
    made = table(impl)
    made.confirm(1, 240)
    assert [made.lookup(n, bytes(packed("10.0.0.1")), 230) for n in (1, 2)] == [(7, 130), (8, 0)]
    for feed in (-1, 2):
        with pytest.raises(ValueError, match="feed"):
            made.confirm(feed, 0)


def test_what_was_confirmed_before_the_clock_began_is_as_old_as_it_is(impl):
    made = table(impl, confirmed_ns=np.array([-50, 0], np.int64))
    assert [made.lookup(n, bytes(packed("10.0.0.1")), 30) for n in (1, 2)] == [(7, 80), (8, 30)]


def test_a_hundred_thousand_workloads_are_told_apart():
    n = 100_000
    addresses = np.zeros((n, 16), np.uint8)
    addresses[:, 10:12], addresses[:, 12:] = 0xFF, np.arange(n, dtype=">u4").view(np.uint8).reshape(n, 4)
    made = native.Workloads(np.full(n, 4, np.uint16), addresses, np.arange(n, dtype=np.uint32), np.zeros(n, np.uint8),
                            np.zeros(1, np.int64))  # fmt: skip
    assert [made.lookup(4, addresses[i].tobytes())[0] for i in range(0, n, 997)] == list(range(0, n, 997))
    assert made.lookup(5, addresses[0].tobytes()) is None and made.nbytes < 100 * n


@pytest.mark.parametrize(("argument", "value"), [
    ("seed", bytes(15)),
    ("addresses", np.zeros((3, 4), np.uint8)),
    ("addresses", np.zeros((2, 16), np.uint8)),
    ("addresses", np.array([packed("10.0.0.1"), packed("10.0.0.2"), packed("10.0.0.1")], np.uint8)),
    ("sets", np.zeros(2, np.uint32)),
    ("feeds", np.zeros(4, np.uint8)),
    ("feeds", np.array([0, 2, 0], np.uint8)),
    ("confirmed_ns", np.zeros(257, np.int64)),
])  # fmt: skip
def test_a_wrong_argument_is_named(impl, argument, value):
    with pytest.raises(ValueError, match=argument):
        table(impl, **{argument: value})


def test_an_address_has_sixteen_bytes(impl):
    with pytest.raises(ValueError, match="address"):
        table(impl).lookup(1, bytes(4))
