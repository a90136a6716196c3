"""fastpath.domains and its model, by one suite."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import domains as native
from model import domains as reference


@pytest.fixture(params=[native, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


name = st.lists(st.sampled_from(["a", "b", "corp", "", "x" * 63]), min_size=1, max_size=6).map(".".join)
pattern = (name | name.map("*.".__add__)).filter(lambda text: text not in ("", "*.") and len(text) <= 255)


@given(st.lists(st.tuples(pattern, st.integers(0, 9))), st.lists(name, max_size=20))
def test_the_most_specific_pattern_counts(entries, asked):
    maps = native.DomainMap(5), reference.DomainMap()
    for text, value in entries:
        for one in maps:
            one.set(text, value)
    assert [maps[0].get(name) for name in asked] == [maps[1].get(name) for name in asked]
    assert len(maps[0]) == len(maps[1])
    text = np.frombuffer("".join(f"{name}\n" for name in asked).encode(), np.uint8)
    outs = [np.zeros(len(asked), np.uint32) for _ in maps]
    assert [one.get_many(text, out, 77) for one, out in zip(maps, outs, strict=True)] == [len(asked)] * 2
    assert outs[0].tolist() == outs[1].tolist()


def test_a_wildcard_is_what_is_below_and_not_the_name_itself(impl):
    made = impl.DomainMap()
    made.set("*.example.com", 1)
    assert [made.get(name) for name in ("example.com", "a.example.com", "b.a.example.com", "aexample.com", "")] == [
        None, 1, 1, None, None]  # fmt: skip


def test_a_hundred_thousand_domains_are_told_apart():
    made = native.DomainMap(3)
    for i in range(100_000):
        made.set(f"n{i}.example", i)
    names = np.frombuffer("".join(f"n{i}.example\n" for i in range(100_000)).encode(), np.uint8)
    out = np.zeros(100_000, np.uint32)
    assert made.get_many(names, out) == 100_000 and (out == np.arange(100_000)).all()
    assert made.get("n100000.example") is None and made.nbytes < 100 * 100_000


@pytest.mark.parametrize("length", [255, 256, 1000])
def test_names_longer_than_a_name_can_be_match_nothing(impl, length):
    made = impl.DomainMap()
    made.set("*.b", 1)
    assert made.get("." * (length - 1) + "b") == (1 if length == 255 else None)


@pytest.mark.parametrize(("text", "value", "named"), [
    ("", 1, "pattern"), ("*.", 1, "pattern"), ("a" * 256, 1, "pattern"), ("a", 2**32 - 1, "value"),
])  # fmt: skip
def test_what_can_not_be_kept_is_refused(impl, text, value, named):
    with pytest.raises(ValueError, match=named):
        impl.DomainMap().set(text, value)


@pytest.mark.parametrize(("text", "room", "named"), [(b"a\nb", 9, "names"), (b"a\nb\n", 1, "out")])
def test_lists_of_names_are_whole_and_have_room(impl, text, room, named):
    with pytest.raises(ValueError, match=named):
        impl.DomainMap().get_many(np.frombuffer(text, np.uint8), np.zeros(room, np.uint32))
