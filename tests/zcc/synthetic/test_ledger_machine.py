"""The ledger as a machine: leases in several pools, floods, live flows, releases and restarts in any order, beside a model.

The model is the list of all answers ever given and of all flows, each with its time. What must hold at every step:

    a name keeps its address until its pool's idle time has passed without a question or a flow
    an address is never two names' at once, nor another name's before its quarantine has passed without a flow
    a name under a wildcard never takes what the reserved share still needs: a configured name of the share is never told "full"
    reading the records again gives the same ledger
"""

from __future__ import annotations

from ipaddress import IPv4Network

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from zcc.synthetic.audit import tenures
from zcc.synthetic.ledger import Ledger, Outcome
from zcc.synthetic.pool import Pool
from zcc.synthetic.record import Record

POOLS = (Pool(IPv4Network("10.254.0.0/28"), 0.25, "default", quarantine_s=100, idle_s=1000),  # 13 addresses, 4 reserved
         Pool(IPv4Network("10.9.0.0/29"), 0.4, "second", quarantine_s=30, idle_s=200))        # 5 addresses, 2 reserved
BY_NAME = {pool.name: pool for pool in POOLS}
CONFIGURED = ("exact0", "exact1")    # as many as the smaller share
POOL = st.sampled_from([pool.name for pool in POOLS])
WILD = st.integers(0, 25).map(lambda number: f"{number}.wild")


class LedgerMachine(RuleBasedStateMachine):
    """One ledger, its stored records, and what was said when."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.stored: list[Record] = []
        self.marks: dict[int, float] = {}                              # what the store knows of uses
        self.used: dict[int, float] = {}                               # address → last question or flow
        self.said: dict[tuple[str, str], tuple[int, float]] = {}       # (pool, name) → address, when last said
        self.last: dict[int, str] = {}                                 # address → who was told last that it is theirs
        self.ledger = Ledger(POOLS)

    def ask(self, pool: str, name: str, configured: bool) -> Outcome | None:
        planned = self.ledger.plan(name, configured, self.now, pool)
        if isinstance(planned, Record):
            self.stored.append(planned)
            self.ledger.apply(planned)
        held = self.ledger.holding(name, pool)
        if held is None:
            return Outcome.FULL
        assert held.address in BY_NAME[pool]
        before = self.said.get((pool, name))
        if before is not None and self.last[before[0]] == name:
            assert held.address == before[0], "a name got another address while nobody else had its own"
        earlier = self.last.get(held.address, name)
        if earlier != name:
            silent = self.now - self.used[held.address]
            assert silent >= BY_NAME[pool].quarantine_s, f"{earlier} lost {held.address} after {silent} s of silence"
        self.said[pool, name], self.last[held.address] = (held.address, self.now), name
        self.use(held.address)
        return None

    def use(self, address: int) -> None:
        self.ledger.use(address, self.now)
        self.used[address] = self.marks[address] = self.now

    @rule(seconds=st.sampled_from([1, 10, 31, 101, 201, 1001]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(pool=POOL, name=st.sampled_from(CONFIGURED))
    def ask_configured(self, pool: str, name: str) -> None:
        assert self.ask(pool, name, True) is None, "a configured name of the reserved share found the pool full"

    @rule(pool=POOL, name=WILD)
    def ask_wild(self, pool: str, name: str) -> None:
        self.ask(pool, name, False)

    @rule(pool=POOL, first=st.integers(0, 10**6))
    def flood(self, pool: str, first: int) -> None:
        outcomes = [self.ask(pool, f"{number}.flood", False) for number in range(first, first + 30)]
        assert Outcome.FULL in outcomes

    @rule(data=st.data())
    def carry_flow(self, data: st.DataObject) -> None:
        if self.used:
            self.use(data.draw(st.sampled_from(sorted(self.used))))

    @rule()
    def release(self) -> None:
        for record in self.ledger.plan_idle(lambda name: name in CONFIGURED, self.now):
            of = self.ledger.pool_of(record.address)
            assert of is not None and self.now - self.used[record.address] >= of.idle_s and record.name not in CONFIGURED
            self.stored.append(record)
            self.ledger.apply(record)

    @rule()
    def restart(self) -> None:
        again = Ledger(POOLS, self.stored)
        again.recall(self.marks)
        for pool in POOLS:
            assert {held.name: held.address for held in again.holdings()} == {
                held.name: held.address for held in self.ledger.holdings()}
            assert again.free(self.now, pool.name) == self.ledger.free(self.now, pool.name)
        self.ledger = again

    @invariant()
    def nobody_shares_an_address(self) -> None:
        held = [(one.address, one.name) for one in self.ledger.holdings()]
        assert len({address for address, _ in held}) == len(held)
        open_now = {(one.address, one.name) for one in tenures(self.stored) if one.until is None}
        assert open_now == set(held), "the audit names other holders"


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
