"""The cases that lpm4 and lpm6 share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np
import numpy.typing as npt

from bench import routes
from bench.harness import Case
from bench.lpm_peers import peer_cases
from fastpath import lpm
from model import lpm as reference

REFERENCE_ROUTES = 20_000       # the model takes seconds for more, and its lookup does not depend on it


def lpm_cases(version: int, quick: bool) -> Iterator[Case]:
    """Lookup by kind of address; making the table; its memory; one change."""
    made = routes.table(version, quick)
    table = getattr(lpm, f"Lpm{version}")()
    table.replace_arrays(*made)
    model = getattr(reference, f"Lpm{version}")()
    model.replace_arrays(*(column[:REFERENCE_ROUTES] for column in made))
    queries = routes.queries(version, made, 1 << (16 if quick else 20))
    for kind, addresses in queries.items():
        yield Case("fastpath", kind, "ns", len(addresses), looking_up(table, addresses))
        yield Case("reference", kind, "ns", 256, looking_up(model, addresses[:256]))
    yield Case("fastpath", "build", "s", 1, lambda: table.replace_arrays(*made) or table.reclaim())
    yield Case("fastpath", "memory", "MiB", 1, lambda: table.memory / 2**20)
    for impl, changed in (("fastpath", table), ("reference", model)):
        yield Case(impl, "change", "ns", 2, changing(changed, version))
    yield from peer_cases(version, made, queries)


def looking_up(table: lpm.Lpm4 | lpm.Lpm6, addresses: npt.NDArray[np.integer]) -> Callable[[], object]:
    """Look up all addresses by one call, which works in batches of 64; a call a batch would time the call."""
    out = np.zeros(len(addresses), np.uint32)
    return lambda: table.lookup_batch(addresses, out)


def changing(table: lpm.Lpm4 | lpm.Lpm6, version: int) -> Callable[[], None]:
    """Insert one prefix and remove it again, elsewhere each time."""
    length = 24 if version == 4 else 48
    bits = 32 if version == 4 else 128
    networks = cycle([((0x0B0000 if version == 4 else 0x2A0B00000000) + number << bits - length, length)
                      for number in range(1000)])

    def change() -> None:
        prefix = next(networks)
        table.insert(prefix, 7)
        table.remove(prefix)

    return change
