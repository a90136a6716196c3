"""How many times faster than its pure-Python reference each fastpath module is, at least. Ratios only: a time is noise here.

Both sides are measured in the same process, one after the other, by the least of many rounds, so that another load on the
machine slows both or neither. The bar is 50 (bench/README.md); BELOW says which cases do not reach it, and why.
"""

import gc

import pytest

from bench import harness

BAR = 50
REACHED = (
    ("chain", "16384-flows-256"),
    ("checksum", "batch-32"),
    ("classify", "100-rules"),
    ("classify", "1000-rules"),
    ("dns", "batch-32"),
    ("dns", "batch-256"),
    ("dns", "learn"),
    ("flow", "lookup-65536"),
    ("flowkey", "batch-256"),
    ("geneve", "batch-256"),
    ("geneve", "gwlb-options-256"),
    ("lpm4", "uniform"),
    ("lpm4", "prefix"),
    ("lpm4", "local16k"),
    ("lpm6", "prefix"),
    ("lpm6", "local16k"),
    ("nat", "find-50000"),
    ("nat", "rewrite"),
    ("packet", "batch-256"),
    ("records", "local"),
    ("records", "direct"),
)
BELOW = {
    ("alias", "alias-4096"): (8, "a call an address, and the reference looks through a list"),
    ("alias", "workload-4096"): (0.25, "a call an address, and the reference has the answer in a list"),
    ("checksum", "update-32"): (1.3, "a call a number: the call costs more than the sum; no stage calls it from Python"),
    ("classify", "name-16384"): (1.2, "a call a name, and the reference is a dictionary; the worker looks up without a call"),
    ("dns", "read"): (12, "a call a message, whose answer is a Python object"),
    ("dns", "answer-a"): (8, "a call a message, whose answer is a Python object"),
    ("dtls", "seal-64"): (4, "both sides spend their time in the same cipher"),
    ("dtls", "seal-1300"): (2.5, "both sides spend their time in the same cipher"),
    ("flowkey", "batch-1"): (18, "a call a packet"),
    ("geneve", "batch-1"): (20, "a call a packet"),
    ("packet", "batch-1"): (8, "a call a packet"),
    ("packetio", "udp-send-recv-64"): (1.3, "both sides spend their time in the same kernel"),
    ("ring", "push-drain-1500"): (0.02, "each push wakes the reader by a system call, the reference wakes nobody"),
}
FLOORS = {**dict.fromkeys(REACHED, BAR), **{case: floor for case, (floor, _) in BELOW.items()}}
ROUNDS, REFERENCE_ROUNDS = 40, 9
SPAN_S = 0.002      # least time of a round


def calls_for(case):
    """How many calls make a round; the first one warms up."""
    case.function()
    return max(1, round(SPAN_S / max(harness.seconds(1, case), 1e-7)))


def least(case, rounds):
    """The least time of a call."""
    calls = calls_for(case)
    return min(harness.seconds(calls, case) for _ in range(rounds)) / calls


@pytest.fixture
def quiet():
    """No garbage is collected meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(("name", "case"), [pytest.param(*key, id="-".join(key)) for key in FLOORS])
def test_fastpath_is_so_many_times_faster_than_its_reference(name, case, benchmark, quiet):
    ours = theirs = None
    for made in harness.cases_of(name, quick=True):     # measured before the generator goes on: it may hold what is needed
        if made.case == case and made.impl == "fastpath":
            benchmark.pedantic(made.function, rounds=ROUNDS, iterations=calls_for(made))
            # What prepares its input anew each time knows alone how long it took for itself.
            ours = (least(made, ROUNDS) if made.own_clock else benchmark.stats.stats.min) / made.n
        elif made.case == case and made.impl == "reference":
            theirs = least(made, REFERENCE_ROUNDS) / made.n
        if ours and theirs:
            break
    assert ours and theirs, f"{name} has no case {case} with fastpath and reference"
    benchmark.extra_info["ratio"] = ratio = theirs / ours
    print(f"{name} {case}: {ratio:.1f} times")
    assert ratio >= FLOORS[name, case], f"{ratio:.1f} times as fast as the reference; {FLOORS[name, case]} are wanted"


def test_every_bench_with_a_reference_has_a_floor():
    measured = {name for name, _ in FLOORS}
    for name in harness.names():
        text = (harness.HERE / f"{name}.py").read_text()
        assert name in measured or '"reference"' not in text, f"{name} is measured beside its reference, and has no floor"


def test_a_case_below_the_bar_is_so_for_a_reason():
    assert all(floor < BAR and reason for floor, reason in BELOW.values())
    assert not set(REACHED) & set(BELOW)
