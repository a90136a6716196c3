"""Aliases of workloads: the address of one by its workload and back, one call each; the worker's look-ups take no call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import numpy as np

from bench.harness import Case
from fastpath import alias
from model import alias as reference

WORKLOADS = 4096
ASKED = 64


def cases(quick: bool) -> Iterator[Case]:
    """Both directions over as many workloads, the same addresses in eight namespaces."""
    for impl, module in (("fastpath", alias), ("reference", reference)):
        workloads = [(i % 8, IPv4Address(0x0A080000 + i // 8)) for i in range(WORKLOADS)]
        table = module.AliasTable("100.64.0.1")
        given = [table.alias(*workload) for workload in workloads]
        chosen = np.random.default_rng(5).integers(0, WORKLOADS, ASKED)
        yield Case(impl, f"alias-{WORKLOADS}", "ns", ASKED, there(table, [workloads[i] for i in chosen]))
        yield Case(impl, f"workload-{WORKLOADS}", "ns", ASKED, back(table, [given[i] for i in chosen]))


def there(table: alias.AliasTable, workloads: list[tuple[int, IPv4Address]]) -> Callable[[], object]:
    """The alias of each workload."""

    def look_up() -> None:
        for namespace, address in workloads:
            table.alias(namespace, address)

    return look_up


def back(table: alias.AliasTable, aliases: list[IPv4Address]) -> Callable[[], object]:
    """The workload of each alias."""

    def look_up() -> None:
        for address in aliases:
            table.workload(address)

    return look_up
