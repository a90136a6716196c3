"""First packets: find the rule of each packet, with 100, 1,000 and 10,000 rules over all criteria.

Every packet is another one, so that its rows are seldom in the nearest cache. compile-10000 makes the data plane's rule set
of a policy, with 1,000,000 names that have a number (200,000 of them fall under a rule's pattern); stall-10000 is the longest
that another Python thread had to wait meanwhile; swap is what the control plane's own thread does to put it in force.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from bench.harness import Case
from bench.policies import MAPPED, packets_of, policy_of, world
from fastpath import classify, nametable
from model import classify as reference
from model import nametable as reference_names
from zcc.connector.ruleset import NameBinder, RuleSet, build_ruleset, ruleset_arguments, tables_of
from zcc.policy.compile import CompiledPolicy, compile_policy
from zcc.policy.model import Policy
from zcc.policy.name_categories import NameCategories
from zcc.policy.names import NameBook
from zcc.policy.world import World

RULES, RULES_QUICK = (100, 1000, 10_000), (100, 1000)
SIZES = (1, 32, 256)
PACKETS, PACKETS_QUICK = 8192, 512
NAMES, LEARNED, LEARNED_QUICK = 16_384, 1_000_000, 20_000
SEED = bytes(range(32))


def cases(quick: bool) -> Iterator[Case]:
    """<rules>-rules and -batch-<size>, the look-up of a name by address, compile, stall and swap."""
    around = world()
    for rules in RULES_QUICK if quick else RULES:
        policy, names = policy_of(rules), book(rules, 30_000)
        compiled = compile_policy(policy, "g", names, around)
        yield from deciding(compiled, around, rules, PACKETS_QUICK if quick else PACKETS)
    yield from compiling(policy, around, book(rules, LEARNED_QUICK if quick else LEARNED), rules)
    for impl, module in (("fastpath", nametable), ("reference", reference_names)):
        yield Case(impl, f"name-{NAMES}", "ns", 64, naming(module.NameTable(2 * NAMES, SEED)))


def book(rules: int, names: int) -> NameBook:
    """Numbers of names; a fifth of them are below a destination of the policy."""
    made = NameBook()
    for i in range(names):
        made.id_of(f"host{i}.d{i % (3 * rules)}.example" if i % 5 == 0 else f"www{i}.site{i % 1000}.test")
    return made


def deciding(compiled: CompiledPolicy, around: World, rules: int, packets: int) -> Iterator[Case]:
    """Decide batches in turn; the reference has one packet."""
    arguments = ruleset_arguments(compiled, tables_of(compiled, around))
    made, slow = classify.RuleSet(1, **arguments), reference.RuleSet(1, **arguments)
    for size in SIZES:
        case = f"{rules}-rules" if size == max(SIZES) else f"{rules}-rules-batch-{size}"
        turns = itertools.cycle(packets_of(compiled, rules, size, max(2, min(1024, packets // size)), compiled.name_count))
        yield Case("fastpath", case, "ns", size, lambda turns=turns: made.decide_batch(*next(turns)))  # type: ignore[misc]
        one = packets_of(compiled, rules, 1, 1, compiled.name_count)[0]
        yield Case("reference", case, "ns", 1, lambda one=one: slow.decide_batch(*one))  # type: ignore[misc]
    yield Case("fastpath", f"{rules}-rules-memory", "MiB", 1, lambda: made.nbytes / 2**20)


def compiling(policy: Policy, around: World, names: NameBook, rules: int) -> Iterator[Case]:
    """Make a rule set, and put it in force. The categories of names are known from before, as after an edit of rules."""
    categories = NameCategories()

    def compile_all() -> tuple[CompiledPolicy, RuleSet]:
        compiled = compile_policy(policy, "g", names, around, categories)
        return compiled, build_ruleset(compiled, 1, tables_of(compiled, around))

    yield Case("fastpath", f"compile-{rules}", "s", 1, compile_all)
    yield Case("fastpath", f"stall-{rules}", "ms (longest)", 1, lambda: longest_wait(compile_all))
    made = compile_all()
    binder = NameBinder(names, *made)
    yield Case("fastpath", "swap", "us", 1, lambda: binder.adopt(*made))


def longest_wait(work: Callable[[], object]) -> float:
    """The longest pause in ms of a thread that wants to go on at every moment, while another does the work."""
    thread, longest = threading.Thread(target=work), 0.0
    thread.start()
    last = time.perf_counter()
    while thread.is_alive():
        time.sleep(0.0001)       # gives the interpreter away, as waiting for packets does
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest * 1e3


def naming(table: nametable.NameTable) -> Callable[[], object]:
    """Look up 64 of the addresses, one call each; the worker does so without Python between."""
    addresses = [MAPPED + (0x0B000000 + i).to_bytes(4) for i in range(NAMES)]
    for i, address in enumerate(addresses):
        table.insert(1, address, i + 1, 1000)
    asked = [addresses[i] for i in np.random.default_rng(5).integers(0, NAMES, 64)]

    def look_up() -> None:
        for address in asked:
            table.lookup(1, address, 1)

    return look_up
