"""Unnamed: how a flow's name is known, and the causes for which it can not be.

Journey: rules name causes; decide, compile, the session log and `zcc explain` share the words. A cause counts only if nothing
else names the flow: the name of its address, from a DNS answer, stands where its own words name nothing for sure.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

__all__ = ["ANY", "NAMINGS", "Unnamed", "UnnamedField"]

ANY = "any"


class Unnamed(StrEnum):
    """Why a name can not be known."""

    ECH = "ech"  # TLS or QUIC with an encrypted ClientHello; the name outside it is that of its provider, or a true one
    NO_NAME = "no-name"  # TLS or QUIC without a server name, HTTP without Host, or an address in its place
    NOT_WEB = "not-web"  # neither TLS nor HTTP/1 nor QUIC
    UNREAD = "unread"  # contradictory, cut short, or beyond the bounds


# All words, in the order of the data plane's numbers: ways in which a name is known, then the causes.
NAMINGS = ("dns", "sni", "host", "quic", *map(str, Unnamed))


def parse_unnamed(value: object) -> tuple[Unnamed, ...]:
    """Read causes; "any" is all of them.

    Raises:
        ValueError: a word is none.
    """
    words: Iterable[Any] = value if isinstance(value, list | tuple) else (value,)
    found: dict[Unnamed, None] = {}
    for word in words:
        if word == ANY:
            found.update(dict.fromkeys(Unnamed))
        elif word in tuple(Unnamed):
            found[Unnamed(word)] = None
        else:
            raise ValueError(f"{word!r} is no cause; allowed: {', '.join(Unnamed)}, {ANY}")
    return tuple(found)


UnnamedField = Annotated[
    tuple[Unnamed, ...],
    BeforeValidator(parse_unnamed),
    WithJsonSchema({"type": "array", "items": {"type": "string", "enum": [*map(str, Unnamed), ANY]},
                    "description": "why a flow's name can not be known"}, mode="validation"),
]
