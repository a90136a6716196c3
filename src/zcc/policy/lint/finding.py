"""Finding: what a lint has to say, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from zcc.policy.references import Place

__all__ = ["Finding", "Severity"]


class Severity(StrEnum):
    """ERROR: it can not do what it says. WARNING: it does, and is hardly meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One lint at one place of the configuration."""

    code: str  # of docs/check.md
    place: Place
    message: str  # with what is allowed, or what to do
    severity: Severity = Severity.WARNING
