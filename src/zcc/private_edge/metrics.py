"""What the private edge counts, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["EdgeMetrics"]


class EdgeMetrics:
    """Counters and gauges in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them."""
        self.agents = Gauge("zcc_edge_agents", "Agents connected", ["role"], registry=registry)
        self.refused = Counter("zcc_edge_refused", "Connections refused", registry=registry)
        self.requests = Counter(
            "zcc_edge_requests", "Control requests answered", ["type", "outcome"], registry=registry
        )
        self.opens = Counter(
            "zcc_edge_opens", "Data streams asked for", ["protocol", "code"], registry=registry
        )
        self.streams = Gauge("zcc_edge_streams", "Data streams spliced now", registry=registry)
        self.octets = Counter(
            "zcc_edge_stream_bytes", "Payload of ended data streams", ["direction"], registry=registry
        )
        self.open_seconds = Histogram(
            "zcc_edge_open_seconds",
            "From the request to the reply",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25),
            registry=registry,
        )
        self.pool_free = Gauge(
            "zcc_edge_pool_free", "Synthetic addresses left, by kind of name", ["pool", "kind"], registry=registry
        )
        self.leaving = Gauge(
            "zcc_edge_leaving", "Synthetic addresses that no pool has any more and that still stand for a name",
            registry=registry,
        )
        self.in_use = Counter(
            "zcc_edge_in_use_addresses", "Addresses that connectors said are in use", ["outcome"], registry=registry
        )

    def watch_pool(self, pool: str, free: Callable[[], tuple[int, int]]) -> None:
        """Read a pool at every scrape.

        Args:
            free: returns what is left for configured names and for names under wildcards.
        """
        self.pool_free.labels(pool, "configured").set_function(lambda: free()[0])
        self.pool_free.labels(pool, "wildcard").set_function(lambda: free()[1])

    def forget_pool(self, pool: str) -> None:
        """Show a pool no longer."""
        for kind in ("configured", "wildcard"):
            self.pool_free.remove(pool, kind)
