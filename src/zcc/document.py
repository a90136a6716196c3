"""A YAML file as plain values, with the line of every one of them.

The YAML 1.2 core schema: true, false, null, numbers and text; "no" and "on" are text, 22:22 is no number.
A key twice in one mapping is a problem, and so are tags that name objects. Aliases are followed, bounded.
Pure: bytes in, values and problems out. zcc.config gives the values their meaning.
Source: YAML 1.2.2 §10.3.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from zcc.errors import Problem

__all__ = ["Document", "Location", "collection_paused", "read_document"]

Location = tuple[str | int, ...]

# A policy of tens of thousands of rules stays below; a file that multiplies itself by aliases does not.
VALUE_LIMIT = 2_000_000
DEPTH_LIMIT = 64
TOO_DEEP = f"nested too deeply; at most {DEPTH_LIMIT} levels are allowed"
CORE = "tag:yaml.org,2002:"
SCALARS = {
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    "null": (re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    "int": (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), "-+0123456789"),
    "float": (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), "-+.0123456789"),
}


class TooDeep(yaml.MarkedYAMLError):
    """A node lies deeper than the limit; the composer recurses without one."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes; which scalars are not text is the core schema's, not YAML 1.1's."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012
    _depth = 0

    def descend_resolver(self, parent: yaml.Node | None, index: object) -> None:
        """Take note that a node begins. Its tag depends on nothing above it."""
        self._depth += 1
        if parent is not None and self._depth > DEPTH_LIMIT + 1:
            raise TooDeep(problem=TOO_DEEP, problem_mark=parent.start_mark)

    def ascend_resolver(self) -> None:
        """Take note that it ends."""
        self._depth -= 1


for _kind, (_pattern, _first) in SCALARS.items():
    Loader.add_implicit_resolver(CORE + _kind, re.compile(f"(?:{_pattern.pattern})$"), list(_first))


@dataclass(slots=True)
class Document:
    """The values of a file; lines holds the line of every key and list item by its location."""

    file: str
    value: object = None
    lines: dict[Location, int] = field(default_factory=lambda: {(): 1})
    problems: list[Problem] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Return the line of a location, or of the nearest one around it."""
        while location not in self.lines:
            location = location[:-1]
        return self.lines[location]

    def add(self, location: Location, message: str, line: int | None = None) -> None:
        """Note a problem at a location."""
        self.problems.append(Problem(self.file, line or self.line(location), field_name(location), message))


def field_name(location: Location) -> str:
    """Print a location as rules[0].method."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".")


@contextmanager
def collection_paused() -> Iterator[None]:
    """Look for no garbage meanwhile: a file's values are all kept, and looking through them time and again takes longer than
    reading them.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def read_document(data: bytes, file: str) -> Document:
    """Read a file's bytes.

    Args:
        data: the whole file; any bytes are safe.
        file: the name that problems carry.

    Returns:
        The document; with problems of YAML itself, its value may be incomplete.
    """
    document = Document(file)
    try:
        text = data.decode("utf-8-sig")
        node = yaml.compose(text, Loader)
        document.value = None if node is None else _Builder(document).build(node, ())
    except UnicodeDecodeError as error:
        document.add((), "not UTF-8 text", data.count(b"\n", 0, error.start) + 1)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # Newer libyaml reads far ahead within one line and meets a limit of its own before ours.
        too_deep = isinstance(error, TooDeep) or "nesting depth" in (error.problem or "")
        message = TOO_DEEP if too_deep else f"not YAML: {error.problem or error.context}"
        document.add((), message, mark.line + 1 if mark else 1)
    except yaml.reader.ReaderError as error:
        line = data[: error.position].count(b"\n") + 1
        document.add((), f"character U+{error.character:04X} is not allowed in YAML", line)
    return document


class _Builder:
    """Turns nodes into values, noting lines; counts, so that aliases cannot multiply without end."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0

    def build(self, node: yaml.Node, location: Location) -> object:
        self._count += 1
        if self._count == VALUE_LIMIT:
            self._problem(node, location, f"the file has more than {VALUE_LIMIT} values")
        if len(location) == DEPTH_LIMIT:
            self._problem(node, (), TOO_DEEP)
        if self._count >= VALUE_LIMIT or len(location) >= DEPTH_LIMIT:
            return None
        if isinstance(node, yaml.MappingNode) and node.tag == CORE + "map":
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode) and node.tag == CORE + "seq":
            return self._sequence(node, location)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        self._problem(node, location, f"tag {node.tag} is not allowed; write plain values")
        return None

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, object]:
        values: dict[str, object] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, location, "a field's name is text, not a list or mapping")
                continue
            inner = (*location, key.value)
            if key.value in values:
                self._problem(key, inner, f"is given twice; first on line {self._document.lines[inner]}")
                continue
            self._document.lines[inner] = key.start_mark.line + 1
            values[key.value] = self.build(value, inner)
        return values

    def _sequence(self, node: yaml.SequenceNode, location: Location) -> list[object]:
        for index, item in enumerate(node.value):
            self._document.lines[*location, index] = item.start_mark.line + 1
        return [self.build(item, (*location, index)) for index, item in enumerate(node.value)]

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> object:
        kind, text = node.tag.removeprefix(CORE), node.value
        if kind == "str":
            return str(text)
        if kind not in SCALARS or not SCALARS[kind][0].fullmatch(text):
            self._problem(node, location, f"{text!r} with tag {node.tag} is not allowed; write plain values")
            return None
        if kind == "int":
            # Thousands of digits are refused by int(); the text then fails as what it is.
            return int(text, 0 if text[:2] in ("0x", "0o") else 10) if len(text) <= 40 else str(text)
        if kind == "float":
            return float(text)
        return text.lower() == "true" if kind == "bool" else None

    def _problem(self, node: yaml.Node, location: Location, message: str) -> None:
        self._document.add(location, message, node.start_mark.line + 1)
