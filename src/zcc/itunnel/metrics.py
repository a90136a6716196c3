"""Metrics of a connector's internet edges, read at the moment of the scrape: what each goes by, and what its path carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from zcc.itunnel.client import EdgeStatus

__all__ = ["TRANSPORTS", "InternetEdgeCollector"]

TRANSPORTS = ("DTLS", "TLS")


class InternetEdgeCollector(Collector):
    """Reads the status of all edges when asked."""

    def __init__(self, read: Callable[[], Sequence[EdgeStatus]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Describe nothing, so that registering reads nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read everything now."""
        up = GaugeMetricFamily("zcc_internet_edge_up", "Whether an edge is up by a transport", labels=["edge", "transport"])
        outside = GaugeMetricFamily("zcc_internet_edge_path_mtu_bytes", "Largest packet that the path carries", labels=["edge"])
        inside = GaugeMetricFamily("zcc_internet_edge_inner_mtu_bytes", "Largest packet inside", labels=["edge"])
        renewed = CounterMetricFamily("zcc_internet_edge_renewals", "Sessions that followed one that lived", labels=["edge"])
        for one in self._read():
            for transport in TRANSPORTS:
                up.add_metric([one.name, transport], float(one.state == "up" and one.transport == transport))
            if one.path_mtu:                  # otherwise nothing is known, or nothing is to be known
                outside.add_metric([one.name], one.path_mtu)
                inside.add_metric([one.name], one.inner_mtu)
            renewed.add_metric([one.name], one.renewals)
        yield from (up, outside, inside, renewed)
