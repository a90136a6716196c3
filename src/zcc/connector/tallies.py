"""Tallies: what several workers have counted, added up and by name.

Journey: the datapath's counters. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["added_up", "named"]


def added_up(counts: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up what workers have counted, numbers and lists of numbers."""
    total = dict(counts[0])
    for one in counts[1:]:
        for name, value in one.items():
            is_list = isinstance(value, list)
            total[name] = [a + b for a, b in zip(total[name], value, strict=True)] if is_list else total[name] + value
    total["heartbeat_ns"] = min(one["heartbeat_ns"] for one in counts)
    return total


def named(names: dict[int, str], values: Iterable[int]) -> dict[str, int]:
    """Put names on a list of numbers; what has one name is added up."""
    numbers = list(values)
    found = dict.fromkeys(names.values(), 0)
    for key, name in names.items():
        found[name] += numbers[key]
    return found
