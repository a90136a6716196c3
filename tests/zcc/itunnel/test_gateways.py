"""Which edge takes new flows of which gateway."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcc.connector.routes import GATEWAYS, numbered
from zcc.errors import ZccError
from zcc.itunnel.choice import Choice
from zcc.itunnel.gateways import Gateways, Route

S = 1_000_000_000
NEAR, FAR = Route(1, (1, 0)), Route(2, (2,))


def told(gateways: Gateways, up: list[bool], now: int = 0, by_datagrams: list[bool] | None = None) -> dict[str, int | None]:
    return {move.gateway: move.slot for move in gateways.update(up, up if by_datagrams is None else by_datagrams, now)}


def test_each_gateway_goes_by_the_first_of_its_own_edges():
    gateways = Gateways(3, 5 * S)
    gateways.steer({"near": NEAR, "far": FAR})
    assert told(gateways, [True, True, False]) == {"": 0, "near": 1, "far": None}
    assert told(gateways, [True, True, False], 1) == {}
    assert told(gateways, [True, False, True], 2) == {"near": 0, "far": 2}


def test_a_gateway_returns_to_its_primary_after_the_hold_down():
    gateways = Gateways(3, 5 * S)
    gateways.steer({"near": NEAR})
    told(gateways, [True, True, True])
    assert told(gateways, [True, False, True], 1 * S) == {"near": 0}
    assert told(gateways, [True, True, True], 2 * S) == {}
    assert told(gateways, [True, True, True], 7 * S) == {"near": 1}


def test_an_edge_by_tls_counts_where_none_is_up_by_dtls():
    gateways = Gateways(3, 5 * S)
    gateways.steer({"near": NEAR, "far": FAR})
    nowhere = [False, False, False]
    assert told(gateways, [True, True, True], 0, nowhere) == {"": 0, "near": 1, "far": 2}
    assert told(gateways, [True, True, True], 1, [True, False, False]) == {"near": 0}
    assert list(gateways.beside(1)) == [(0, 2), (0,)]


def test_an_edit_keeps_what_it_does_not_change_and_tells_what_it_does():
    gateways = Gateways(3, 5 * S)
    gateways.steer({"near": NEAR, "far": FAR})
    told(gateways, [True, True, True])
    told(gateways, [True, False, True], 1 * S)
    gateways.steer({"near": NEAR, "far": Route(2, (0, 2))})
    assert told(gateways, [True, True, True], 2 * S) == {"far": 0}      # near still waits for the hold down
    gateways.steer({"near": Route(3, (1, 0))})
    assert told(gateways, [True, True, True], 3 * S) == {"near": 0}     # another number: the data plane knows nothing of it
    assert dict(gateways)["near"].number == 3 and "far" not in dict(gateways)


UPS = st.lists(st.tuples(st.lists(st.booleans(), min_size=4, max_size=4), st.integers(0, 3 * S)), max_size=30)


ORDERS = st.permutations(range(4)).flatmap(lambda order: st.integers(1, 4).map(lambda n: tuple(order[:n])))


@given(st.lists(ORDERS, max_size=4), UPS)
def test_gateways_never_disturb_each_other(orders, changes):
    gateways = Gateways(4, 5 * S)
    gateways.steer({str(number): Route(number, order) for number, order in enumerate(orders, 1)})
    alone = {"": (tuple(range(4)), Choice(4, 5 * S)),
             **{str(number): (order, Choice(len(order), 5 * S)) for number, order in enumerate(orders, 1)}}
    now, known = 0, {}
    for up, pause in changes:
        now += pause
        known.update(told(gateways, up, now))
        for name, (order, choice) in alone.items():
            place = choice.update([up[slot] for slot in order], now)
            assert gateways.active(name) == (None if place is None else order[place]) == known.get(name)


def test_numbers_of_gateways_stay_and_are_not_given_out_again_in_the_next_edit():
    first = numbered(["a", "b", "a"], {})
    assert first == {"a": 1, "b": 2}
    second = numbered(["b", "c"], first)
    assert second == {"b": 2, "c": 3}                # 1 is still what the rules in force call a
    assert numbered(["d", "c"], second) == {"d": 1, "c": 3}
    with pytest.raises(ZccError, match="name at most 1023"):
        numbered(map(str, range(GATEWAYS)), {})
