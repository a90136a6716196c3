"""Names of objects, and the name of one object in another.

Journey: every object of zcc.policy.objects has one. A name is 1 to 255 characters, printable, with no space at either
end. It decides nothing.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

__all__ = ["Description", "ObjectName"]

NAME_LIMIT = 255
DESCRIPTION_LIMIT = 10_240


def _printable(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError(f"{value!r} is no name; allowed: printable characters, with no space at either end")
    return value


ObjectName = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT), AfterValidator(_printable)]
Description = Annotated[str, Field(max_length=DESCRIPTION_LIMIT)]
