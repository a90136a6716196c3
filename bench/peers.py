"""Peers while a bench runs: one that fails is left out and named on the standard error; what is ours must not fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
LINE = 160
FAILURES = (OSError, RuntimeError, subprocess.SubprocessError)


class Failed(RuntimeError):
    """What is ours could not be measured; the message names it and says why."""


@dataclass
class Field:
    """What a bench measures: `advice` has a line for each peer, what to do when it fails; all else is ours."""

    bench: str
    advice: dict[str, str]
    left_out: set[str] = field(default_factory=set)

    def measure(self, impl: str, trials: Callable[[], list[T]]) -> list[T]:
        """Return what trials found; nothing of a peer that fails, which is said and not tried again.

        Raises:
            Failed: something of ours failed; it is named.
        """
        if impl in self.left_out:
            return []
        try:
            return trials()
        except FAILURES as error:
            if impl not in self.advice:
                raise Failed(f"{self.bench}: {impl}: {error}") from error
            self.left_out.add(impl)
            why = " ".join(str(error).split())[-LINE:]
            print(f"{self.bench}: {impl} is left out: {why}; {self.advice[impl]}", file=sys.stderr)
            return []
