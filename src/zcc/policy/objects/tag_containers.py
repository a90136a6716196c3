"""TagContainers: a tag expression as the JSON of the reference product's API, read and written.

    {"expressionContainers": [
        {"tagType": "VM", "operator": "AND",
         "tagContainer": {"operator": "OR", "tags": [{"key": "group", "value": "Dev"}, {"key": "group", "value": "Prod"}]}},
        {"operator": "OPEN_PARENTHESES"}, …, {"operator": "CLOSE_PARENTHESES"}, {"operator": "OR"}, …]}

Containers are read from the first to the last. One with tags is these tags joined by the operator inside; its own operator
joins it to what follows. A container with only AND or OR says so for what stands before it, parentheses included; after a
closing parenthesis without one, the operator of the last container inside counts. The operator of the last container of all
has no meaning. AND binds more tightly than OR, as in the text. Pure. Source: domain facts of the API, `/workloadGroups`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zcc.policy.objects.tag_expression import (
    DEPTH_LIMIT,
    TERMS_LIMIT,
    Expression,
    Join,
    Operator,
    Tag,
    TagError,
    TagType,
    by_precedence,
    join,
)

__all__ = ["read_containers", "write_containers"]

OPEN, CLOSE = "OPEN_PARENTHESES", "CLOSE_PARENTHESES"
OPERATORS = ("AND", "OR", OPEN, CLOSE)
Containers = dict[str, Any]


def write_containers(expression: Expression) -> Containers:
    """Return the JSON form of an expression."""
    return {"expressionContainers": list(_written(expression, Operator.AND))}


def _written(expression: Expression, after: Operator) -> Iterator[dict[str, Any]]:
    """The containers of an expression that `after` joins to what follows."""
    tags = expression.parts if isinstance(expression, Join) else (expression,)
    inside = expression.operator if isinstance(expression, Join) else Operator.AND
    own = [tag for tag in tags if isinstance(tag, Tag)]
    if len(own) == len(tags) and len({tag.type for tag in own}) == 1:
        pairs = [{"key": tag.key, "value": tag.value} for tag in own]
        container = {"operator": str(inside), "tags": pairs}
        yield {"tagType": str(own[0].type), "operator": str(after), "tagContainer": container}
        return
    yield {"operator": OPEN}
    for part in tags:
        yield from _written(part, inside)
    yield {"operator": CLOSE}
    yield {"operator": str(after)}


def read_containers(value: object) -> Expression:
    """Read an expression from its JSON form.

    Args:
        value: {"expressionContainers": […]}, as itself or under "expressionJson".
    Raises:
        TagError: names the container by its number from 0, and what is allowed.
    """
    if isinstance(value, Mapping) and "expressionJson" in value:
        value = value["expressionJson"]
    containers = value.get("expressionContainers") if isinstance(value, Mapping) else None
    if not isinstance(containers, Sequence) or isinstance(containers, str):
        raise TagError("tag expression: allowed is text, or a mapping with a list expressionContainers")
    items = [_item(place, container) for place, container in enumerate(containers)]
    if sum(len(item.tags) for item in items) > TERMS_LIMIT:
        raise TagError(f"tag expression: at most {TERMS_LIMIT} tags are allowed")
    return _Reader(items).whole()


@dataclass(frozen=True, slots=True)
class _Item:
    operator: str
    tags: tuple[Tag, ...] = ()
    inside: Operator = Operator.AND

    @property
    def begins_operand(self) -> bool:
        return bool(self.tags) or self.operator == OPEN


def _item(place: int, container: object) -> _Item:
    if not isinstance(container, Mapping):
        raise _wrong(place, container, "a mapping of tagType, operator and tagContainer")
    operator = container.get("operator", "AND")
    if operator not in OPERATORS:
        raise _wrong(place, operator, f"operator {', '.join(OPERATORS)}")
    inside = container.get("tagContainer")
    if inside is None:
        return _Item(operator)
    kind = str(container.get("tagType"))
    if kind not in [*TagType] or operator in (OPEN, CLOSE):
        raise _wrong(place, kind if kind not in [*TagType] else operator,
                     f"tagType {', '.join(TagType)} with operator AND or OR")  # fmt: skip
    pairs = inside.get("tags") if isinstance(inside, Mapping) else None
    joined = str(inside.get("operator", "AND")) if isinstance(inside, Mapping) else ""
    if not isinstance(pairs, Sequence) or not pairs or joined not in [*Operator]:
        raise _wrong(place, inside, "tagContainer with operator AND or OR and tags of one key and value or more")
    return _Item(operator, tuple(_tag(place, TagType(kind), pair) for pair in pairs), Operator(joined))


def _tag(place: int, kind: TagType, pair: object) -> Tag:
    key, value = (pair.get("key"), pair.get("value")) if isinstance(pair, Mapping) else (None, None)
    if not isinstance(key, str) or not isinstance(value, str) or not (key + value).isprintable():
        raise _wrong(place, pair, "key and value, both printable text")
    return Tag(kind, key, value)


class _Reader:
    def __init__(self, items: list[_Item]) -> None:
        self._items, self._at = items, 0
        self._last = Operator.AND  # of the last container with tags

    def whole(self) -> Expression:
        expression = self._expression(0)
        if self._at < len(self._items):
            raise _wrong(self._at, CLOSE, f"{CLOSE} only after {OPEN}")
        return expression

    def _expression(self, depth: int) -> Expression:
        parts, operators = [self._operand(depth)], []
        while self._at < len(self._items) and self._items[self._at].operator != CLOSE:
            if not self._is_operand():
                self._last = Operator(self._items[self._at].operator)
                self._at += 1
                if not self._is_operand():  # the last operator has no meaning
                    break
            operators.append(self._last)
            parts.append(self._operand(depth))
        return by_precedence(parts, operators)

    def _is_operand(self) -> bool:
        return self._at < len(self._items) and self._items[self._at].begins_operand

    def _operand(self, depth: int) -> Expression:
        if not self._is_operand():
            seen = self._items[self._at].operator if self._at < len(self._items) else "the end"
            raise _wrong(self._at, seen, f"a container with tags, or {OPEN}")
        item = self._items[self._at]
        self._at += 1
        if item.tags:
            self._last = Operator(item.operator)
            return join(item.inside, list(item.tags))
        if depth >= DEPTH_LIMIT:
            raise _wrong(self._at - 1, OPEN, f"at most {DEPTH_LIMIT} parentheses inside one another")
        inside = self._expression(depth + 1)
        if self._at >= len(self._items):
            raise _wrong(self._at, "the end", CLOSE)
        self._at += 1
        return inside


def _wrong(place: int, seen: object, allowed: str) -> TagError:
    text = str(seen) if len(str(seen)) <= 60 else str(seen)[:59] + "…"
    return TagError(f"tag expression, container {place}: {text}; allowed here: {allowed}")
