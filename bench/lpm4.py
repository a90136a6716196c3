"""IPv4 longest prefix match, batches of 64."""

from __future__ import annotations

from collections.abc import Iterator

from bench.harness import Case
from bench.lpm_cases import lpm_cases


def cases(quick: bool) -> Iterator[Case]:
    """Lookup by kind of address; making the table; its memory; one change."""
    return lpm_cases(4, quick)
