"""fastpath.pools: an address is in one of the networks or in none, as each network by itself says."""

import threading
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath.pools import Pools
from model.pools import Pools as Model

IMPLEMENTATIONS = [pytest.param(Pools, id="fastpath"), pytest.param(Model, id="reference")]


def apart(networks: list[IPv4Network]) -> list[IPv4Network]:
    kept: list[IPv4Network] = []
    for network in networks:
        if not any(network.overlaps(other) for other in kept):
            kept.append(network)
    return kept


NETWORK = st.builds(lambda *of: IPv4Network(of, strict=False), st.integers(0, 2**32 - 1), st.integers(4, 32))
NETWORKS = st.lists(NETWORK, min_size=1, max_size=40).map(apart)


@given(NETWORKS, st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_native_and_reference_agree_also_at_the_edges_of_each_network(networks, others):
    native, model = Pools(networks), Model(networks)
    edges = [end + step for network in networks for step in (-1, 0, 1)
             for end in (int(network.network_address), int(network.broadcast_address))]
    for number in (*others, *(edge for edge in edges if 0 <= edge < 2**32)):
        assert (IPv4Address(number) in native) == (IPv4Address(number) in model), IPv4Address(number)


@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_256_pools_are_told_apart(kind):
    networks = [IPv4Network(f"10.{number}.0.0/17") for number in range(256)]
    pools = kind(reversed(networks))
    assert pools.size == 256
    assert all(network[0] in pools and network[-1] in pools and network[-1] + 1 not in pools for network in networks)


@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("networks", "error", "words"),
    [
        pytest.param([], ValueError, "networks must be 1 to 256, not 0", id="none"),
        pytest.param([IPv4Network(number << 8) for number in range(257)], ValueError, "not 257", id="too many"),
        pytest.param([IPv4Network("10.0.0.0/8"), IPv4Network("10.254.0.0/19")], ValueError, "overlap", id="overlap"),
        pytest.param(["10.0.0.0/8"], TypeError, "networks must be IPv4Network objects, not str", id="text"),
    ],
)
def test_wrong_networks_are_refused(kind, networks, error, words):
    with pytest.raises(error, match=words):
        kind(networks)


@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_only_addresses_can_be_asked_for(kind):
    with pytest.raises(TypeError, match="address must be an IPv4Address, not int"):
        5 in kind([IPv4Network("10.0.0.0/8")])  # noqa: B015


@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_other_networks_take_the_place_of_all_and_wrong_ones_change_nothing(kind):
    first, other = IPv4Network("10.0.0.0/24"), IPv4Network("10.1.0.0/24")
    pools = kind([first])
    for _ in range(200):
        pools.replace([other, IPv4Network("10.2.0.0/24")])
        assert first[1] not in pools and other[1] in pools and pools.size == 2
        with pytest.raises(ValueError, match="overlap"):
            pools.replace([first, IPv4Network("10.0.0.0/8")])
        assert first[1] not in pools and other[1] in pools and pools.size == 2
        pools.replace([first])
        assert first[1] in pools and other[1] not in pools and pools.size == 1


def test_a_thread_that_asks_meanwhile_sees_one_set_or_the_other():
    both = IPv4Address("10.5.0.1")        # in each set, at another place of it
    sets = [[IPv4Network(f"10.{n}.0.0/24") for n in range(6)], [IPv4Network("10.5.0.0/16")]]
    pools, seen = Pools(sets[0]), [True]

    def ask() -> None:
        seen.extend(both in pools for _ in range(20_000))

    asking = threading.Thread(target=ask)
    asking.start()
    turn = 0
    while asking.is_alive():
        turn += 1
        pools.replace(sets[turn % 2])
    assert all(seen)
