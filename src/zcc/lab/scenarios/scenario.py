"""What a row of the lab is. Pure data; used by every scenario module, the table and the runner."""

from collections.abc import Callable
from dataclasses import dataclass

from zcc.lab.deployment import Deployment

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Seen:
    """What a row saw, in a few words, and whether that is what it expected."""

    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Lab:
    """What a row works with: the running system and the size of its downloads."""

    deployment: Deployment
    download_bytes: int = GIB


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row.

    Args:
        name: for --only; kebab case.
        title: what happens.
        expected: what must be seen.
        judge: makes it happen and looks; a ZccError or OSError from it is a failure, too.
        limit_s: how long it may take.
        daemons: whose last log lines help when it fails.
    """

    name: str
    title: str
    expected: str
    judge: Callable[[Lab], Seen]
    limit_s: float = 30.0
    daemons: tuple[str, ...] = ("cc-1", "cc-2")
