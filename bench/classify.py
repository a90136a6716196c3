"""First packets: find the rule of each packet of a batch of 64, with 10 and with 1,000 rules.

The rules want destination networks or names, and some a port and a source; the packets fall on rules all
over the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bench.harness import Case
from fastpath import classify
from fastpath.batch import PacketBatch
from model import classify as reference
from zcc.connector.ruleset import ruleset_arguments
from zcc.policy.compile import compile_policy
from zcc.policy.model import Policy
from zcc.policy.names import NameBook

BATCH = 64
RULES = (10, 1000)
NAMES = 16_384
MAPPED = bytes(10) + b"\xff\xff"
SEED = bytes(range(32))


def cases(quick: bool) -> Iterator[Case]:
    """decide-<rules> and the look-up of a name by address."""
    for rules in RULES:
        book = NameBook()
        compiled = compile_policy(policy(rules), "g", book)
        for impl, module in (("fastpath", classify), ("reference", reference)):
            made = module.RuleSet(1, **ruleset_arguments(compiled))
            yield Case(impl, f"decide-{rules}", "ns", BATCH, deciding(made, packets(rules)))
    for impl, module in (("fastpath", classify), ("reference", reference)):
        yield Case(impl, f"name-{NAMES}", "ns", BATCH, naming(module.NameTable(2 * NAMES, SEED)))


def policy(rules: int) -> Policy:
    """A policy of `rules` rules; each second one also wants a port and a source."""
    wanted = ({}, {"services": ["tcp/443", "udp/53"], "sources": ["10.0.0.0/8"]})
    listed = [
        {"name": f"r{i}", "method": "DIRECT", "destinations": [f"{network(i)}/24", f"*.n{i}.example"],
         **wanted[i % 2]}
        for i in range(rules)
    ]
    return Policy.model_validate({"rules": listed})


def network(i: int) -> str:
    """The i-th network of the policy."""
    return f"100.{i // 256}.{i % 256}.0"


def packets(rules: int) -> PacketBatch:
    """TCP packets to port 443 of networks all over the policy."""
    batch = PacketBatch(BATCH, 2048)
    batch.reset(BATCH)
    batch.ip_version[:], batch.protocol[:], batch.destination_port[:] = 4, 6, 443
    batch.source[:] = list(MAPPED + bytes([10, 8, 6, 4]))
    for i, number in enumerate(np.random.default_rng(5).integers(0, rules, BATCH)):
        batch.destination[i] = list(MAPPED + bytes([100, int(number) // 256, int(number) % 256, 9]))
    return batch


def deciding(rules: classify.RuleSet, batch: PacketBatch) -> Callable[[], object]:
    """Decide one batch."""
    ids, out = np.zeros(BATCH, np.uint32), np.zeros(BATCH, np.int32)
    return lambda: rules.decide_batch(batch, ids, ids, out)


def naming(table: classify.NameTable) -> Callable[[], object]:
    """Look up 64 of the addresses, one call each; the worker does so without Python between."""
    addresses = [MAPPED + (0x0B000000 + i).to_bytes(4) for i in range(NAMES)]
    for i, address in enumerate(addresses):
        table.insert(1, address, i + 1, 1000)
    asked = [addresses[i] for i in np.random.default_rng(5).integers(0, NAMES, BATCH)]

    def look_up() -> None:
        for address in asked:
            table.lookup(1, address, 1)

    return look_up
