"""zcc.synthetic.ledger: one address a name, for good, whatever happens to other names."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.synthetic.audit import Tenure, tenures
from zcc.synthetic.ledger import Ledger, Outcome
from zcc.synthetic.pool import Pool
from zcc.synthetic.record import Record, RecordKind

QUARANTINE_S, IDLE_S = 100.0, 1000.0
TIMES = {"quarantine_s": QUARANTINE_S, "idle_s": IDLE_S}
POOL = Pool(IPv4Network("10.254.0.0/28"), 0.25, **TIMES)     # 13 addresses, 4 of them reserved
SMALL = Pool(IPv4Network("10.254.0.0/29"), 0, **TIMES)


def make(pool: Pool = POOL, records: list[Record] | None = None) -> Ledger:
    return Ledger([pool], records or ())


def lease(ledger: Ledger, name: str, now: float = 0.0, configured: bool = False) -> str | Outcome:
    planned = ledger.plan(name, configured, now)
    if isinstance(planned, Record):
        ledger.apply(planned)
    held = ledger.holding(name)
    return str(IPv4Address(held.address)) if held else planned  # type: ignore[return-value]


def use(ledger: Ledger, name: str, now: float) -> None:
    held = ledger.holding(name)
    if held is not None:
        ledger.use(held.address, now)


def former(ledger: Ledger, address: str) -> str | None:
    rest = ledger.former(int(IPv4Address(address)))
    return rest.name if rest is not None else None


def release_idle(ledger: Ledger, now: float, configured: tuple[str, ...] = ()) -> list[str]:
    records = ledger.plan_idle(lambda name: name in configured, now)
    for record in records:
        ledger.apply(record)
    return [record.name for record in records]


def test_network_first_host_and_broadcast_are_not_given_out() -> None:
    ledger = make(SMALL)
    given_out = [lease(ledger, f"n{index}.example") for index in range(5)]
    assert given_out == [f"10.254.0.{last}" for last in range(2, 7)]
    assert lease(ledger, "one.more.example") is Outcome.FULL


def test_a_name_keeps_its_address() -> None:
    ledger = make()
    first = lease(ledger, "a.example")
    lease(ledger, "b.example", 1)
    assert ledger.plan("a.example", False, 2) is Outcome.HELD
    assert lease(ledger, "a.example", 3) == first


def test_a_flood_under_wildcards_leaves_the_reserved_share() -> None:
    ledger = make()
    flood = [lease(ledger, f"{index}.wild.example") for index in range(100)]
    assert sum(address is not Outcome.FULL for address in flood) == POOL.capacity - POOL.reserved
    configured = [lease(ledger, f"{index}.exact.example", configured=True) for index in range(5)]
    assert [address is Outcome.FULL for address in configured] == [False] * 4 + [True]


def test_configured_names_beyond_their_share_use_the_rest() -> None:
    ledger = make()
    assert Outcome.FULL not in [lease(ledger, f"{index}.exact.example", configured=True) for index in range(13)]
    assert ledger.free(0) == (0, 0)


def test_a_name_that_becomes_configured_keeps_its_address() -> None:
    ledger = make()
    address = lease(ledger, "a.example")
    assert lease(ledger, "a.example", configured=True) == address
    assert ledger.history(int(IPv4Address(str(address))))[-1].kind is RecordKind.CONFIGURED
    assert ledger.free(0) == (12, 9)


def test_only_idle_names_that_are_not_configured_are_released() -> None:
    ledger = make()
    for name in ("a", "b", "c"):
        lease(ledger, name)
    use(ledger, "b", 500)
    assert release_idle(ledger, IDLE_S, ("c",)) == ["a"]
    assert [held.name for held in ledger.holdings()] == ["b", "c"]


def test_a_released_address_rests_before_another_name_gets_it() -> None:
    ledger = make(SMALL)
    for index in range(5):
        lease(ledger, str(index))
    use(ledger, "4", IDLE_S)
    release_idle(ledger, IDLE_S)
    assert lease(ledger, "new", IDLE_S + QUARANTINE_S - 1) is Outcome.FULL
    assert lease(ledger, "new", IDLE_S + QUARANTINE_S) == "10.254.0.2"
    assert former(ledger, "10.254.0.3") == "1"


def test_a_name_that_returns_gets_its_own_address_back_without_waiting() -> None:
    ledger = make(SMALL)
    for index in range(5):
        lease(ledger, str(index))
    use(ledger, "4", IDLE_S)
    release_idle(ledger, IDLE_S)
    assert lease(ledger, "2", IDLE_S + 1) == "10.254.0.4"


def test_history_says_who_held_an_address_when() -> None:
    ledger = make()
    lease(ledger, "a", 5)
    release_idle(ledger, IDLE_S + 5)
    address = int(IPv4Address("10.254.0.2"))
    assert [(one.kind, one.name, one.at) for one in ledger.history(address)] == [
        (RecordKind.LEASED, "a", 5.0), (RecordKind.RELEASED, "a", IDLE_S + 5)]
    assert ledger.holder(address) is None and former(ledger, "10.254.0.2") == "a"


def test_a_pool_that_moves_gives_new_addresses_and_moving_back_the_old_ones() -> None:
    records: list[Record] = []
    elsewhere = Pool(IPv4Network("10.99.0.0/28"), 0.25, **TIMES)
    for pool, expected in ((POOL, "10.254.0.2"), (elsewhere, "10.99.0.2"), (POOL, "10.254.0.2")):
        ledger = make(pool, records)
        planned = ledger.plan("a", False, 0.0)
        records += [planned] if isinstance(planned, Record) else []
        assert lease(ledger, "a") == expected


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([(2, "a", 0x0AFE0002)], id="a gap in the sequence"),
        pytest.param([(1, "a", 0x0AFE0002), (2, "b", 0x0AFE0002)], id="one address twice"),
    ],
)
def test_records_that_contradict_each_other_are_refused(records: list[tuple[int, str, int]]) -> None:
    with pytest.raises(ValueError, match="record"):
        make(records=[Record(number, RecordKind.LEASED, name, address, False, 0) for number, name, address in records])


NAMES = st.sampled_from([f"{letter}.example" for letter in "abcdefghijklmnopqrstuvwxyz"])
STEPS = st.tuples(st.sampled_from(["lease", "lease", "configure", "touch", "idle"]), NAMES, st.floats(0, 400))


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_no_event_on_one_name_changes_another(steps: list[tuple[str, str, float]]) -> None:
    ledger, now, stored = make(), 0.0, []
    for action, name, pause in steps:
        now += pause
        before = {held.name: held.address for held in ledger.holdings()}
        idle = {held.name for held in ledger.holdings() if now - held.used >= IDLE_S}
        if action == "touch":
            use(ledger, name, now)
        else:
            planned = ledger.plan(name, action == "configure", now)
            records = ledger.plan_idle(lambda _: False, now) if action == "idle" else [planned]
            for record in records:
                if isinstance(record, Record):
                    ledger.apply(record)
                    stored.append(record)
        after = {held.name: held.address for held in ledger.holdings()}
        for other, address in before.items():
            if action == "idle" and other in idle:
                assert other not in after
            else:
                assert after[other] == address
        assert len(set(after.values())) == len(after)
        assert all(POOL.low <= address <= POOL.high for address in after.values())
    again = make(records=stored)
    assert {held.name: held.address for held in again.holdings()} == {
        held.name: held.address for held in ledger.holdings()}
    assert again.free(now) == ledger.free(now)


def two() -> Ledger:
    return Ledger([POOL, Pool(IPv4Network("10.9.0.0/29"), 0, "second", 10, 100)])


def take(ledger: Ledger, name: str, pool: str, now: float = 0.0) -> str | Outcome:
    planned = ledger.plan(name, False, now, pool)
    if isinstance(planned, Record):
        ledger.apply(planned)
    held = ledger.holding(name, pool)
    return str(IPv4Address(held.address)) if held else planned  # type: ignore[return-value]


def test_a_name_has_an_address_in_each_pool_and_a_full_one_takes_none_of_another() -> None:
    ledger = two()
    assert [take(ledger, "a", "default"), take(ledger, "a", "second")] == ["10.254.0.2", "10.9.0.2"]
    assert [take(ledger, str(n), "second") for n in range(5)][-1] is Outcome.FULL
    assert take(ledger, "b", "default") == "10.254.0.3"
    of = [ledger.pool_of(int(IPv4Address(one))) for one in ("10.9.0.6", "10.9.0.7", "10.254.0.1")]
    assert of == [ledger.pools[0], None, None]
    assert ledger.free(0, "second") == (0, 0) and ledger.free(0) == (11, 7)


def test_each_pool_has_its_own_times() -> None:
    ledger = two()
    for pool in ("default", "second"):
        take(ledger, "a", pool)
    assert [(one.name, str(IPv4Address(one.address))) for one in ledger.plan_idle(lambda _: False, 100)] == [("a", "10.9.0.2")]


def test_an_address_with_live_flows_rests_on() -> None:
    ledger = make(SMALL)
    for index in range(5):
        lease(ledger, str(index))
    release_idle(ledger, IDLE_S)
    address = int(IPv4Address("10.254.0.2"))
    assert ledger.use(address, IDLE_S + 99) and not ledger.use(address + 100, 0)
    given = [lease(ledger, f"new{index}", IDLE_S + QUARANTINE_S) for index in range(5)]
    assert given[-1] is Outcome.FULL and "10.254.0.2" not in given
    assert lease(ledger, "late", IDLE_S + 99 + QUARANTINE_S) == "10.254.0.2"


def test_released_names_that_come_back_do_not_take_the_reserved_share() -> None:
    """Nine names fill what wildcards may have, are released, and nine others take it: then the first nine return."""
    ledger, end = make(), IDLE_S + QUARANTINE_S
    first = [f"{index}.first" for index in range(9)]
    assert Outcome.FULL not in [lease(ledger, name) for name in first]
    release_idle(ledger, IDLE_S)
    assert Outcome.FULL not in [lease(ledger, f"{index}.second", end) for index in range(9)]
    assert [lease(ledger, name, end) for name in first] == [Outcome.FULL] * 9
    assert Outcome.FULL not in [lease(ledger, f"{index}.exact", end, configured=True) for index in range(4)]


@pytest.mark.parametrize(
    ("pools", "words"),
    [([POOL, Pool(IPv4Network("10.254.0.0/29"), 0, "b")], "default 10.254.0.0/28 overlaps b 10.254.0.0/29"),
     ([POOL, Pool(IPv4Network("10.9.0.0/29"))], "two have one name")],
)
def test_pools_that_can_not_be_beside_each_other_are_refused(pools: list[Pool], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Ledger(sorted(pools, key=lambda pool: pool.network.prefixlen))


def test_records_of_the_time_of_one_pool_are_read_as_they_were_meant() -> None:
    """The pool moved away and back; meanwhile its name had an address elsewhere, and then another name got the first one."""
    there, elsewhere = int(IPv4Address("10.254.0.2")), int(IPv4Address("10.99.0.2"))
    records = [Record(1, RecordKind.LEASED, "a", there, False, 0), Record(2, RecordKind.LEASED, "a", elsewhere, False, 1),
               Record(3, RecordKind.LEASED, "b", there, False, 2)]
    with pytest.raises(ValueError, match="record: 3 leases an address that is held"):
        Ledger([POOL], records)
    ledger = Ledger([POOL], records, single_until=3)
    holder = ledger.holder(there)
    assert holder is not None and holder.name == "b" and ledger.holding("a") is None


def test_an_address_that_no_pool_has_any_more_keeps_its_name_until_nobody_can_say_it_and_is_nobody_s_then() -> None:
    wide, narrow = (Pool(IPv4Network(f"10.254.0.0/{bits}"), 0, renew_s=60.0, **TIMES) for bits in (28, 29))
    ledger, records = make(wide), list[Record]()
    for n in range(10):
        planned = ledger.plan(f"n{n}.example", False, float(n))
        assert isinstance(planned, Record)
        ledger.apply(planned)
        records.append(planned)
    narrowed = Ledger([narrow], records)
    assert [held.name for held in narrowed.leaving] == [f"n{n}.example" for n in range(5, 10)]
    outside = narrowed.leaving[0]
    assert narrowed.holder(outside.address) is outside and narrowed.former(outside.address) is None
    assert narrowed.holding("n5.example") is None and narrowed.holding("n4.example") is not None
    assert lease(narrowed, "n5.example", 20.0) is Outcome.FULL      # it is given none outside, though it has one there
    assert narrowed.use(outside.address, 100.0)                     # a live flow
    gone = release_idle(narrowed, 100.0)
    assert gone == ["n6.example", "n7.example", "n8.example", "n9.example"] and [*narrowed.leaving] == [outside]
    assert release_idle(narrowed, 160.0) == ["n5.example"] and narrowed.leaving == ()
    assert narrowed.holder(outside.address) is None and not narrowed.use(outside.address, 161.0)
    assert narrowed.history(outside.address)[-1].kind is RecordKind.RELEASED


def test_a_pool_that_grows_again_finds_its_names_where_they_were() -> None:
    wide, narrow = (Pool(IPv4Network(f"10.254.0.0/{bits}"), 0, renew_s=60.0, **TIMES) for bits in (28, 29))
    records: list[Record] = []

    def run(pool: Pool, *names: str, now: float) -> Ledger:
        ledger = Ledger([pool], records)
        for name in names:
            if isinstance(planned := ledger.plan(name, False, now), Record):
                ledger.apply(planned)
                records.append(planned)
        for record in ledger.plan_idle(lambda name: name in names, now):
            ledger.apply(record)
            records.append(record)
        return ledger

    run(wide, *(f"n{n}.example" for n in range(7)), now=0.0)
    run(narrow, now=2000.0)                                          # all are released, those outside too
    narrowed = run(narrow, "n6.example", now=2500.0)                 # and one gets another address
    again = Ledger([wide], records)
    assert again.leaving == () and again.holding("n6.example") == narrowed.holding("n6.example")
    assert former(again, "10.254.0.7") == "n5.example" and former(again, "10.254.0.8") == "n6.example"


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([27, 28, 29]), st.floats(0, 400)), max_size=40))
@settings(deadline=None)
def test_whatever_becomes_of_the_pools_no_address_ever_has_two_names(steps: list[tuple[str, int, float]]) -> None:
    records: list[Record] = []
    now = 0.0
    for name, bits, later in steps:
        now += later
        ledger = Ledger([Pool(IPv4Network(f"10.254.0.0/{bits}"), 0.0, renew_s=60.0, quarantine_s=50.0, idle_s=300.0)], records)
        planned = ledger.plan(name, False, now)
        for record in [*([planned] if isinstance(planned, Record) else ledger.plan_idle(lambda _: False, now))]:
            ledger.apply(record)
            records.append(record)
    by_address: dict[int, list[Tenure]] = {}
    for span in tenures(records):
        by_address.setdefault(span.address, []).append(span)
    for spans in by_address.values():
        for one, other in itertools.pairwise(spans):
            assert one.name == other.name or (one.until is not None and one.until <= other.since)
