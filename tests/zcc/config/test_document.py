"""YAML with lines: the values a person means, and every mistake at its place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.document import DEPTH_LIMIT, Document, field_name, read_document


def said(document: Document) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.field, problem.message) for problem in document.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("22:22", "22:22"),
        ("2026-11-24", "2026-11-24"),
        ("1_000", "1_000"),
        ("<<", "<<"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("010", 10),
        ("0x1f", 31),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("'443'", "443"),
        ("!!str 443", "443"),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    document = read_document(f"a: {text}\n".encode(), "f")
    assert document.value == {"a": value} and document.problems == []


def test_lines_are_those_of_keys_and_of_list_items() -> None:
    document = read_document(b"a: 1\nrules:\n- name: x\n  method: ZIA\n-\n  name: y\n", "f")
    assert document.lines["rules",] == 2 and document.lines["rules", 0] == 3
    assert document.lines["rules", 0, "method"] == 4 and document.lines["rules", 1, "name"] == 6
    assert document.line(("rules", 1, "absent", "deep")) == document.lines["rules", 1]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"a: 1\nb: 2\na: 3\n", (3, "a", "is given twice; first on line 1"), id="key twice"),
        pytest.param(
            b"a:\n  b: 1\n  b: 2\n", (3, "a.b", "is given twice; first on line 2"), id="inner key twice"
        ),
        pytest.param(b"a: 1\n\tb: 2\n", (2, "", "not YAML: "), id="tab"),
        pytest.param(b"a: b: c\n", (1, "", "not YAML: "), id="two colons"),
        pytest.param(b"a: 1\n---\nb: 2\n", (2, "", "not YAML: "), id="two documents"),
        pytest.param(b"a: 1\nb: \xff\n", (2, "", "not UTF-8 text"), id="not UTF-8"),
        pytest.param(b"a: 1\nb: \x07\n", (1, "", "character U+0007"), id="control character"),
        pytest.param(b"a: !!python/name:os.system ''\n", (1, "a", "with tag"), id="object tag"),
        pytest.param(b"a: !x {b: 1}\n", (1, "a", "tag !x is not allowed"), id="own tag"),
        pytest.param(b"a: !!int x\n", (1, "a", "with tag"), id="tag that does not fit"),
        pytest.param(b"? [a]\n: 1\n", (1, "", "a field's name is text"), id="list as key"),
        pytest.param(b"a: *b\n", (1, "", "not YAML: "), id="alias of nothing"),
        pytest.param(b"[" * 100_000, (1, "", "nested too deeply"), id="endless nesting"),
        pytest.param(b"a: &x [*x]\n", (1, "", "nested too deeply"), id="alias of itself"),
    ],
)
def test_mistakes_are_problems_at_their_line(data: bytes, problem: tuple[int, str, str]) -> None:
    [(line, field, message)] = said(read_document(data, "f"))
    assert field == problem[1] and problem[2] in message
    assert line == problem[0] or "character U+" in message


def test_aliases_cannot_multiply_without_end() -> None:
    rows = [b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    rows += [b"a%d: &a%d [%s]" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9)]
    document = read_document(b"\n".join(rows), "f")
    assert any("values" in message for _, _, message in said(document))


def test_nesting_up_to_the_limit_is_fine() -> None:
    depth = DEPTH_LIMIT - 1
    assert read_document(b"[" * depth + b"]" * depth, "f").problems == []


def test_locations_print_as_people_write_them() -> None:
    assert field_name(("rules", 0, "ports", 3)) == "rules[0].ports[3]" and field_name(()) == ""


@given(
    data=st.one_of(st.binary(max_size=80), st.text(alphabet="ab:- \n\t[]{}&*!#'\"|>?,%@`1.~", max_size=60))
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_values_or_problems(data: bytes | str) -> None:
    document = read_document(data if isinstance(data, bytes) else data.encode(), "f")
    assert all(problem.line >= 1 for problem in document.problems)
