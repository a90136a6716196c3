"""Watched: the ports whose flows may say their names.

Journey: zcc.policy.compile → here → the data plane, which copies the first packets of flows to these ports. A flow is worth
watching where a rule looks at its name: patterns, categories, causes. Such a rule's own services say at which ports; a rule
without services means the web's. Rules of applications do not count: the name behind a synthetic address is known. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from zcc.policy.clauses import Clause, Reach
from zcc.policy.criteria import TCP, UDP

__all__ = ["WEB", "holds", "is_watched", "looks_at_names", "watched_ports"]

PORTS = 1 << 16
DNS_PORT = 53  # what is asked there is read already
WEB = tuple(Reach(frozenset({protocol}), (port, port))
            for protocol, port in ((TCP, 80), (TCP, 443), (TCP, 8080), (UDP, 443)))  # fmt: skip


def watched_ports(clauses: Iterable[Clause]) -> bytes:
    """Return a bit for each port of TCP, then of UDP, the lowest first; nothing when no rule looks at names."""
    ports = np.zeros((2, PORTS), np.bool_)
    for clause in clauses:
        if looks_at_names(clause):
            for reach in WEB if clause.services is None else clause.services:
                low, high = reach.ports or (0, PORTS - 1)
                for row, protocol in enumerate((TCP, UDP)):
                    if reach.protocols is None or protocol in reach.protocols:
                        ports[row, low : high + 1] = True
    ports[:, DNS_PORT] = False
    return np.packbits(ports, axis=1, bitorder="little").tobytes() if ports.any() else b""


def is_watched(clauses: Iterable[Clause], protocol: int, port: int) -> bool:
    """Tell whether flows to a port of TCP or UDP may say names that one of some clauses looks at."""
    return holds(watched_ports(clauses), protocol, port)


def holds(bits: bytes, protocol: int, port: int) -> bool:
    """Tell whether a port of TCP or UDP is among those that watched_ports returned."""
    return bool(bits) and bool(bits[(port >> 3) + (len(bits) // 2 if protocol == UDP else 0)] >> (port & 7) & 1)


def looks_at_names(clause: Clause) -> bool:
    """Tell whether a clause is content with some names and not with others."""
    targets = clause.destinations
    of_targets = targets is not None and (targets.patterns or targets.categories)
    return bool(of_targets or clause.categories or clause.unnamed)
