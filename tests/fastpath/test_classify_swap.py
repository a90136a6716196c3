"""Rule sets are exchanged while another thread decides by them: every packet is decided, each batch by one set, whole."""

import threading
from ipaddress import ip_address

import numpy as np

from criteria_strategies import batch_of, labels, patterns
from fastpath.classify import RuleSet
from fastpath.criteria import Criteria

CLAUSES, SWAPS, NAMES = 200, 150, 64
PAIR = ip_address("10.0.0.1"), ip_address("192.0.2.1")


def rules_of(generation):
    """Location i + 1 is decided by rule (i + generation) % CLAUSES; every name of x.corp by rule CLAUSES."""
    wanted = [(i, (i - generation) % CLAUSES) for i in range(CLAUSES)]
    return RuleSet(
        generation, actions=np.zeros(CLAUSES + 2, np.uint8), rule_of=np.arange(CLAUSES + 1, dtype=np.int32),
        name_capacity=NAMES,
        criteria=Criteria(
            location=labels(wanted, [[], *([i] for i in range(CLAUSES))]),
            destination_name=patterns(["*.x.corp"], [False], [(CLAUSES, 0, False)])))  # fmt: skip


class Reader(threading.Thread):
    """Decides batch after batch by the set in force, and remembers what was wrong."""

    def __init__(self, force):
        super().__init__()
        self.force, self.wrong, self.batches, self.seen, self.done = force, [], 0, set(), threading.Event()

    def run(self):
        places = list(range(1, CLAUSES + 1)) + [0] * (NAMES - 1)
        batch, locations, _ = batch_of([(PAIR, 6, 1, 80, 0, 1, place, 0) for place in places])
        names = np.array([0] * CLAUSES + list(range(1, NAMES)), np.uint32)
        out = np.zeros(len(places), np.int32)
        while not self.done.is_set():
            rules = self.force[0]
            out[:] = -7
            decided = rules.decide_batch(batch, locations, names, out)
            right = (np.arange(CLAUSES) + rules.generation) % CLAUSES
            # A name is bound or not yet; a number that is being bound reads as either.
            named = np.isin(out[CLAUSES:], (CLAUSES, CLAUSES + 1)).all()
            if decided != len(places) or (out[:CLAUSES] != right).any() or not named:
                self.wrong.append((rules.generation, out.tolist()))
            self.batches += 1
            self.seen.add(rules.generation)


def test_a_reader_sees_one_set_or_the_other_and_loses_no_packet():
    force = [rules_of(0)]
    reader = Reader(force)
    reader.start()
    try:
        for generation in range(1, SWAPS):
            force[0] = rules_of(generation)         # the one before is freed when the reader has left it
            for number in range(1, NAMES):
                force[0].bind_name(number, f"h{number}.x.corp")
    finally:
        reader.done.set()
        reader.join()
    assert not reader.wrong and reader.batches > SWAPS // 10 and len(reader.seen) > 2
