"""Which addresses are synthetic: the file's, the edge's, the leaving ones, and never the connector's own."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from tests.zcc.connector.fakes import CONNECTOR

from zcc.connector.pool_networks import LEAVING, PoolFollowers, PoolNetworks
from zcc.connector.settings import ConnectorSettings
from zcc.errors import ZccError
from zcc.mtunnel.messages import Pools

FILE, MOVED = IPv4Network("10.254.0.0/19"), IPv4Network("10.7.0.0/24")
LEFT = IPv4Network("10.254.0.9/32")


def settings_of(**more) -> ConnectorSettings:
    return ConnectorSettings.model_validate(CONNECTOR | more)


def test_what_the_edge_says_of_a_pool_counts_and_the_file_s_stays_synthetic() -> None:
    networks = PoolNetworks(settings_of())
    assert networks.networks == (FILE,) and IPv4Address("10.254.0.9") in networks.holding("default")
    assert networks.hear(Pools(pool=MOVED, pools=(("third", IPv4Network("10.8.0.0/24")),), leaving=(LEFT,)))
    assert set(networks.networks) == {FILE, MOVED, IPv4Network("10.8.0.0/24")}
    assert IPv4Address("10.7.0.9") in networks.holding("default") and LEFT[0] not in networks.holding("default")
    assert LEFT[0] in networks.holding(LEAVING) and IPv4Address("10.8.0.1") in networks.holding("third")
    assert IPv4Address("10.8.0.1") not in networks.holding("fourth")
    assert not networks.hear(Pools(pool=MOVED, pools=(("third", IPv4Network("10.8.0.0/24")),), leaving=(LEFT,)))


def test_a_pool_that_shrinks_inside_the_file_s_is_one_network() -> None:
    networks = PoolNetworks(settings_of())
    networks.hear(Pools(pool=IPv4Network("10.254.0.0/20")))
    assert networks.networks == (FILE,)
    assert networks.overlaid(networks.settings).pool == IPv4Network("10.254.0.0/20")


@pytest.mark.parametrize("network", ["198.18.0.0/24", "10.0.0.0/8", "0.0.0.0/0"], ids=["internal", "wide", "everything"])
def test_an_edge_can_not_take_the_connector_s_own_addresses(network: str, caplog: pytest.LogCaptureFixture) -> None:
    networks = PoolNetworks(settings_of())
    assert not networks.hear(Pools(pool=IPv4Network(network)))
    assert networks.networks == (FILE,) and "is not taken" in caplog.text


def test_no_more_than_the_data_plane_holds_and_leaving_ones_are_left_out_first() -> None:
    networks = PoolNetworks(settings_of())
    many = tuple(IPv4Network(f"100.64.{n // 128}.{n % 128 * 2}/32") for n in range(400))
    networks.hear(Pools(pool=MOVED, leaving=many))
    assert len(networks.networks) == 256 and {FILE, MOVED} <= set(networks.networks)


def test_pools_by_location_need_a_restart_and_nothing_is_changed() -> None:
    networks = PoolNetworks(settings_of())
    other = settings_of(pools=[{"name": "second", "network": "10.9.0.0/24", "locations": ["aws-1"]}])
    with pytest.raises(ZccError, match="restart"):
        networks.overlaid(other)
    assert networks.networks == (FILE,)


def test_all_that_depends_on_the_networks_is_exchanged() -> None:
    said: list[tuple] = []

    class Follower:
        def adopt_pools(self, networks: tuple) -> None:
            said.append(("dns", networks))

        def adopt(self, networks: list) -> None:
            said.append(("teacher", tuple(networks)))

    networks, follower = PoolNetworks(settings_of()), Follower()
    pools = PoolFollowers(networks, lambda found: said.append(("data plane", found)), follower, follower)  # type: ignore[arg-type]
    pools.adopt(settings_of(pools=[{"name": "second", "network": "10.9.0.0/24"}]))
    both = (FILE, IPv4Network("10.9.0.0/24"))
    internal = networks.settings.kernel.internal
    assert said == [("data plane", both), ("teacher", (*both, internal)), ("dns", both)]
