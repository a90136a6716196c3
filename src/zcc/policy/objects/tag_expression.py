"""TagExpression: which workloads are meant, by their tags and attributes.

    expression  =  term  |  expression AND expression  |  expression OR expression  |  ( expression )
    term        =  TYPE-tag-KEY=VALUE   of the type vpc, subnet, vm, eni or any     vm-tag-group=Dev
                |  attr-KEY=VALUE       an attribute of the platform                attr-Vpc-id=vpc-0a1b

AND binds more tightly than OR. An operator alone on its line stands between rows, and a row is read as if it stood in
parentheses, so that the table of rows of comparable products can be written as it is seen:

    vm-tag-group=Dev OR vm-tag-group=Prod
    AND
    vm-tag-app=API

Types and operators are taken in either case, keys and values as they are. A key or value with a space, a quote, =, ( or )
stands in double quotes, in which \\" and \\\\ are a quote and a backslash. Printed, an expression has parentheses around
every OR inside an AND and the other way round, and reading it gives the same expression. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn, Protocol

__all__ = [
    "Expression",
    "Join",
    "Operator",
    "Tag",
    "TagError",
    "TagType",
    "Tagged",
    "by_precedence",
    "join",
    "parse_expression",
    "terms_of",
]

DEPTH_LIMIT = 32
TERMS_LIMIT = 1_024
QUOTED = r'"(?:[^"\\\n]|\\["\\])*"'
BARE = r'[^\s()"=]+'
TOKEN = re.compile(rf'\s*(?:(?P<open>\()|(?P<close>\))|(?P<word>AND|OR)(?![^\s()])|'
                   rf'(?P<kind>any-tag|vpc-tag|subnet-tag|vm-tag|eni-tag|attr)-(?P<key>{QUOTED}|{BARE})='
                   rf'(?P<value>{QUOTED}|{BARE}))', re.IGNORECASE)  # fmt: skip
ROW = re.compile(r"^[ \t]*(AND|OR)[ \t]*$", re.IGNORECASE | re.MULTILINE)
PLAIN = re.compile(rf"{BARE}\Z")


class TagType(StrEnum):
    """What carries a tag. A workload has those of its ENI, VM, subnet and VPC; the innermost wins."""

    ANY = "ANY"
    VPC = "VPC"
    SUBNET = "SUBNET"
    VM = "VM"
    ENI = "ENI"
    ATTR = "ATTR"


class Operator(StrEnum):
    """How expressions are joined."""

    AND = "AND"
    OR = "OR"


class TagError(ValueError):
    """An expression that cannot be read; says where and what is allowed."""


class Tagged(Protocol):
    """What an expression is asked about: zcc.policy.workload.Workload."""

    def has_tag(self, type: TagType, key: str, value: str) -> bool:
        """Tell whether the tag is there."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag, or one attribute if the type is ATTR."""

    type: TagType
    key: str
    value: str

    def matches(self, workload: Tagged) -> bool:
        """Tell whether the workload has the tag."""
        return workload.has_tag(self.type, self.key, self.value)

    def __str__(self) -> str:
        kind = "attr" if self.type is TagType.ATTR else f"{self.type.lower()}-tag"
        return f"{kind}-{_quoted(self.key)}={_quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class Join:
    """Two expressions or more, joined by one operator."""

    operator: Operator
    parts: tuple[Expression, ...]

    def matches(self, workload: Tagged) -> bool:
        """Tell whether all parts match, or one of them."""
        found = (part.matches(workload) for part in self.parts)
        return all(found) if self.operator is Operator.AND else any(found)

    def __str__(self) -> str:
        printed = (f"({part})" if isinstance(part, Join) else str(part) for part in self.parts)
        return f" {self.operator} ".join(printed)


Expression = Tag | Join


def join(operator: Operator, parts: list[Expression]) -> Expression:
    """Join expressions; one alone stays as it is, and parts joined by the same operator are taken in."""
    flat: list[Expression] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Join) and part.operator is operator else (part,))
    return flat[0] if len(flat) == 1 else Join(operator, tuple(flat))


def terms_of(expression: Expression) -> Iterator[Tag]:
    """Yield the tags that an expression speaks of, from left to right."""
    if isinstance(expression, Tag):
        yield expression
        return
    for part in expression.parts:
        yield from terms_of(part)


def parse_expression(text: str) -> Expression:
    """Read an expression.

    Raises:
        TagError: names the line and column, what stands there and what is allowed.
    """
    marks = list(ROW.finditer(text))
    begins = [0, *(mark.end() for mark in marks)]
    ends = [*(mark.start() for mark in marks), len(text)]
    rows = list(zip(begins, ends, strict=True))
    if any(_is_open(text[begin:end]) for begin, end in rows):  # the operator stands inside parentheses
        return _Reader(text, 0, len(text)).whole()
    return by_precedence([_Reader(text, *row).whole() for row in rows], [_operator(mark[1]) for mark in marks])


def _is_open(row: str) -> bool:
    bare = re.sub(QUOTED, "", row)
    return bare.count("(") != bare.count(")")


def _operator(word: str) -> Operator:
    return Operator(word.upper())


def by_precedence(parts: list[Expression], operators: list[Operator]) -> Expression:
    """Join parts by the operators between them, AND before OR."""
    rows: list[list[Expression]] = [[parts[0]]]
    for operator, part in zip(operators, parts[1:], strict=True):
        if operator is Operator.AND:
            rows[-1].append(part)
        else:
            rows.append([part])
    return join(Operator.OR, [join(Operator.AND, row) for row in rows])


class _Reader:
    """Reads text[begin:end] from left to right."""

    def __init__(self, text: str, begin: int, end: int) -> None:
        self._text, self._at, self._end = text, begin, end
        self._terms = 0

    def whole(self) -> Expression:
        """Read all of it."""
        expression = self._expression(0)
        if self._rest():
            self._refuse("AND, OR or the end")
        return expression

    def _expression(self, depth: int) -> Expression:
        parts, operators = [self._operand(depth)], []
        while (found := self._take("word")) is not None:
            operators.append(_operator(found["word"]))
            parts.append(self._operand(depth))
        return by_precedence(parts, operators)

    def _operand(self, depth: int) -> Expression:
        if self._take("open") is not None:
            if depth >= DEPTH_LIMIT:
                self._refuse(f"at most {DEPTH_LIMIT} parentheses inside one another")
            inside = self._expression(depth + 1)
            if self._take("close") is None:
                self._refuse("AND, OR or )")
            return inside
        found = self._take("kind")
        if found is None:
            self._refuse("a tag such as vm-tag-group=Dev or attr-Vpc-id=vpc-0a1b, or (")
        self._terms += 1
        if self._terms > TERMS_LIMIT:
            self._refuse(f"at most {TERMS_LIMIT} tags")
        kind = found["kind"].upper().removesuffix("-TAG")
        return Tag(TagType(kind), _plain(found["key"]), _plain(found["value"]))

    def _take(self, group: str) -> re.Match[str] | None:
        found = TOKEN.match(self._text, self._at, self._end)
        if found is None or found[group] is None:
            return None
        self._at = found.end()
        return found

    def _rest(self) -> str:
        return self._text[self._at : self._end].strip()

    def _refuse(self, allowed: str) -> NoReturn:
        rest = self._rest()
        at = self._text.index(rest, self._at) if rest else self._end
        line, column = self._text.count("\n", 0, at) + 1, at - self._text.rfind("\n", 0, at)
        place = f"line {line}, column {column}" if "\n" in self._text.strip() else f"column {column}"
        seen = repr(rest.split()[0][:40]) if rest else "the end"
        raise TagError(f"tag expression, {place}: {seen}; allowed here: {allowed}")


def _quoted(text: str) -> str:
    if PLAIN.match(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(text: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", text[1:-1]) if text.startswith('"') else text
