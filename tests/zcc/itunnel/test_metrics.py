"""What a scrape says of internet edges."""

from prometheus_client import CollectorRegistry, generate_latest

from zcc.itunnel.client import EdgeStatus
from zcc.itunnel.metrics import InternetEdgeCollector


def test_an_edge_s_transport_sizes_and_renewals_are_told() -> None:
    registry = CollectorRegistry()
    registry.register(InternetEdgeCollector(lambda: [
        EdgeStatus("ie-1", "10.0.4.11:443", "up", True, 1.5, 4, 4, "", "DTLS", 1492, 1399, "complete", 0, 3),
        EdgeStatus("ie-2", "10.0.4.12:443", "up", False, 1.5, 4, 4, "", "TLS"),
        EdgeStatus("ie-3", "10.0.4.13:443", "down", False, 0.0, 0, 0, "no answer")]))
    said = generate_latest(registry).decode()
    assert 'zcc_internet_edge_up{edge="ie-1",transport="DTLS"} 1.0' in said
    assert 'zcc_internet_edge_up{edge="ie-2",transport="TLS"} 1.0' in said
    assert 'zcc_internet_edge_up{edge="ie-3",transport="DTLS"} 0.0' in said
    assert 'zcc_internet_edge_path_mtu_bytes{edge="ie-1"} 1492.0' in said
    assert 'zcc_internet_edge_inner_mtu_bytes{edge="ie-1"} 1399.0' in said
    assert 'path_mtu_bytes{edge="ie-2"}' not in said
    assert 'zcc_internet_edge_renewals_total{edge="ie-1"} 3.0' in said
