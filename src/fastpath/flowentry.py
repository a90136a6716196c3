"""A flow as Python sees it: FlowEntry and FlowPath (flows.pxd) as NumPy dtypes, and one flow as a dict.

Pure Python, for the control plane and for tests; never per packet. fastpath.flowtable checks the sizes when it is imported.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

# Seconds a flow of each TimeoutClass (by its number) may be idle. GWLB forgets TCP after 350 s and other flows after 120 s:
# a little longer.
IDLE_S = {0: 400.0, 1: 30.0, 2: 5.0, 3: 130.0, 4: 30.0, 5: 130.0}

ENTRY = np.dtype([
    ("a_address", "u1", 16), ("b_address", "u1", 16), ("a_port", "u2"), ("b_port", "u2"), ("namespace", "u2"),
    ("protocol", "u1"), ("ip_version", "u1"), ("hash", "u8"), ("last_seen_ns", "u8"), ("previous", "i4"), ("next", "i4"),
    ("generation", "u4"), ("rule", "i4"), ("action", "u1"), ("state", "u1"), ("initiator", "u1"), ("timeout_class", "u1"),
    ("tunnel", "u1"), ("used", "u1"), ("nat_port", "u2"), ("packets", "u8", 2), ("bytes", "u8", 2), ("nat_slot", "u4"),
    ("name_id", "u4"), ("location", "u4"), ("owner", "u4")])
PATH = np.dtype([
    ("started_ns", "u8"), ("peer_address", "u4"), ("peer_port", "u2"), ("header_length", "u1"), ("pad", "u1"),
    ("header", "u1", 40)])


def described(entry: np.void, path: np.void, header: bytes) -> dict[str, Any]:
    """Return one element of a table's entries_view and paths_view, and its header, as a dict; addresses as bytes."""
    flow: dict[str, Any] = {name: record[name].tolist() for record in (entry, path) for name in record.dtype.names or ()}
    for name in ("a_address", "b_address"):
        flow[name] = bytes(flow[name])
    flow["header"] = header
    del flow["pad"]
    return flow


def idle_seconds(idle: Mapping[int, float] | None) -> dict[int, float]:
    """Return the seconds of every class: those given, read once, else the default.

    Raises:
        TypeError: idle is no mapping from numbers to numbers.
        ValueError: there is no such class, or its seconds are out of range.
    """
    if not isinstance(idle, Mapping | None):
        raise TypeError(f"idle must be a mapping from TimeoutClass to seconds, not {type(idle).__name__}")
    seconds = dict(IDLE_S)
    for timeout_class, idle_s in (idle or {}).items():
        if not hasattr(type(timeout_class), "__index__"):
            raise TypeError(f"idle: a TimeoutClass must be an int, not {type(timeout_class).__name__}")
        kind = operator.index(timeout_class)
        if kind not in IDLE_S:
            raise ValueError(f"idle: a TimeoutClass must be 0 to {len(IDLE_S) - 1}, not {kind}")
        if not isinstance(idle_s, int | float):
            raise TypeError(f"idle[{kind}] must be a number of seconds, not {type(idle_s).__name__}")
        plain = float(idle_s) if -1 < idle_s < 1e10 else 0.0        # no int that a float can not hold
        if not 0 < plain <= 1e9:
            raise ValueError(f"idle[{kind}] must be above 0 and at most 1e9 seconds, not {idle_s!r}")
        seconds[kind] = plain
    return seconds
