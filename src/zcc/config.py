"""From a file to a role's frozen settings; the only module that reads configuration files.

    file ─▶ zcc.document (values and lines) ─▶ the role's settings class ─▶ settings, or every problem at once

Each role's class is imported when its role is asked for, so that roles never meet. A problem says file, line,
field, what is wrong and what is allowed. Relations between fields are checked by the settings classes once
every field is right on its own; their errors may carry a location. Nothing is opened but the file, and no
network is touched.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails

from zcc.document import Document, Location, collection_paused, read_document
from zcc.errors import ConfigurationError, Problem
from zcc.fields import HostPort, PortRange, Settings, format_duration

__all__ = ["ROLES", "load", "parse", "read", "schema", "settings_class", "validate"]

ROLES = {
    "connector": "zcc.connector.settings:ConnectorSettings",
    "private-edge": "zcc.private_edge.settings:PrivateEdgeSettings",
    "app-connector": "zcc.app_connector.settings:AppConnectorSettings",
    "internet-edge": "zcc.internet_edge.settings:InternetEdgeSettings",
}
SHOWN_LIMIT = 60
# What people call the things whose types pydantic names; by the beginning of its error types.
SHAPES = {
    "model_": "should be a mapping of fields",
    "dict_type": "should be a mapping of fields",
    "tuple_type": "should be a list, as in [a, b]",
    "list_type": "should be a list, as in [a, b]",
    "set_type": "should be a list, as in [a, b]",
    "frozen_set_type": "should be a list, as in [a, b]",
    "string_type": "should be text; put it in quotes",
    "path_type": "should be a path; put it in quotes",
}


def load(path: Path, role: str | None = None, override: dict[str, Any] | None = None) -> Settings:
    """Read a configuration file.

    Args:
        path: the YAML file.
        role: the only role accepted; None = the one that the file names.
        override: fields that the command line gives instead of the file, as a mapping like the file's.

    Raises:
        ConfigurationError: with every problem found.
    """
    return read(path, role, override)[1]


def read(
    path: Path, role: str | None = None, override: dict[str, Any] | None = None
) -> tuple[Document, Settings]:
    """Read a configuration file and keep the document, which knows the line of every value; see load."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError([Problem(str(path), 1, "", f"cannot be read: {error.strerror}")]) from None
    with collection_paused():
        document = read_document(data, str(path))
        if override and isinstance(document.value, dict):
            document.value = _merged(document.value, override)
        return document, _settings(document, role)


def _merged(value: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """The fields of both; where both have mappings these are merged too, else the second counts."""
    inner = {
        name: _merged(value[name], new) if isinstance(new, dict) and isinstance(value.get(name), dict) else new
        for name, new in over.items()
    }
    return {**value, **inner}


def parse(data: bytes, file: str, role: str | None = None) -> Settings:
    """Read a configuration from bytes; see load."""
    return _settings(read_document(data, file), role)


def _settings(document: Document, role: str | None) -> Settings:
    named = _role(document, role)
    if named is None:
        raise ConfigurationError(document.problems)
    return validate(document, settings_class(named))


def settings_class(role: str) -> type[Settings]:
    """Import a role's settings class.

    Raises:
        ValueError: no such role.
    """
    if role not in ROLES:
        raise ValueError(f"role: {role!r}; allowed: {', '.join(ROLES)}")
    module, _, name = ROLES[role].partition(":")
    found: type[Settings] = getattr(importlib.import_module(module), name)
    return found


def validate(document: Document, kind: type[Settings]) -> Settings:
    """Turn a document's values into settings.

    Raises:
        ConfigurationError: with the problems of the YAML and of every field.
    """
    value = document.value
    if isinstance(value, dict) and "role" not in kind.model_fields:
        value = {name: inner for name, inner in value.items() if name != "role"}
    try:
        settings = kind.model_validate(value)
    except ValidationError as error:
        _explain(document, error.errors(include_url=False), kind)
        raise ConfigurationError(document.problems) from None
    if document.problems:
        raise ConfigurationError(document.problems)
    return settings


def schema(role: str) -> dict[str, Any]:
    """Return the JSON Schema of a role's file, for editors.

    Raises:
        ValueError: no such role.
    """
    made = settings_class(role).model_json_schema(schema_generator=_SchemaWriter)
    made["properties"] = {"role": {"const": role, "title": "Role"}} | made["properties"]
    made["properties"]["role"] = {"const": role, "title": "Role"}
    made["required"] = sorted({*made.get("required", []), "role"})
    return {"$schema": GenerateJsonSchema.schema_dialect, **made, "title": f"zcc {role}"}


class _SchemaWriter(GenerateJsonSchema):
    """Prints defaults as people write them: 90s, not PT1M30S."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        if isinstance(dft, HostPort | PortRange):
            return str(dft)
        if isinstance(dft, tuple | list):
            return [self.encode_default(item) for item in dft]
        return super().encode_default(dft)


def _role(document: Document, expected: str | None) -> str | None:
    if not isinstance(document.value, dict):
        if not document.problems:
            document.add((), "empty, or not a mapping; it begins with role: " + " or ".join(ROLES))
        return None
    named = document.value.get("role")
    if named is None and document.problems:
        return None
    if named is None:
        document.add(("role",), f"missing; allowed: {', '.join(ROLES)}")
    elif named not in ROLES:
        document.add(("role",), f"{_shown(named)} is unknown{_nearest(str(named), ROLES)}")
    elif expected not in (None, named):
        document.add(("role",), f"this file is for {named}; run: zcc {named} --config {document.file}")
    else:
        return str(named)
    return None


def _explain(document: Document, errors: Sequence[ErrorDetails], kind: type[Settings]) -> None:
    """Add each pydantic error as a problem; what the members of a union say becomes one, joined by "or"."""
    shape = kind.model_json_schema()
    found: dict[Location, list[str]] = {}
    for error in errors:
        # A list whose items are wrong also counts as too short; only the items are worth saying.
        inner = (other["loc"][: len(error["loc"])] == error["loc"] for other in errors if other is not error)
        if error["type"] == "too_short" and any(inner):
            continue
        location = _in_document(document.value, error["loc"], shape)
        messages = found.setdefault(location, [])
        message = _message(error, location, shape)
        if messages:
            message = message.removeprefix(_subject(error))
        if message not in messages:
            messages.append(message)
    for location, messages in found.items():
        document.add(location, " or ".join(messages))


def _in_document(value: object, where: Location, shape: dict[str, Any]) -> Location:
    """Return the location without the names of union members, which no file contains."""
    location: list[str | int] = []
    for part in where:
        known: object = range(len(value)) if isinstance(value, list) else value
        inside = isinstance(known, range | dict) and part in known
        if inside or part in _field(shape, tuple(location)).get("properties", {}):
            location.append(part)
            value = value[part] if inside else None  # type: ignore[index]
    return tuple(location)


def _message(error: ErrorDetails, location: Location, shape: dict[str, Any]) -> str:
    kind, text = error["type"], error["msg"].removeprefix("Value error, ")
    if kind == "missing":
        wanted = _field(shape, location)
        fields = ", ".join(wanted.get("properties", {}))
        allowed = f"a mapping of {fields}" if fields else wanted.get("description", "")
        return f"missing; allowed: {allowed}" if allowed else "missing"
    if kind == "extra_forbidden":
        known = _field(shape, location[:-1]).get("properties", {})
        return "unknown field" + _nearest(str(location[-1]), known)
    for name, allowed in SHAPES.items():
        if kind.startswith(name):
            return _subject(error) + allowed
    if kind in ("too_short", "too_long"):
        return text.partition(" ")[2]
    return _subject(error) + text.removeprefix("Input ") if text.startswith("Input ") else text


def _subject(error: ErrorDetails) -> str:
    return f"{_shown(error['input'])}: "


def _shown(value: object) -> str:
    text = "empty" if value is None else repr(value)
    return text if len(text) <= SHOWN_LIMIT else text[: SHOWN_LIMIT - 1] + "…"


def _nearest(name: str, known: Sequence[str] | dict[str, Any]) -> str:
    near = difflib.get_close_matches(name.lower().replace("-", "_"), [*known], n=1)
    allowed = f"; allowed: {', '.join(known)}" if known else ""
    return (f"; did you mean {near[0]}?" if near else "") + allowed


def _field(shape: dict[str, Any], location: Location) -> dict[str, Any]:
    """Follow a location through a JSON Schema, into every member of a union; {} where it leads nowhere."""
    reached = _members(shape, shape)
    for part in location:
        key = "items" if isinstance(part, int) else "properties"
        inner = [step[key] for step in reached if key in step]
        inner = inner if isinstance(part, int) else [named[part] for named in inner if part in named]
        reached = [member for found in inner for member in _members(shape, found)]
    return next((member for member in reached if "properties" in member), reached[0] if reached else {})


def _members(shape: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a schema with its reference resolved, then the members of its union."""
    name = part.get("$ref", "").removeprefix("#/$defs/")
    whole = {**shape["$defs"][name], **part} if name else part
    return [whole, *(member for option in whole.get("anyOf", []) for member in _members(shape, option))]
